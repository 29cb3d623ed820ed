"""What thinking, votes and a double check are worth to the embedded model: accuracy and cost.

    python -m benchmarks.budgets [--seed 11] [--count 200]

Held-out pictures, each asked in every way in turns, greedily and without drafting (votes: at their
default temperature), with nothing kept from the way before. An answer counts when it is whole and
its box holds exactly the true answer. Time is of the whole run after load, as the sum over all
pictures divided by the plain run's. Tokens are all that were generated, forced ones and a second
look included; the forced closing text makes runs on a budget longer than thinking and answer.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from benchmarks.results import machine
from qvq_mlx import images
from qvq_mlx.core.events import Done, Transcript
from qvq_mlx.core.plan import Plan, Resolved
from qvq_mlx.core.request import Method, Request
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Control
from qvq_mlx.engine import loaded
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.prefill import Reader
from qvq_mlx.engine.prefix import PrefixCache
from qvq_mlx.engine.session import Session
from qvq_mlx.reply.box import boxed
from qvq_mlx.reply.canonical import canonical
from qvq_mlx.run import ask, vote
from qvq_mlx.store import registry
from tools.tiny.cases import Case, held_out
from tools.tiny.replies import TASKS

PLAIN = "full"
DOUBLE_CHECK = "`--double-check`"
BUDGETS = (0, 8, 16, 32, 48, 64, 96)
VOTES = (3, 5)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question asked in one way."""

    truth: str
    answer: str | None
    done: Done
    seconds: float

    @property
    def right(self) -> bool:
        """Whether a whole answer's box holds exactly the truth."""
        return self.answer is not None and boxed(self.answer) == self.truth

    @property
    def tokens(self) -> int:
        """All that were generated."""
        look = self.done.double_check
        return self.done.stats.generated_tokens + (look.generated_tokens if look else 0)


@dataclass(slots=True)
class Row:
    """All pictures, asked in one way."""

    name: str
    outcomes: list[Outcome] = field(default_factory=list)

    def mean(self, values: Iterator[float]) -> float:
        """Over the pictures."""
        return sum(values) / len(self.outcomes)


def ways(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Every way to ask, by its name in the table; the plain one first."""
    yield PLAIN, plan
    for budget in BUDGETS:
        bounded = replace(plan.resolved, budget_tokens=budget)
        yield f"`--budget {budget}`", replace(plan, resolved=bounded)
    sampling = replace(plan.resolved.sampling, temperature=vote.TEMPERATURE)
    warm = replace(plan, resolved=replace(plan.resolved, sampling=sampling))
    for votes in VOTES:
        yield f"`--vote {votes}`", _by(Method(votes=votes), warm)
    yield DOUBLE_CHECK, _by(Method(double_check=True), plan)


def _by(method: Method, plan: Plan) -> Plan:
    return replace(plan, request=replace(plan.request, method=method))


def asked(session: Session, plan: Plan, truth: str) -> Outcome:
    """One run; the prefix of an earlier one is not there."""
    drafts = Drafts(Drafting.NONE)
    cold = Session(Reader(session.parts, PrefixCache(None)), drafts)
    began = time.perf_counter()
    transcript = Transcript()
    for event in ask.answers(cold, plan, Control()):
        transcript.add(event)
    seconds = time.perf_counter() - began
    assert isinstance(event, Done)
    return Outcome(truth, transcript.answer if event.complete else None, event, seconds)


def plan_of(case: Case) -> Plan:
    """A case as `qvq ask` would plan it, without a budget."""
    card, folder = registry.resolve("tiny", Path("no hub"))
    file = io.BytesIO()
    case.image.save(file, "PNG")
    file.seek(0)
    picture = images.read("-", card.vision, images.ImageSources(file))[0]
    request = Request(case.question, ("-",), "tiny")
    resolved = Resolved(card, folder, card.system, card.sampling, card.max_tokens)
    return Plan(request, resolved, (picture,))


def measure(seed: int, count: int) -> dict[str, Row]:
    """Every way by its name."""
    rows: dict[str, Row] = {}
    session: Session | None = None
    for case in held_out(seed, TASKS, count):
        plain = plan_of(case)
        if session is None:
            session = cast("Session", loaded(plain.resolved.card, plain.resolved.folder))
        for name, plan in ways(plain):
            rows.setdefault(name, Row(name)).outcomes.append(asked(session, plan, case.answer))
    return rows


def table(rows: dict[str, Row]) -> Iterator[str]:
    """The rows as Markdown, the plain one between budgets and the rest."""
    plain = rows[PLAIN]
    plain_s = sum(outcome.seconds for outcome in plain.outcomes)
    yield "| asked | right | thinking tokens | generated tokens | time / full |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    names = list(rows)
    for name in [*names[1 : 1 + len(BUDGETS)], PLAIN, *names[1 + len(BUDGETS) :]]:
        row = rows[name]
        right = sum(outcome.right for outcome in row.outcomes)
        thinking = row.mean(o.done.stats.thinking_tokens for o in row.outcomes)
        tokens = row.mean(outcome.tokens for outcome in row.outcomes)
        time_s = sum(outcome.seconds for outcome in row.outcomes)
        share = right / len(row.outcomes)
        yield (
            f"| {name} | {share:.1%} ({right}) | {thinking:.1f} | {tokens:.1f} "
            f"| {time_s / plain_s:.2f} |"
        )


def remarks(rows: dict[str, Row]) -> Iterator[str]:
    """What agreement is worth."""
    for votes in VOTES:
        yield from _about_votes(votes, rows[f"`--vote {votes}`"].outcomes)
    yield from _about_looks(rows[DOUBLE_CHECK].outcomes)


def _about_votes(votes: int, outcomes: list[Outcome]) -> Iterator[str]:
    right_samples = 0
    agreed: list[bool] = []
    split: list[bool] = []
    for outcome in outcomes:
        vote = outcome.done.vote
        assert vote is not None
        (agreed if vote.agreement == 1 else split).append(outcome.right)
        truth = canonical(outcome.truth)
        right_samples += sum(tally.count for tally in vote.tallies if tally.answer == truth)
    single = right_samples / votes / len(outcomes)
    yield (
        f"- `--vote {votes}`: a single sample is right in {single:.1%}. Where all agree, "
        f"{sum(agreed)} of {len(agreed)} are right; where not, {sum(split)} of {len(split)}."
    )


def _about_looks(outcomes: list[Outcome]) -> Iterator[str]:
    counts: dict[tuple[bool, bool | None], int] = {}
    second_right = cached = prompt = 0
    for outcome in outcomes:
        look = outcome.done.double_check
        if look is None:
            continue
        cell = (outcome.right, look.agrees)
        counts[cell] = counts.get(cell, 0) + 1
        second_right += look.answer is not None and boxed(look.answer) == outcome.truth
        cached += look.cached_tokens
        prompt += look.prompt_tokens
    for right in (True, False):
        said = ", ".join(
            f"{word} {counts.get((right, agrees), 0)}"
            for word, agrees in (("agrees", True), ("differs", False), ("undecided", None))
        )
        yield f"- {DOUBLE_CHECK}, first answer {'right' if right else 'wrong'}: {said}."
    yield (
        f"- {DOUBLE_CHECK}: the second answers alone are right in {second_right} of"
        f" {len(outcomes)}; "
        f"{cached / prompt:.0%} of their prompt tokens were kept of the first look."
    )


def main() -> None:
    """Print the machine, the table, the remarks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    rows = measure(options.seed, options.count)
    print(machine())
    print(f"\nqvq-tiny, {options.count} held-out pictures, seed {options.seed}\n")
    for line in (*table(rows), "", *remarks(rows)):
        print(line)


if __name__ == "__main__":
    main()
