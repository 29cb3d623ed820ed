"""`qvq batch`, killed again and again: what is on the disk stays, and nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.support import seeds
from tests.support.waiting import eventually

PICTURES, KILLS = 120, 8


@pytest.mark.slow
@pytest.mark.seeded
def test_killed_again_and_again_it_ends_whole(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(PICTURES):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    out = tmp_path / "out.jsonl"
    command = [
        sys.executable,
        "-m",
        "tests.support.batch_driver",
        "batch",
        "-m",
        "tiny",
        str(folder),
    ]
    command += ["-Q", "How many?", "-o", str(out)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "QVQ_HOME": str(tmp_path / "home")}
    seeded = seeds.dice("kills")
    killed, kept = 0, b""
    for _ in range(KILLS):
        with subprocess.Popen(command, env=environ, cwd=ROOT, stderr=subprocess.PIPE) as process:
            # half of them while it works, half at any time from the start on
            if seeded.random() < 0.5:
                _wait_until_longer(out, len(kept), process)
                time.sleep(seeded.uniform(0, 0.1))
            else:
                time.sleep(seeded.uniform(0, 0.8))
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += process.returncode == -signal.SIGKILL
        found = out.read_bytes() if out.exists() else b""
        whole = kept[: kept.rfind(b"\n") + 1]
        assert found.startswith(whole), "a record that was on the disk is gone"
        kept = found
    assert killed == KILLS
    assert 0 < kept.count(b"\n") < PICTURES
    subprocess.run(command, env=environ, cwd=ROOT, check=True)
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(records) == len({record["paths"][0] for record in records}) == PICTURES
    assert {record["status"] for record in records} == {"answered"}


def test_sigterm_ends_it_between_two_items(tmp_path: Path) -> None:
    for number in range(40):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    out = tmp_path / "out.jsonl"
    command = [
        sys.executable,
        "-m",
        "tests.support.batch_driver",
        "batch",
        "-m",
        "tiny",
        str(tmp_path),
    ]
    command += ["-Q", "How many?", "-o", str(out)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "QVQ_HOME": str(tmp_path / "home")}
    with subprocess.Popen(
        command, env=environ, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        _wait_until_longer(out, 0, process)
        process.terminate()
        err = (process.stderr.read() if process.stderr else b"").decode()
    assert process.returncode == 143, err
    records = out.read_text().splitlines()
    assert f"stopped; {len(records)} of 40 items are done" in err
    assert all(json.loads(line)["status"] == "answered" for line in records)


def _wait_until_longer(out: Path, length: int, process: subprocess.Popen[bytes]) -> None:
    def is_longer() -> bool:
        return out.exists() and out.stat().st_size > length

    eventually(lambda: process.poll() is not None or is_longer())
