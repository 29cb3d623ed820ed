"""Measure and keep how fast this machine loaded, encoded and prefilled with a model.

Law: one small file per model, replaced whole, under the cache folder: what is lost is measured
again. A new measurement counts as much as all before it. A stage that was over in a moment, because
its work was kept of an earlier run, is no measurement. Neither reading nor writing ever fails.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    Stage,
    ThinkingDelta,
)
from qvq_mlx.core.plan import STAGES, Rates
from qvq_mlx.system.files import write_private
from qvq_mlx.system.reading import read_json

_LEAST_S = 0.05
_RECORD_BYTES = 2**16


def known(folder: Path, checkpoint: Path) -> Rates:
    """Return the rates of the checkpoint's earlier runs. `folder` is the cache folder."""
    try:
        record = read_json(_path(folder, checkpoint), _RECORD_BYTES)
    except (OSError, ValueError):
        return Rates()
    if not isinstance(record, dict):
        return Rates()
    return Rates(*(_rate(record.get(stage.value)) for stage in STAGES))


def remembered(
    events: Iterable[Event], folder: Path, checkpoint: Path, clock: Callable[[], float]
) -> Iterator[Event]:
    """The same events; what the stages took is kept once there is something to read."""
    first: dict[Stage, tuple[float, int]] = {}
    last: dict[Stage, tuple[float, int]] = {}
    listening = True
    for event in events:
        match event:
            case Progress(stage=stage, done=done, total=total) if listening and total > 0:
                first.setdefault(stage, (clock(), done))
                last[stage] = (clock(), done)
            case ThinkingDelta() | AnswerDelta() | Done() if listening:
                listening = False
                _keep(folder, checkpoint, {s: _measured(first[s], last[s]) for s in first})
            case (
                Progress()
                | ThinkingDelta()
                | AnswerDelta()
                | AnswerRetracted()
                | Looked()
                | Notice()
                | Done()
            ):
                pass
        yield event


def _measured(first: tuple[float, int], last: tuple[float, int]) -> float:
    """Per second; 0.0 where it was too short to tell."""
    seconds, done = last[0] - first[0], last[1] - first[1]
    return done / seconds if seconds >= _LEAST_S and done > 0 else 0.0


def _keep(folder: Path, checkpoint: Path, measured: dict[Stage, float]) -> None:
    before = known(folder, checkpoint)
    record = {}
    for stage in STAGES:
        old, new = before.of(stage), measured.get(stage, 0.0)
        record[stage.value] = (old + new) / 2 if old and new else old or new
    if record == {stage.value: before.of(stage) for stage in STAGES}:
        return
    with contextlib.suppress(OSError):
        write_private(_path(folder, checkpoint), json.dumps(record).encode())


def _path(folder: Path, checkpoint: Path) -> Path:
    name = hashlib.sha256(os.fsencode(checkpoint)).hexdigest()[:16]
    return folder / "rates" / f"{name}.json"


def _rate(value: object) -> float:
    return float(value) if isinstance(value, float | int) and 0 < value < math.inf else 0.0
