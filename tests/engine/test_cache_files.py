"""Kept files: whole or absent, checked, under a cap, oldest first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qvq_mlx.engine.cache_files import KeptFiles
from qvq_mlx.system.space import Space
from tests.engine.conftest import ROOT


def put(kept: KeptFiles, key: str, content: bytes) -> bool:
    return kept.put(key, len(content), lambda path: _write(path, content))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def aged(kept: KeptFiles, key: str, used: float) -> None:
    [path] = kept.folder.glob(f"{key}.*")
    os.utime(path, (used, used))


def keys(kept: KeptFiles) -> list[str]:
    return [entry.path.name.split(".")[0] for entry in kept.entries()]


def test_what_is_put_is_found(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path / "deep" / "down", 1000)
    assert kept.find("a") is None
    assert put(kept, "a", b"content")
    assert (found := kept.find("a")) is not None
    assert found.read_bytes() == b"content"
    assert kept.has("a")
    assert not kept.has("b")


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path, 300)
    for age, key in enumerate("abc"):
        assert put(kept, key, key.encode() * 100)
        aged(kept, key, 1000 + age)
    assert kept.find("a") is not None  # used now
    assert put(kept, "d", b"d" * 100)
    assert set(keys(kept)) == {"a", "c", "d"}


def test_what_is_larger_than_the_cap_is_not_kept_and_costs_nothing(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path, 100)
    assert put(kept, "a", b"a" * 90)
    assert not put(kept, "b", b"b" * 101)
    assert keys(kept) == ["a"]
    assert not put(KeptFiles(tmp_path / "none", 0), "a", b"a")


def test_the_last_tenth_of_the_disk_stays_free(tmp_path: Path) -> None:
    free = 150
    kept = KeptFiles(tmp_path, 10_000, lambda _: Space(1000, free))
    free = 500
    assert put(kept, "a", b"a" * 100)
    free = 150  # 50 of them may be used, and 100 that "a" would give back
    assert not put(kept, "b", b"b" * 200)
    assert keys(kept) == ["a"]
    assert put(kept, "c", b"c" * 120)
    assert keys(kept) == ["c"]


def test_a_disk_that_refuses_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    kept = KeptFiles(tmp_path / "file" / "folder", 100)
    assert not put(kept, "a", b"a")
    assert kept.find("a") is None
    assert kept.entries() == kept.clear() == []


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path, 100)

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    assert not kept.put("a", 10, fail)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from qvq_mlx.engine.cache_files import KeptFiles\n"
        "def write(path):\n"
        "    path.write_bytes(b'half'); print('writing', flush=True); time.sleep(60)\n"
        "KeptFiles(Path(sys.argv[1]), 100).put('a', 10, write)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    kept = KeptFiles(tmp_path, 100)
    [left] = tmp_path.iterdir()
    assert kept.find("a") is None
    assert kept.entries() == []
    os.utime(left, (time.time() - 7200,) * 2)
    assert put(kept, "b", b"b")
    assert not left.exists()


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(1, 60)), max_size=25))
def test_the_cap_always_holds(
    tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[str, int]]
) -> None:
    kept = KeptFiles(tmp_path_factory.mktemp("kept"), 100)
    for key, size in puts:
        if not kept.has(key):
            assert put(kept, key, key.encode() * size)
        assert kept.find(key) is not None
        assert sum(entry.size_bytes for entry in kept.entries()) <= 100
