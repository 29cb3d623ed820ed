"""Accuracy over thinking, as points of a chart.

With several budgets each is a point, measured. With one, a point says how many answers were right
within so much thinking: what a smaller budget would give at least.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qvq_mlx.evaluate.gold import Benchmark
from qvq_mlx.evaluate.markdown import NO_BOUNDS, budget_name
from qvq_mlx.evaluate.published import MODELS, row
from qvq_mlx.evaluate.report import Report, Share, within
from qvq_mlx.evaluate.result import Result
from qvq_mlx.images.line_chart import Point, Reference, line_chart

_STEPS_TOKENS = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


def curve_of(report: Report, results: Sequence[Result]) -> tuple[str, tuple[Share, ...]]:
    """Return what the x axis is, and a share per point; `results` are those of the only budget."""
    if len(report.budgets) > 1:
        ordered = sorted(report.budgets, key=lambda one: _tokens(one.budget_tokens))
        return "thinking budget (tokens)", tuple(
            Share(
                budget_name(one.budget_tokens),
                one.canonical.correct,
                one.canonical.total,
                one.canonical.interval,
            )
            for one in ordered
        )
    most = max((result.thinking_tokens or 0 for result in results), default=0)
    steps = [step for step in _STEPS_TOKENS if step < most] + [most]
    return "answered right within (thinking tokens)", tuple(within(results, one) for one in steps)


def as_png(benchmark: Benchmark, model: str, axis: str, shares: Sequence[Share]) -> bytes:
    """Return the chart, with the published number of the model's card as a line."""
    longest = max((_number(share.name) for share in shares), default=0.0)
    points = [
        Point(
            _number(share.name) if share.name != NO_BOUNDS else 2 * longest + 1024,
            share.name,
            share.accuracy,
            share.interval.low,
            share.interval.high,
        )
        for share in shares
    ]
    level = row(benchmark)[MODELS[0]]
    reference = Reference(f"{MODELS[0]}, published: {level:.1f} %", level / 100)
    return line_chart(f"{model} on {benchmark}", axis, points, (reference,))


def _tokens(budget_tokens: int | None) -> float:
    return math.inf if budget_tokens is None else budget_tokens


def _number(name: str) -> float:
    return 0.0 if name == NO_BOUNDS else float(name.replace(",", ""))
