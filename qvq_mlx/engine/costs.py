"""What a model's passes cost on this machine, and how good drafts were: measured, and kept.

Law: measured on a lane that is in use, which is left as it was. A record is keyed by model and
machine; one that cannot be read is measured again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path

import mlx.core as mx

from qvq_mlx.core.events import Progress, Stage
from qvq_mlx.core.tokens import Control
from qvq_mlx.engine.kept import write_whole
from qvq_mlx.engine.lane import Lane
from qvq_mlx.engine.speculation import MOST_DRAFTS, Costs

_ROUNDS = 3
"""The first compiles kernels and is not counted."""
_PLAIN_STEPS = 4


def stored(folder: Path | None, key: str) -> Costs | None:
    """The record of an earlier run; None where there is none that can be read."""
    if folder is None:
        return None
    try:
        record = json.loads(_path(folder, key).read_text(encoding="utf-8"))
        costs = Costs(float(record["plain_s"]), tuple(float(s) for s in record["pass_s"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    whole = len(costs.pass_s) == MOST_DRAFTS + 1 and min(costs.plain_s, *costs.pass_s) > 0
    return costs if whole else None


def store(costs: Costs, folder: Path | None, key: str) -> None:
    """Keep a record for later runs, where there is a folder."""
    if folder is not None:
        write_whole(_path(folder, key), json.dumps(asdict(costs)).encode())


def stored_acceptance(folder: Path | None, key: str, drafter: str) -> float | None:
    """The share of a drafter's drafts that was right in the last run, if any is kept."""
    if folder is None:
        return None
    try:
        rate = float(json.loads(_pair(folder, key, drafter).read_text(encoding="utf-8"))["rate"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return rate if 0 <= rate <= 1 else None


def store_acceptance(rate: float, folder: Path | None, key: str, drafter: str) -> None:
    """Keep it for later runs, where there is a folder."""
    if folder is not None:
        write_whole(_pair(folder, key, drafter), json.dumps({"rate": rate}).encode())


def measured(
    lane: Lane, position: int, control: Control
) -> Generator[Progress, None, Costs | None]:
    """Time passes of 1 to 8 tokens behind what `lane` holds, text that begins at `position`.

    None where `control` stops it, or wants the answer now.
    """
    sizes = range(1, MOST_DRAFTS + 2)
    total = _ROUNDS * (len(sizes) + 1)
    plain_s: list[float] = []
    pass_s: dict[int, list[float]] = {size: [] for size in sizes}
    for turn in range(_ROUNDS):
        # in turns, so that a slow moment of the machine hits every size alike
        for size in (0, *sizes):
            if control.stopping or control.concluding:
                return None
            yield Progress(Stage.CALIBRATE, turn * (len(sizes) + 1) + size, total)
            began = time.perf_counter()
            if size:
                _one_pass(lane, position, size)
                pass_s[size].append(time.perf_counter() - began)
            else:
                _plain(lane, position)
                plain_s.append((time.perf_counter() - began) / _PLAIN_STEPS)
    return Costs(min(plain_s[1:]), tuple(min(pass_s[size][1:]) for size in sizes))


def _one_pass(lane: Lane, position: int, tokens: int) -> None:
    """One pass over `tokens` tokens, waited for and taken back."""
    ids = mx.zeros((1, tokens), dtype=mx.int32)
    mx.eval(mx.argmax(lane.forward(ids, position), axis=-1))
    lane.trim(tokens)


def _plain(lane: Lane, position: int) -> None:
    """Single steps as the decode loop makes them: each dispatched before the last one is read."""
    drawn = mx.zeros((1, 1), dtype=mx.int32)
    for step in range(_PLAIN_STEPS):
        upcoming = mx.argmax(lane.forward(drawn, position + step), axis=-1)
        mx.async_eval(upcoming)  # type: ignore[no-untyped-call]
        drawn.item()
        drawn = upcoming
    drawn.item()
    lane.trim(_PLAIN_STEPS)


def _path(folder: Path, key: str) -> Path:
    machine = hashlib.sha256(json.dumps(mx.device_info(), sort_keys=True).encode())
    return folder / "costs" / f"{key}-{machine.hexdigest()[:8]}.json"


def _pair(folder: Path, key: str, drafter: str) -> Path:
    name = hashlib.sha256(f"{key} {drafter}".encode()).hexdigest()[:32]
    return folder / "costs" / f"{name}-acceptance.json"
