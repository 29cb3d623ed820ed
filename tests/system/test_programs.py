"""One guard for other programs: bounded in time and bytes, and nothing of them runs on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qvq_mlx.system.programs import beside, found, run, talk
from qvq_mlx.system.scratch import scratch_folder
from qvq_mlx.system.space import free_bytes, space

PYTHON = sys.executable
SPAWNS = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen(['sleep', '60'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)\n"
)


def is_gone(pid: int) -> bool:
    """Ended, or a zombie that nobody has waited for."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        said = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False
        )
        if said.stdout.strip()[:1] in (b"", b"Z", b"X"):  # macOS has no /proc
            return True
        time.sleep(0.01)
    return False


def test_a_program_says_what_it_says() -> None:
    ran = run(["sh", "-c", "printf out; echo '  two\nlines ' >&2; exit 3"], 100)
    assert (ran.code, ran.output, ran.said, ran.late) == (3, b"out", "two lines", False)
    assert run(["cat"], 100).output == b"", "it has no stdin"


def test_too_many_bytes_and_too_much_time_end_it() -> None:
    ran = run(["yes"], 10)
    assert len(ran.output) == 11
    assert ran.code < 0
    assert run(["sleep", "60"], 10, wait_s=0.1).late
    with pytest.raises(FileNotFoundError):
        run(["/no such program"], 10)


def test_what_a_program_started_ends_with_it() -> None:
    ran = run([PYTHON, "-c", SPAWNS], 100, wait_s=3.0)
    assert ran.late
    assert is_gone(int(ran.output))


def test_a_talk_is_bounded_and_ends_with_its_block() -> None:
    echo = "import sys\nfor line in sys.stdin: print(line.strip().upper(), flush=True)"
    with talk([PYTHON, "-c", echo]) as spoken:
        for word in ("one", "two"):
            with spoken.within(30.0) as late:
                spoken.tell(word.encode() + b"\n")
                assert spoken.line(100) == word.upper().encode() + b"\n"
            assert not late.is_set()
        with spoken.within(0.1) as late:
            assert spoken.read(1) == b""  # it says nothing unasked
        assert late.is_set()
        assert spoken.wait() == -9
        spoken.tell(b"nobody hears it\n")


def test_an_exception_ends_a_talk() -> None:
    pids = []

    def fail() -> None:
        with talk([PYTHON, "-c", SPAWNS]) as spoken:
            pids.append(int(spoken.line(100)))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert is_gone(pids[0])


def test_a_program_beside_the_work(tmp_path: Path) -> None:
    tool, note = tmp_path / "awake", tmp_path / "note"
    tool.write_text(f"#!/bin/sh\necho $$ > {note}.new; mv {note}.new {note}; exec sleep 60\n")
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with beside(["awake"], environ):  # not executable: the work is done without it
        pass
    tool.chmod(0o755)
    with beside(["awake"], environ):
        while not note.exists():
            time.sleep(0.01)
        pid = int(note.read_text())
        os.kill(pid, 0)
    assert is_gone(pid)
    with beside(["no such program"], environ):
        pass
    assert found("awake", str(tmp_path)) == str(tool)
    assert found("awake", "") is None


def test_scratch_is_ours_alone_and_goes() -> None:
    with scratch_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").write_bytes(b"content")
    assert not folder.exists()


def test_space_is_that_of_the_nearest_folder(tmp_path: Path) -> None:
    volume = space(tmp_path)
    assert 0 < volume.free_bytes <= volume.total_bytes
    assert space(tmp_path / "not" / "there").total_bytes == volume.total_bytes
    if Path("/proc/self").exists():  # a volume without space, which macOS has not
        assert free_bytes(Path("/proc")) == 0
