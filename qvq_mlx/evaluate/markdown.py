"""The report as Markdown, and its curve as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from qvq_mlx.evaluate.report import BudgetReport, Comparison, Report, Share
from qvq_mlx.evaluate.statistics import Interval

_READINGS = (
    "Intervals are Wilson's, at 95 %. *Canonical* judges the final value of an answer, *strict* is"
    " the benchmark's own parser on the answer as it stands. No answer counts as wrong."
)
NO_BOUNDS = "no bounds"
_BAR_CELLS = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"
_DEVIATIONS = 4.0
"""Percentage points by which groups that measured the same weights differ."""


def as_markdown(report: Report) -> str:
    """Return the whole report."""
    setting = report.run.setting
    asked = f"{len(setting.questions):,} questions"
    if setting.sample is not None:
        asked += f", a stratified sample with seed {setting.seed}"
    lines = [
        f"# {setting.model} on {setting.benchmark}",
        "",
        f"Split `{setting.split}`: {asked}. Prompts: {setting.prompts}.",
        "",
        *_accuracy(report),
        "",
        _READINGS,
        "",
        *_published(report),
    ]
    for budget in report.budgets:
        lines += ["", *_details(budget, several=len(report.budgets) > 1)]
    if report.comparison is not None:
        lines += ["", *_comparison(report.comparison)]
    if report.deviations:
        lines += ["", *_deviations(report)]
    lines += ["", *_conditions(report)]
    return "\n".join(lines) + "\n"


def as_bars(shares: Sequence[Share]) -> str:
    """Return a bar per share, as long as its accuracy, with the ends of its interval in words."""
    width = max((len(share.name) for share in shares), default=0)
    return "".join(
        f"{share.name.rjust(width)}  {_bar(share.accuracy)}  {_percent(share.accuracy):>6}"
        f"  {_range(share.interval)}\n"
        for share in shares
    )


def budget_name(budget_tokens: int | None) -> str:
    """Return a thinking budget in words."""
    return NO_BOUNDS if budget_tokens is None else f"{budget_tokens:,}"


def _accuracy(report: Report) -> list[str]:
    rows = [
        [
            budget_name(one.budget_tokens),
            *(_cell(one.canonical), _cell(one.strict)),
            *(f"{one.no_answer:,}", f"{one.looped:,}", f"{one.budget_spent:,}"),
            _mean(one.spending.thinking_tokens),
        ]
        for one in report.budgets
    ]
    head = ["thinking budget", "canonical", "strict", "no answer", "loops", "budget spent"]
    return _table([*head, "thinking tokens"], rows)


def _published(report: Report) -> list[str]:
    rows = [[name, f"{percent:.1f} %"] for name, percent in report.published.items()]
    note = (
        f"The makers' harness is not public; the same weights were measured up to"
        f" {_DEVIATIONS:.0f} points apart by prompt and parser alone."
    )
    return ["## Published", "", *_table(["model", "accuracy"], rows), "", note]


def _details(report: BudgetReport, *, several: bool) -> list[str]:
    title = f" with a budget of {budget_name(report.budget_tokens)}" if several else ""
    lines = [f"## By stratum{title}"]
    for name, shares in report.strata:
        rows = [[one.name or "(none)", f"{one.total:,}", _cell(one)] for one in shares]
        lines += ["", *_table([name, "questions", "canonical"], rows)]
    spending = report.spending
    lines += ["", f"## Cost{title}", ""]
    lines += [
        f"- thinking: {_mean(spending.thinking_tokens)} tokens per question on average",
        f"- generated: {_mean(spending.generated_tokens)} tokens per question on average",
        f"- the longest reply: {spending.longest_tokens or 0:,} tokens",
        f"- time: {spending.seconds / 3600:.2f} hours, the time of every answer added up",
        f"- ended by the most tokens: {report.cut_off:,}",
        f"- could not be asked: {report.errors:,}",
        f"- could not be judged in time: {report.unjudged:,}",
    ]
    if several:
        lines.append(f"- taken from a larger budget, with the same text: {report.reused:,}")
    return lines


def _comparison(found: Comparison) -> list[str]:
    counts = found.counts
    verdict = "differ" if found.p_value < 0.05 else "cannot be told apart"
    low, high = 100 * found.interval.low, 100 * found.interval.high
    shared = (
        f"Of {counts.total:,} questions both have {counts.both:,} right and {counts.neither:,}"
        f" wrong; {counts.only_first:,} only {found.first}, {counts.only_second:,} only"
        f" {found.second}."
    )
    difference = (
        f"Difference: {100 * found.difference:+.1f} points ({low:+.1f} to {high:+.1f});"
        f" McNemar's exact p = {found.p_value:.3g}: the two runs {verdict} at 95 %."
    )
    return [f"## {found.second} against {found.first}", "", shared, "", difference]


def _deviations(report: Report) -> list[str]:
    rows = [[one.condition, one.here, one.there] for one in report.deviations]
    title = "## Otherwise than VLMEvalKit's configuration for QVQ"
    return [title, "", *_table(["condition", "here", "VLMEvalKit"], rows, right=False)]


def _conditions(report: Report) -> list[str]:
    run = report.run
    versions = ", ".join(f"{name} {version}" for name, version in run.versions)
    return [
        "## Conditions",
        "",
        f"- model: {run.setting.model}, identity `{run.setting.model_identity}`",
        f"- machine: {run.machine.chip or 'unknown chip'}",
        f"- versions: {versions}",
        f"- request: `{run.setting.request}`",
        "- every prompt's and picture's sha256, and the data set's files: `run.json`",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: bool = True) -> list[str]:
    rule = ["---"] + ["---:" if right else "---"] * (len(head) - 1)
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, rule, *rows)]
    return [f"| {' | '.join(row)} |" for row in cells]


def _cell(share: Share) -> str:
    return f"{_percent(share.accuracy)} ({_range(share.interval)})"


def _range(interval: Interval) -> str:
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _mean(value: float | None) -> str:
    return "not known" if value is None else f"{value:,.0f}"


def _bar(share: float) -> str:
    eighths = round(share * _BAR_CELLS * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(_BAR_CELLS)
