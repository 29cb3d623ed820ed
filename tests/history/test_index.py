"""The index of the history: it saves reading, and is never believed against the files."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from qvq_mlx.history import erasing, files
from qvq_mlx.history.files import File, names_in
from qvq_mlx.history.index import forget_erased, index_files, may_hold
from qvq_mlx.history.searching import search
from tests.history.test_log import save

COUNT = 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A history whose runs hold `word0` to `word5`, and all of them `zebra`."""
    for number in range(COUNT):
        age = timedelta(seconds=COUNT - number)
        save(tmp_path / "history", f"Is it word{number}?", "a zebra", "Größe", age=age)
    return tmp_path / "history"


def read(folder: Path) -> list[int]:
    """How many runs each bringing up to date reads."""
    counts: list[int] = []
    may_hold(folder, names_in(folder), ["zebra"], counts.append)
    return counts


def found(folder: Path, *words: str) -> list[str]:
    return [hit.entry.question for hit in search(folder, names_in(folder), words)]


def questions(*numbers: int) -> list[str]:
    return [f"Is it word{number}?" for number in numbers]


def database(folder: Path) -> Path:
    return index_files(folder)[0]


def test_a_run_is_read_for_the_index_once(folder: Path) -> None:
    assert read(folder) == [COUNT]
    assert read(folder) == []
    save(folder, "one more")
    assert read(folder) == [1]


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["word3"], 1),
        (["ord3"], 1),  # inside a word
        (["? zeb"], 0),  # two words of one needle; the file says whether they stand together
        (["zebra", "word1"], 1),
        (["grösse"], COUNT),
        (["nothing"], 0),
        (["!"], COUNT),  # no letter: every run may hold it
    ],
)
def test_the_index_says_which_runs_hold_no_such_word(
    folder: Path, words: list[str], left: int
) -> None:
    said = may_hold(folder, names_in(folder), words, lambda _runs: None)
    assert len(said) == (COUNT if words == ["? zeb"] else left)


def test_a_word_that_fts5_would_cut_is_found(folder: Path) -> None:
    save(folder, "long", "x" * 70_000 + "needle")
    assert found(folder, "xneedle") == ["long"]


def _nothing(_path: Path) -> None:
    pass


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(5000))


def _flipped(path: Path) -> None:
    """The words of other runs, in a file that SQLite finds sound."""
    with sqlite3.connect(path) as opened:
        opened.execute("UPDATE blocks SET words = CAST('other' AS BLOB)")
    opened.close()


def _older(path: Path) -> None:
    """Another version's, whose time of change is the one that it notes."""
    was = path.stat().st_mtime_ns
    with sqlite3.connect(path) as opened:
        opened.execute("UPDATE blocks SET words = CAST('other' AS BLOB)")
        opened.execute("UPDATE seal SET stamp = '0'")
    opened.close()
    os.utime(path, ns=(was, was))


@pytest.mark.parametrize(
    "break_it", [Path.unlink, _cut, _garbage, _flipped, _older, lambda path: os.truncate(path, 0)]
)
def test_an_index_that_is_missing_or_broken_is_made_anew(
    folder: Path, break_it: Callable[[Path], None]
) -> None:
    assert found(folder, "word2") == questions(2)
    break_it(database(folder))
    assert found(folder, "word2") == questions(2)
    assert read(folder) == []


def test_a_run_edited_by_hand_is_found_by_what_stands_there_now(folder: Path) -> None:
    found(folder, "word2")
    path = files(folder)[2].path
    path.write_text(path.read_text().replace("word2", "quagga"))
    assert found(folder, "quagga") == ["Is it quagga?"]
    assert found(folder, "word2") == []


def test_no_word_of_an_erased_run_stays(folder: Path) -> None:
    found(folder, "word")
    erasing.erase([files(folder)[4]])
    left = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
    assert b"word4" not in left
    assert found(folder, "word") == questions(5, 3, 2, 1, 0)
    erasing.erase(files(folder))
    assert not any(path.exists() for path in index_files(folder))


def test_what_was_erased_by_hand_is_forgotten_too(folder: Path) -> None:
    found(folder, "word")
    files(folder)[4].path.unlink()
    forget_erased(folder)
    assert b"word4" not in database(folder).read_bytes()


def test_the_index_is_its_owners_alone(folder: Path) -> None:
    was = os.umask(0)
    try:
        found(folder, "word")
    finally:
        os.umask(was)
    assert database(folder).stat().st_mode & 0o777 == 0o600


def test_where_no_index_can_be_the_runs_are_read(folder: Path) -> None:
    database(folder).mkdir()
    assert found(folder, "word2") == questions(2)
    database(folder).rmdir()
    (folder.parent / "elsewhere").write_bytes(b"kept")
    database(folder).symlink_to(folder.parent / "elsewhere")
    assert found(folder, "word2") == questions(2)
    assert (folder.parent / "elsewhere").read_bytes() == b"kept"


_KILLED = """
import os, signal, sys
from pathlib import Path
from qvq_mlx.history.files import names_in
from qvq_mlx.history.index import may_hold

left = int(sys.argv[2])
def trace(*_event):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return trace
sys.settrace(trace)
may_hold(Path(sys.argv[1]), names_in(Path(sys.argv[1])), ["zebra"], lambda _runs: None)
"""


@pytest.mark.parametrize("lines", [60, 200, 500, 900])
def test_a_kill_while_it_is_written_costs_nothing(folder: Path, lines: int) -> None:
    command = [sys.executable, "-c", _KILLED, str(folder), str(lines)]
    assert subprocess.run(command, check=False).returncode in (0, -signal.SIGKILL)
    assert found(folder, "word2") == questions(2)
    assert found(folder, "zebra") == questions(5, 4, 3, 2, 1, 0)


def test_a_run_that_another_process_writes_is_read(folder: Path) -> None:
    found(folder, "word")
    last = files(folder)[-1]
    last.path.rename(File(last.stem, folder, False).path)
    assert found(folder, "word5") == questions(5)
