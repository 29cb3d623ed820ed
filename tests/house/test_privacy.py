"""docs/privacy.md says what is on the disk after each option and command, as the disk has it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qvq_mlx.chat.loop import Talk
from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.request import Output, Policy, Request
from qvq_mlx.history.files import TYPED
from qvq_mlx.library import answer
from qvq_mlx.settings import config
from qvq_mlx.system.files import is_temporary
from qvq_mlx.system.scratch import scratch_folder, sweep_scratch
from tests.conftest import EXAMPLES, ROOT, World

Build = Callable[..., World]
PAGE = ROOT / "docs" / "privacy.md"
PICTURE = (EXAMPLES / "sum.png").read_bytes()
OTHER = (EXAMPLES / "chart.png").read_bytes()
ASK = ("ask", "-m", "tiny", "-", "What is the result?", "-q", "--budget", "0")
COLUMNS: dict[str, tuple[tuple[str, ...], ...]] = {
    "`qvq ask`": (ASK,),
    "`--no-save`": ((*ASK, "--no-save"),),
    "`--no-cache`": ((*ASK, "--no-cache"),),
    "both": ((*ASK, "--no-save", "--no-cache"),),
    "then `log rm`": (ASK, ("log", "rm", "ID")),
    "then `erase`": (ASK, ("erase", "-y")),
}
ROWS = {
    "history/*.jsonl": "the question, the thinking, the answer, names and hashes of pictures",
    "history/pictures/*": "the picture itself, where it came through a pipe, the clipboard, the"
    " screen or an address",
    "cache/prefixes/*": "keys and values that the model computed of the picture",
    "cache/rates/*": "how fast the model was loaded and read here",
    "cache/costs/*": "what its passes cost here, and how good drafts were",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "qvq"


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _caches(home: Path) -> Path:
    return home / ("Library/Caches/qvq" if sys.platform == "darwin" else ".cache/qvq")


def ran(world: Build, home: Path, argv: tuple[str, ...], stdin: bytes = PICTURE) -> World:
    if argv[-1] == "ID":
        (run,) = (home / "history").glob("*.jsonl")
        argv = (*argv[:-1], run.stem.rpartition("-")[2])
    w = world(stdin=stdin if "-" in argv else b"")
    assert w.run(*argv) == ExitCode.OK, w.err
    return w


def test_the_table_is_what_the_disk_has(
    world: Build, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(home.parent))
    found: dict[str, set[str]] = {}
    for column, commands in COLUMNS.items():
        for argv in commands:
            ran(world, home, argv)
        found[column] = left(home)
        assert left(home.parent) == {f"{home.name}/{name}" for name in found[column]}
        ran(world, home, ("erase", "-y"))
    known = [re.compile(row.replace("*", "[^/]+")) for row in ROWS]
    for names in found.values():
        assert not [n for n in names if not any(row.fullmatch(n) for row in known)]
    lines = [f"| | what it holds | {' | '.join(COLUMNS)} |", "|---|---|" + "---|" * len(COLUMNS)]
    for (row, holds), pattern in zip(ROWS.items(), known, strict=True):
        cells = [
            "stays" if any(pattern.fullmatch(name) for name in names) else ""
            for names in found.values()
        ]
        lines.append(f"| `{row}` | {holds} | {' | '.join(cells)} |")
    assert "\n".join(lines) in PAGE.read_text(encoding="utf-8"), "\n".join(lines)


@pytest.mark.parametrize("way", ["option", "variable", "setting"])
def test_a_question_that_is_not_saved_leaves_what_it_cost_alone(tmp_path: Path, way: str) -> None:
    """By a process of its own, on the whole disk that it can write to."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    config = tmp_path / ".config" / "qvq" / "config.toml"
    environ = {"HOME": str(tmp_path), "TMPDIR": str(temporary), "PATH": os.defpath}
    argv = [sys.executable, "-m", "qvq_mlx", *ASK]
    match way:
        case "option":
            argv.append("--no-save")
        case "variable":
            environ["QVQ_SAVE"] = "0"
        case _:
            config.parent.mkdir(parents=True)
            config.write_text("save = false\n")
    done = subprocess.run(
        argv, env=environ, input=PICTURE, capture_output=True, check=False, cwd=ROOT
    )
    assert done.returncode == ExitCode.OK, done.stderr
    costs = _caches(tmp_path) / "costs"
    assert {path for path in tmp_path.rglob("*") if path.is_file()} - {config} == set(
        costs.iterdir()
    )


def test_a_chat_that_is_not_saved_leaves_what_it_cost_alone(world: Build, home: Path) -> None:
    w = world(tty=True, err_tty=True)
    base = Request("", (), "tiny", policy=Policy(save=False))
    talk = Talk(w.env, config.read(w.env), base, Output())
    talk.begin([str(EXAMPLES / "sum.png")])
    lines = iter(("What is the result?", "And now?"))

    def typed() -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    assert talk.talk(typed) == ExitCode.OK
    assert "29" in w.out
    assert {name.split("/")[1] for name in left(home)} <= {"rates", "costs"}


def test_an_answer_of_the_library_leaves_what_it_cost_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QVQ_HOME", str(home))
    assert answer(EXAMPLES / "sum.png", "What is the result?", model="tiny").boxed == "29"
    assert {name.split("/")[1] for name in left(home)} <= {"rates", "costs"}


def test_a_run_that_goes_takes_what_it_alone_needed(world: Build, home: Path) -> None:
    """One picture is asked about once, another one twice."""
    plain = ("-q", "--budget", "0", "--draft", "none")
    for stdin, question in ((PICTURE, "What is the result?"), (OTHER, "A?"), (OTHER, "B?")):
        ran(world, home, (*ASK[:4], question, *plain), stdin)
    runs = sorted((home / "history").glob("*.jsonl"))
    prefixes = home / "cache" / "prefixes"
    assert len(list(prefixes.iterdir())) == 2
    about = hashlib.sha256(PICTURE).hexdigest()
    gone = next(run for run in runs if about in run.read_text())
    ran(world, home, ("log", "rm", gone.stem))
    other = hashlib.sha256(OTHER).hexdigest()
    assert [path.name for path in (home / "history" / "pictures").iterdir()] == [other]
    (stays,) = prefixes.iterdir()
    assert other.encode() in stays.read_bytes()[:9999]
    first, last = (run for run in runs if run.exists())
    ran(world, home, ("log", "rm", first.stem))
    assert list(prefixes.iterdir()) == [stays]  # the last question needs it still
    ran(world, home, ("log", "rm", last.stem))
    assert not list(prefixes.iterdir())


def test_pruning_everything_leaves_no_picture(world: Build, home: Path) -> None:
    ran(world, home, ASK)
    (home / "history" / TYPED).write_text("+What is it?\n")
    ran(world, home, ("log", "prune", "--keep", "0", "-y"))
    assert {name.split("/")[1] for name in left(home)} <= {"rates", "costs"}


@pytest.mark.parametrize("others", [0, 1])
def test_pruning_takes_what_a_run_left_that_was_removed_by_hand(
    world: Build, home: Path, others: int
) -> None:
    plain = ("-q", "--budget", "0", "--draft", "none")
    ran(world, home, (*ASK[:4], "What is the result?", *plain))
    (run,) = (home / "history").glob("*.jsonl")
    run.unlink()
    if others:
        ran(world, home, (*ASK[:4], "A?", *plain), OTHER)
    prefixes = home / "cache" / "prefixes"
    assert len(list(prefixes.iterdir())) == 1 + others
    w = ran(world, home, ("log", "prune", "--keep", "1", "-y"))
    assert w.out.startswith("nothing to prune; pictures that no run needs: ")
    assert len(list(prefixes.iterdir())) == others


def test_erase_says_what_remains_and_asks(world: Build, home: Path) -> None:
    ran(world, home, ASK)
    (home / "history" / TYPED).write_text("+What is it?\n")
    (home / "history" / ".unsaved-1").touch()
    (home / "history" / ".index.sqlite").write_text("What is it?")
    (home / "history" / "notes.txt").write_text("a person's own")
    (home / "cache" / "big-model.lock").write_text("1\n")
    w = world()
    assert w.run("erase") == ExitCode.USAGE
    assert "try: qvq erase --yes" in w.err
    assert "1 run" in w.err
    assert len(left(home)) > 5
    w = ran(world, home, ("erase", "-y"))
    assert w.out.startswith("erased 1 run and all they left, ")
    assert "what remains: models, settings" in w.out
    assert left(home) == {"history/notes.txt"}


def test_a_killed_process_leaves_no_scratch_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder() as held:
        killed = held.with_name("qvq-scratch-ab12cd_4")
        killed.mkdir()
        (killed / "shot.png").write_bytes(PICTURE)
        (tmp_path / "qvq-scratch").mkdir()
        assert sweep_scratch() == 1
        assert held.is_dir()
        assert not killed.exists()
        assert (tmp_path / "qvq-scratch").is_dir()
    assert not is_temporary(held.name)


def test_what_was_typed_goes_with_its_run(world: Build, home: Path) -> None:
    """The lines about another run stay, and so does what is no question."""
    from prompt_toolkit.history import FileHistory

    words = ("ask", "-m", "tiny", "-q", "--budget", "0")
    picture = str(EXAMPLES / "sum.png")
    ran(world, home, (*words, picture, "What is the\nresult?"))
    (first,) = (home / "history").glob("*.jsonl")
    ran(world, home, (*words, str(EXAMPLES / "chart.png"), "Which bar?"))
    typed = FileHistory(str(home / "history" / TYPED))
    stay = ["/help", "Which bar?", "What is the results?", f"{EXAMPLES}/chart.png", "+ # "]
    go = ["What is the\nresult?", f"{picture} What is the result?", f"/image {picture}"]
    for line in (*stay, *go):
        typed.store_string(line)
    w = world()
    assert w.run("log", "rm", first.stem.rpartition("-")[2]) == ExitCode.OK, w.err
    assert sorted(typed.load_history_strings()) == sorted(stay)
    assert (home / "history" / TYPED).stat().st_mode & 0o777 == 0o600
