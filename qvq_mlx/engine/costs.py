"""Measure and keep what a model's passes cost here, and how good drafts were.

Law: measured on a lane that is in use, which is left as it was. A record is keyed by model and
machine; one that cannot be read is measured again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path

import mlx.core as mx

from qvq_mlx.core.events import Progress, Stage
from qvq_mlx.core.tokens import Control
from qvq_mlx.engine.sequence import KVSequence
from qvq_mlx.engine.speculation import MOST_DRAFTS, Costs, Past
from qvq_mlx.system.files import write_private
from qvq_mlx.system.reading import read_json

_ROUNDS = 3
"""The first compiles kernels and is not counted."""
_PLAIN_STEPS = 5
_RECORD_BYTES = 2**16


class CostBook:
    """Costs of models and drafters on this machine, in memory and in `folder`."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder / "costs" if folder is not None else None
        self._costs: dict[str, Costs] = {}
        self._past: dict[str, Past] = {}

    def costs(self, fingerprint: str) -> Costs | None:
        """Of a model; None where they were never measured, or cannot be read."""
        name = f"{fingerprint}-{_machine()}"
        if name not in self._costs:
            costs = _costs_of(self._read(name))
            if costs is None:
                return None
            self._costs[name] = costs
        return self._costs[name]

    def keep_costs(self, fingerprint: str, costs: Costs) -> None:
        """For later runs."""
        name = f"{fingerprint}-{_machine()}"
        self._costs[name] = costs
        self._write(name, {"plain_s": costs.plain_s, "pass_s": list(costs.pass_s)})

    def past(self, fingerprint: str, drafter: str) -> Past:
        """Measured gain of a drafter for a model. Without measurements: an optimistic default."""
        name = _pair(fingerprint, drafter)
        if name not in self._past:
            self._past[name] = _past_of(self._read(name))
        return self._past[name]

    def keep_past(self, fingerprint: str, drafter: str, past: Past) -> None:
        """For later runs."""
        name = _pair(fingerprint, drafter)
        self._past[name] = past
        self._write(name, asdict(past))

    def _read(self, name: str) -> dict[str, object]:
        if self._folder is None:
            return {}
        try:
            record = read_json(self._folder / f"{name}.json", _RECORD_BYTES)
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _write(self, name: str, record: dict[str, object]) -> None:
        if self._folder is None:
            return
        with contextlib.suppress(OSError):  # it is measured again
            write_private(self._folder / f"{name}.json", json.dumps(record).encode())


def measured(
    sequence: KVSequence, position: int, control: Control
) -> Generator[Progress, None, Costs | None]:
    """Time passes of 1 to 8 tokens behind what `sequence` holds, text that begins at `position`.

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
            if size:
                began = time.perf_counter()
                _one_pass(sequence, position, size)
                pass_s[size].append(time.perf_counter() - began)
            else:
                plain_s.append(_plain_s(sequence, position))
    return believable(min(plain_s[1:]), [min(pass_s[size][1:]) for size in sizes])


def believable(plain_s: float, pass_s: Sequence[float]) -> Costs:
    """Costs less what other work on the machine added to some of them: a pass takes no longer than
    one over more tokens, nor a token of plain decoding longer than a pass that is waited for.
    """
    least = list(itertools.accumulate(reversed(pass_s), min))[::-1]
    return Costs(min(plain_s, least[0]), tuple(least))


def _one_pass(sequence: KVSequence, position: int, tokens: int) -> None:
    """One pass over `tokens` tokens, waited for and taken back."""
    ids = mx.zeros((1, tokens), dtype=mx.int32)
    sequence.mark()
    mx.eval(mx.argmax(sequence.forward(ids, position), axis=-1))
    sequence.trim(tokens)


def _plain_s(sequence: KVSequence, position: int) -> float:
    """Seconds of a single step as the decode loop makes them: each dispatched before the last one
    is read. The first and the last one, which have no other beside them, are not counted.
    """
    drawn = mx.zeros((1, 1), dtype=mx.int32)
    read: list[float] = []
    sequence.mark()
    for step in range(_PLAIN_STEPS):
        upcoming = mx.argmax(sequence.forward(drawn, position + step), axis=-1)
        mx.async_eval(upcoming)  # type: ignore[no-untyped-call]
        drawn.item()
        read.append(time.perf_counter())
        drawn = upcoming
    drawn.item()
    sequence.trim(_PLAIN_STEPS)
    return (read[-1] - read[1]) / (_PLAIN_STEPS - 2)


def _costs_of(record: dict[str, object]) -> Costs | None:
    plain_s, pass_s = record.get("plain_s"), record.get("pass_s")
    if not isinstance(pass_s, list) or len(pass_s) != MOST_DRAFTS + 1:
        return None
    numbers = [number for number in (plain_s, *pass_s) if isinstance(number, float) and number > 0]
    return Costs(numbers[0], tuple(numbers[1:])) if len(numbers) == len(pass_s) + 1 else None


def _past_of(record: dict[str, object]) -> Past:
    match {"overrun": 1.0, **record}:  # older records have none
        case {
            "rate": float(rate),
            "tokens": int(tokens),
            "read_s": float(read_s),
            "overrun": float(overrun),
        } if 0 <= rate <= 1 and tokens > 0 and read_s >= 0 and overrun > 0:
            return Past(rate, tokens, read_s, overrun)
    return Past()


@functools.cache
def _machine() -> str:
    facts = json.dumps(mx.device_info(), sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:8]


def _pair(fingerprint: str, drafter: str) -> str:
    return hashlib.sha256(f"{fingerprint} {_machine()} {drafter}".encode()).hexdigest()[:32]
