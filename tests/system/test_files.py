"""One atomic writer: whole or absent, its owner's only, and no name that another user can guess."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qvq_mlx.system import files, outputs

ROOT = Path(__file__).parents[2]
NOBODY = 65534


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def temporary(folder: Path, name: str, content: bytes = b"half", *, age_s: float = 0) -> Path:
    path = folder / f".qvq-{os.urandom(8).hex()}.{name}.new"
    path.write_bytes(content)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_private_files_and_folders_are_private_at_any_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "a" / "b" / "c.json"
    files.write_private(path, b"{}")
    assert path.read_bytes() == b"{}"
    assert mode_of(path) == 0o600
    assert {mode_of(folder) for folder in (tmp_path / "a", tmp_path / "a" / "b")} == {0o700}


def test_a_private_file_that_everybody_could_read_is_so_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    path.chmod(0o666)
    files.write_private(path, b"new")
    assert mode_of(path) == 0o600


def test_an_output_keeps_the_mode_of_what_it_replaces(tmp_path: Path, umask: int) -> None:
    new, old = tmp_path / "new.txt", tmp_path / "old.txt"
    old.write_bytes(b"before")
    old.chmod(0o664)
    for path in (new, old):
        outputs.write_output(path, b"after")
        assert path.read_bytes() == b"after"
    assert (mode_of(new), mode_of(old)) == (0o600, 0o664)


def test_until_it_is_whole_the_target_is_as_it_was_and_nobody_else_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"before")
    path.chmod(0o666)
    output = outputs.open_output(path)
    output.write(b"half of the answer")
    [beside] = [other for other in tmp_path.iterdir() if other != path]
    assert files.is_temporary(beside.name)
    assert mode_of(beside) == 0o600
    assert path.read_bytes() == b"before"
    output.discard()
    output.discard()
    assert [other.name for other in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_bytes() == b"before"


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError), files.PendingFile(tmp_path / "a") as pending:
        pending.write(None)  # type: ignore[arg-type]
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "full").write_bytes(b"")
    with pytest.raises(OSError), files.PendingFile(folder) as pending:  # noqa: PT011
        pending.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_link_stays_and_the_file_behind_it_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far" / "real.txt", tmp_path / "link.txt"
    link.symlink_to(Path("far", "next.txt"))
    (tmp_path / "far" / "next.txt").symlink_to("real.txt")
    for content in (b"first", b"second"):  # the first through a link to nothing
        outputs.write_output(link, content)
        assert real.read_bytes() == content
        assert not real.is_symlink()
    assert link.is_symlink()
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(OSError, match="Too many levels"):
        outputs.write_output(loop, b"")


def test_other_names_of_a_file_keep_the_old_content(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"before")
    other.hardlink_to(path)
    outputs.write_output(path, b"after")
    assert (path.read_bytes(), other.read_bytes()) == (b"after", b"before")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's link")
def test_another_users_link_where_everybody_writes_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    link = folder / "answer.txt"
    link.symlink_to(precious)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    for write in (outputs.write_output, lambda path, _: outputs.check_output(path)):
        with pytest.raises(PermissionError):
            write(link, b"theirs")
    assert precious.read_bytes() == b"mine"


def test_a_link_at_a_temporary_name_is_not_written_through(tmp_path: Path) -> None:
    """Even somebody who guesses the random name makes nothing be overwritten."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    program = (
        "import os, sys; from pathlib import Path\n"
        "os.urandom = lambda count: bytes(count)\n"
        "from qvq_mlx.system import files, outputs\n"
        "outputs.write_output(Path(sys.argv[1]), b'theirs')\n"
    )
    (tmp_path / f".qvq-{'00' * 8}.a.txt.new").symlink_to(precious)
    argv = [sys.executable, "-c", program, str(tmp_path / "a.txt")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "FileExistsError" in done.stderr
    assert precious.read_bytes() == b"mine"
    assert not (tmp_path / "a.txt").exists()


def test_pipes_devices_and_open_descriptors_are_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    outputs.check_output(pipe)  # nobody reads it yet, and this does not wait
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    outputs.write_output(pipe, b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()
    outputs.write_output(Path(os.devnull), b"gone")
    assert Path(os.devnull).is_char_device()


@pytest.mark.parametrize(
    "name", ["/dev/stdout", "/dev/fd/1", *(["/proc/self/fd/1"] if sys.platform == "linux" else [])]
)
@pytest.mark.parametrize("to_a_file", [True, False])
def test_standard_output_by_its_name(tmp_path: Path, name: str, to_a_file: bool) -> None:
    """In a file it adds to what the shell put there: `{ echo before; qvq ... } > out`."""
    program = (
        "import sys; from pathlib import Path; from qvq_mlx.system import files, outputs\n"
        f"outputs.write_output(Path({name!r}), b'answer')\n"
    )
    argv = [sys.executable, "-c", program]
    if not to_a_file:
        assert (
            subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout == b"answer"
        )
        return
    with (tmp_path / "out").open("wb", buffering=0) as out:
        out.write(b"before ")
        subprocess.run(argv, cwd=ROOT, stdout=out, check=True)
    assert (tmp_path / "out").read_bytes() == b"before answer"


@pytest.mark.parametrize("moment", ["before the write", "before the rename"])
def test_kill_9_leaves_the_target_and_the_next_writer_cleans_up(
    tmp_path: Path, moment: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"before")
    program = (
        "import os, signal, sys; from pathlib import Path; from qvq_mlx.system import outputs\n"
        "output = outputs.open_output(Path(sys.argv[1]))\n"
        "die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        + ("die()\n" if moment == "before the write" else "output.write(b'half')\n")
        + "os.fsync = die\noutput.commit()\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"
    [left] = [other for other in tmp_path.iterdir() if other != path]
    outputs.write_output(path, b"after")
    assert left.exists()  # so young that it may be another writer's
    os.utime(left, (time.time() - 61,) * 2)
    outputs.write_output(tmp_path / "b.txt", b"other")
    assert {other.name for other in tmp_path.iterdir()} == {"a.txt", "b.txt"}


def test_a_file_that_is_being_written_is_never_swept_however_long_it_takes(tmp_path: Path) -> None:
    slow = outputs.open_output(tmp_path / "slow.txt")
    slow.write(b"an answer that took two hours")
    assert isinstance(slow, files.PendingFile)
    os.utime(slow.path, (time.time() - 7200,) * 2)
    outputs.write_output(tmp_path / "quick.txt", b"")
    slow.commit()
    assert (tmp_path / "slow.txt").read_bytes() == b"an answer that took two hours"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's file")
def test_another_users_temporary_is_left_alone(tmp_path: Path) -> None:
    theirs = temporary(tmp_path, "a.txt", age_s=9e6)
    os.chown(theirs, NOBODY, NOBODY)
    outputs.write_output(tmp_path / "a.txt", b"")
    assert theirs.exists()


def test_only_our_own_kind_of_name_is_swept(tmp_path: Path) -> None:
    names = (".qvq-part", ".qvq-pull.json", ".qvq-0123.a.txt", "qvq-0123456789abcdef.a", ".a.part")
    kept = [tmp_path / name for name in names]
    pipe = tmp_path / f".qvq-{'ab' * 8}.pipe"
    folder = tmp_path / f".qvq-{'cd' * 8}.folder"
    os.mkfifo(pipe)
    folder.mkdir()
    for path in kept:
        path.write_bytes(b"")
    for path in (*kept, pipe, folder):
        os.utime(path, (0, 0))
    files.sweep(tmp_path)
    assert all(path.exists() for path in (*kept, folder))
    files.sweep(tmp_path / "missing")


def test_the_leftovers_of_one_file_go_at_once(tmp_path: Path) -> None:
    mine = temporary(tmp_path, "run.jsonl", b"12345")
    other = temporary(tmp_path, "other.jsonl")
    assert files.remove_leftovers(tmp_path / "run.jsonl") == 5
    assert not mine.exists()
    assert other.exists()


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 125 + ".json")  # 255 bytes
    outputs.write_output(path, b"long")
    assert path.read_bytes() == b"long"


def test_a_link_is_made_in_one_step(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.write_bytes(b"a file")
    files.make_link(link, "there")
    assert link.readlink() == Path("there")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match="directory"):
        files.make_link(folder, "there")
    assert {path.name for path in tmp_path.iterdir()} == {"link", "folder"}


def test_a_volume_without_modes_and_sync_is_written_to(tmp_path: Path) -> None:
    """FAT on macOS refuses a mode, some SMB servers a sync."""
    program = (
        "import errno, os, sys; from pathlib import Path\n"
        "def refuse(*_): raise OSError(errno.ENOTSUP, 'not supported')\n"
        "os.fchmod = os.fsync = refuse\n"
        "from qvq_mlx.system import files, outputs\n"
        "outputs.write_output(Path(sys.argv[1]), b'a')\n"
        "files.write_private(Path(sys.argv[2]), b'b', sync=True)\n"
    )
    paths = tmp_path / "a", tmp_path / "folder" / "b"
    subprocess.run([sys.executable, "-c", program, *map(str, paths)], cwd=ROOT, check=True)
    assert [path.read_bytes() for path in paths] == [b"a", b"b"]


def test_shared_files_have_what_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_shared(tmp_path / "refs" / "main", b"0")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "refs" / "main") == 0o640
