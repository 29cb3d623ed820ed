"""Every ratio that the project holds itself to, as one table: `make bench`."""

from __future__ import annotations

from itertools import chain

from benchmarks import (
    batch,
    drafting,
    history,
    lent,
    overhead,
    pixels,
    renderer,
    second_question,
)
from benchmarks.results import report

report(
    chain(
        overhead.measure(rounds=15),
        lent.measure(rounds=31),
        second_question.measure(rounds=3),
        drafting.measure(rounds=5, pictures=40),
        pixels.measure(rounds=9),
        batch.measure(pictures=12, rounds=3),
        renderer.measure(rounds=5),
        history.measure(runs=10_000),
    )
)
