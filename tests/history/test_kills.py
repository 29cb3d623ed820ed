"""kill -9 while runs are saved: what is listed is whole, and what was committed is there."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qvq_mlx import history
from qvq_mlx.core.events import AnswerDelta, Done, Event, ThinkingDelta, fold
from qvq_mlx.history.erasing import erase
from qvq_mlx.history.files import names_in
from qvq_mlx.history.searching import entries
from tests.history import writer
from tests.support import seeds
from tests.support.waiting import CEILING_S

KILLS = 24
LINES = 5000
"""More lines than RUNS runs execute, so that some processes live."""


def start(folder: Path, seed: int, *lines: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.history.writer", str(folder), str(seed), *map(str, lines)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def committed(said: str) -> list[int]:
    # the last line may be cut
    whole = said[: said.rfind("\n") + 1].splitlines()
    return [int(line.split()[1]) for line in whole if line.startswith("committed")]


def readable(folder: Path) -> list[history.File]:
    """What was killed before its first line was written says nothing, and is not listed."""
    return [file for file in history.files(folder) if b"\n" in file.path.read_bytes()]


def text_of(events: Iterable[Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, ThinkingDelta | AnswerDelta))


def check(folder: Path, seed: int, done: list[int], at_once: int = 1) -> None:
    """The laws, for the runs of one process. Where several write at once, each has a newest one."""
    found = readable(folder)
    runs = [history.load(file.path) for file in found]
    assert all(run.ending is not history.Ending.RUNNING for run in runs)
    if found:
        newest = {run.request.question.partition(" of ")[2]: run for run in runs}
        assert history.last(folder) in (runs[-1:] if at_once == 1 else newest.values())
    assert [entry.id for entry in entries(folder, names_in(folder))] == [
        file.id for file in reversed(found)
    ]
    for path in folder.glob("*.jsonl"):  # what is listed is whole, to the last byte
        text = path.read_text(encoding="utf-8")
        assert text.endswith("\n")
        records = [json.loads(line) for line in text.splitlines()]
        assert records[0]["type"] == "request"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    own = {run.request.question: run for run in runs if f"of {seed}?" in run.request.question}
    for number in done:  # what was committed is there, and all of it
        run = own[writer.request(seed, number).question]
        assert run.path.suffix == ".jsonl"
        assert run.request == writer.request(seed, number)
        assert fold(run.events) == fold(writer.events(seed, number))
        assert isinstance(run.events[-1], Done)
    for question, run in own.items():  # and what was killed is the beginning of what was said
        said = text_of(writer.events(seed, int(question.split()[1])))
        assert said.startswith(text_of(run.events))
        assert (run.done is None) == (run.ending is history.Ending.KILLED)
    assert len(own) == sum(f"of {seed}?" in run.request.question for run in runs)


def after_the_next_run(folder: Path, before: int) -> None:
    """A later run makes whole what the killed ones left, and loses none."""
    now = datetime(2030, 1, 1, tzinfo=UTC)
    list(history.record(writer.events(0, 0), writer.request(0, 0), folder, now))
    left = [path for path in folder.iterdir() if path.suffix != ".jsonl"]
    left = [path for path in left if path.name != ".asked-last"]  # its clock was set back
    assert all(path.suffix == ".part" and path.stat().st_size == 0 for path in left)
    whole = [file for file in history.files(folder) if file.is_whole]
    assert len(whole) == before + 1


@pytest.mark.seeded
@pytest.mark.parametrize("part", range(4))
def test_killed_at_any_line(tmp_path: Path, part: int) -> None:
    draw = seeds.dice(f"a line {part}")
    died = 0
    for number in range(KILLS // 8):
        folder = tmp_path / str(number)
        process = start(folder, number, draw.randint(1, LINES))
        said, _ = process.communicate(timeout=CEILING_S)
        died += process.returncode == -signal.SIGKILL
        check(folder, number, committed(said))
        after_the_next_run(folder, len(readable(folder)))
    assert died


@pytest.mark.seeded
@pytest.mark.parametrize("part", range(2))
def test_killed_at_any_time(tmp_path: Path, part: int) -> None:
    """All into one folder, several at once; the moment is the machine's."""
    draw = seeds.dice(f"a time {part}")
    for number in range(KILLS // 8):
        pair = [start(tmp_path, 1000 * part + 2 * number + each) for each in range(2)]
        first = pair[0].stdout
        assert first is not None
        head = first.readline()  # it is at work
        time.sleep(draw.random() * 0.02)
        for process in pair:
            process.kill()
        saids = [head, ""]
        for each, process in enumerate(pair):
            saids[each] += process.communicate(timeout=CEILING_S)[0]
        for each, said in enumerate(saids):
            check(tmp_path, 1000 * part + 2 * number + each, committed(said), at_once=2)
    after_the_next_run(tmp_path, len(readable(tmp_path)))


def test_a_run_that_is_being_written_is_not_erased(tmp_path: Path) -> None:
    steps = history.record(writer.events(1, 1), writer.request(1, 1), tmp_path, datetime.now(UTC))
    next(steps)
    (file,) = history.files(tmp_path)
    assert history.load(file.path).ending is history.Ending.RUNNING
    gone = erase([file])
    assert (gone.runs, gone.busy) == (0, (file,))
    list(steps)
    (file,) = history.files(tmp_path)
    assert file.is_whole
    assert erase([file]).runs == 1
    assert history.files(tmp_path) == []


def test_what_a_killed_process_left_is_made_whole_or_goes(tmp_path: Path) -> None:
    whole = '{"version": 1, "type": "request"}\n{"type": "thinking", "text": "a", "tokens": 1}\n'

    def left(name: str, text: str, *, age_s: float = 0) -> Path:
        path = tmp_path / name
        path.write_text(text)
        os.utime(path, (time.time() - age_s,) * 2)
        return path

    left("20260101-000000-000001-aaaaaaaa.part", whole + '{"type": "ans')
    left("20260101-000000-000001-aaaaaaaa.new", "half of it")
    left("20260101-000000-000002-bbbbbbbb.part", whole)
    left("20260101-000000-000002-bbbbbbbb.jsonl", whole + '{"type": "done"}\n')
    left("20260101-000000-000003-cccccccc.part", "", age_s=999)
    young = left("20260101-000000-000004-dddddddd.part", "")
    history.settle(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "20260101-000000-000001-aaaaaaaa.jsonl": whole,
        "20260101-000000-000002-bbbbbbbb.jsonl": whole + '{"type": "done"}\n',
        young.name: "",
    }


def test_a_run_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    steps = history.record(writer.events(1, 1), writer.request(1, 1), tmp_path, datetime.now(UTC))
    next(steps)
    history.settle(tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    assert len(list(steps)) > 0
    assert [path.suffix for path in tmp_path.iterdir()] == [".jsonl"]
