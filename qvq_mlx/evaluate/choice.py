"""Which questions are asked and under which budgets, from the words that a user gave."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import EvaluateModel
from qvq_mlx.core.request import Budget
from qvq_mlx.evaluate.datasets import DATA_SETS
from qvq_mlx.evaluate.gold import Benchmark
from qvq_mlx.evaluate.question import PromptStyle
from qvq_mlx.guards.budget import parse_budget

_EXAMPLE = EvaluateModel(Benchmark.MATHVISION)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which questions are asked, and how they are put.

    `folder` holds the data set, None for the one that was pulled. `sample` None: all of the split.
    """

    benchmark: Benchmark
    folder: Path | None
    split: str
    prompts: PromptStyle = PromptStyle.OFFICIAL
    sample: int | None = None
    seed: int = 0
    retry_errors: bool = False


def benchmark_of(name: str) -> Benchmark:
    """Return the benchmark of a name. Raises UsageError."""
    if name not in list(Benchmark):
        raise UsageError(f"{name!r} is no benchmark; there are {', '.join(Benchmark)}", _EXAMPLE)
    return Benchmark(name)


def prompts_of(name: str) -> PromptStyle:
    """Return the style of a name. Raises UsageError."""
    if name not in list(PromptStyle):
        raise UsageError(f"{name!r} are no prompts; there are {', '.join(PromptStyle)}", _EXAMPLE)
    return PromptStyle(name)


def split_of(benchmark: Benchmark, name: str | None) -> str:
    """Return a split's name; for None the one that published numbers are of."""
    return name or DATA_SETS[benchmark].split


def budgets_of(one: str | None, several: str | None) -> tuple[Budget | None, ...]:
    """Return one thinking budget or, from a list with commas, several. Raises UsageError.

    None stands for the model card's own.
    """
    if several is None:
        return (None if one is None else parse_budget(one),)
    return tuple(parse_budget(part) for part in several.split(",") if part.strip())
