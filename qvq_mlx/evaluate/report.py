"""What an evaluation comes to, as values: shares with intervals, by stratum, beside the published.

Law: every share is of the questions that were asked; a question without an answer, or one that
could not be judged, counts as wrong and is counted apart.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qvq_mlx.batch.record import Status
from qvq_mlx.core.events import StopReason
from qvq_mlx.evaluate import published
from qvq_mlx.evaluate.deviations import Deviation, deviations
from qvq_mlx.evaluate.folder import RunRecord
from qvq_mlx.evaluate.gold import Verdict
from qvq_mlx.evaluate.result import Result
from qvq_mlx.evaluate.statistics import Interval, Paired, paired, wilson

VERSION = 1


@dataclass(frozen=True, slots=True)
class Share:
    """So many of `total` are correct; `interval` is where the accuracy lies, at 95 %."""

    name: str
    correct: int
    total: int
    interval: Interval

    @property
    def accuracy(self) -> float:
        """Return the share, 0 to 1; 0 of nothing is 0."""
        return self.correct / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Spending:
    """What the answers cost. Tokens are means per question, null where nobody counted."""

    thinking_tokens: float | None
    generated_tokens: float | None
    longest_tokens: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """The results under one thinking budget; null: without bounds.

    `no_answer`: the canonical reading finds none. `unjudged`: comparing took too long. `errors`:
    could not be asked. `cut_off`: ended by the most tokens. `budget_spent`: ended by the budget.
    `reused`: taken from a larger budget, which would have given the same text.
    """

    budget_tokens: int | None
    canonical: Share
    strict: Share
    strata: tuple[tuple[str, tuple[Share, ...]], ...]
    no_answer: int
    unjudged: int
    errors: int
    looped: int
    cut_off: int
    budget_spent: int
    reused: int
    spending: Spending


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs over the questions that both asked, by the canonical reading.

    `difference` is the second accuracy minus the first, with its 95 % interval; `p_value` is
    McNemar's, exact.
    """

    first: str
    second: str
    counts: Paired
    difference: float
    interval: Interval
    p_value: float


@dataclass(frozen=True, slots=True)
class Report:
    """An evaluation's outcome. `published` is in percent, by model. `deviations`: what was done
    otherwise than in VLMEvalKit's configuration for QVQ.
    """

    version: int
    run: RunRecord
    budgets: tuple[BudgetReport, ...]
    published: dict[str, float]
    comparison: Comparison | None = None
    deviations: tuple[Deviation, ...] = ()


def reported(
    run: RunRecord,
    budgets: Iterable[tuple[int | None, Sequence[Result], float]],
    comparison: Comparison | None = None,
) -> Report:
    """Sum up the results under each budget, given with the seconds that they took."""
    sums = tuple(of_budget(tokens, results, seconds) for tokens, results, seconds in budgets)
    return Report(
        VERSION,
        run,
        sums,
        published.row(run.setting.benchmark),
        comparison,
        deviations(run.setting),
    )


def of_budget(budget_tokens: int | None, results: Sequence[Result], seconds: float) -> BudgetReport:
    """Sum up the results under one budget."""
    canonical = [result.canonical.verdict for result in results]
    strict = [result.strict.verdict for result in results]
    stops = [result.stop_reason for result in results]
    return BudgetReport(
        budget_tokens=budget_tokens,
        canonical=_share("canonical", canonical),
        strict=_share("strict", strict),
        strata=_by_stratum(results),
        no_answer=canonical.count(Verdict.NO_ANSWER),
        unjudged=canonical.count(Verdict.UNJUDGED),
        errors=sum(result.status is Status.ERROR for result in results),
        looped=sum(result.looped for result in results),
        cut_off=stops.count(StopReason.LENGTH),
        budget_spent=stops.count(StopReason.BUDGET),
        reused=sum(result.thinking_budget_tokens != budget_tokens for result in results),
        spending=_spending(results, seconds),
    )


def compared(
    first: str, first_results: Sequence[Result], second: str, second_results: Sequence[Result]
) -> Comparison:
    """Compare two runs over the questions that both asked."""
    other = {result.id: result.correct for result in second_results}
    both = [(result.correct, other[result.id]) for result in first_results if result.id in other]
    counts = paired([one for one, _ in both], [two for _, two in both])
    return Comparison(first, second, counts, counts.difference, counts.interval, counts.p_value)


def within(results: Sequence[Result], thinking_tokens: int) -> Share:
    """Return the share of answers that are correct and took at most so much thinking.

    A lower bound of what a budget of that size gives: asked to conclude, the model answers some of
    the others too.
    """
    correct = sum(
        result.correct and (result.thinking_tokens or 0) <= thinking_tokens for result in results
    )
    return Share(f"{thinking_tokens:,}", correct, len(results), wilson(correct, len(results)))


def _by_stratum(results: Sequence[Result]) -> tuple[tuple[str, tuple[Share, ...]], ...]:
    """Return the shares of each stratum, in the order of the data set's own names."""
    names = list(dict.fromkeys(name for result in results for name, _ in result.strata))
    found = []
    for name in names:
        verdicts: dict[str, list[Verdict]] = {}
        for result in results:
            value = dict(result.strata).get(name, "")
            verdicts.setdefault(value, []).append(result.canonical.verdict)
        shares = tuple(_share(value, verdicts[value]) for value in sorted(verdicts))
        found.append((name, shares))
    return tuple(found)


def _share(name: str, verdicts: Sequence[Verdict]) -> Share:
    correct = verdicts.count(Verdict.CORRECT)
    return Share(name, correct, len(verdicts), wilson(correct, len(verdicts)))


def _spending(results: Sequence[Result], seconds: float) -> Spending:
    thinking = [one.thinking_tokens for one in results if one.thinking_tokens is not None]
    generated = [one.generated_tokens for one in results if one.generated_tokens is not None]
    return Spending(
        thinking_tokens=statistics.fmean(thinking) if thinking else None,
        generated_tokens=statistics.fmean(generated) if generated else None,
        longest_tokens=max(generated, default=None),
        seconds=seconds,
    )
