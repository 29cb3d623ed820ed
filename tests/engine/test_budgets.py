"""Budgets, votes and double checks on the embedded model: drafting never changes the text.

Drafters that never stop, however slow they are, as in test_drafting: what is tested is the text.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.events import Done, Event, Notice, Stats, StopReason, checked, fold
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.plan import Plan, Resolved
from qvq_mlx.core.request import Method, Request, Sampling
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Control
from qvq_mlx.engine import loaded
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.prefill import Reader
from qvq_mlx.engine.prefix import PrefixCache
from qvq_mlx.engine.session import Session
from qvq_mlx.reply.canonical import canonical
from qvq_mlx.run import ask
from qvq_mlx.store import registry
from tests.conftest import EXAMPLES, World
from tests.engine.conftest import goldens

BUDGETS = (0, 1, 2, 5, 17, None)


@pytest.fixture(scope="module")
def plan(card: ModelCard, folder: Path, picture: Callable[[Path], Picture]) -> Plan:
    golden = goldens()[0]
    pictures = (picture(golden.image),)
    request = Request(golden.question, (golden.image,), card.name)
    resolved = Resolved(card, folder, card.system, Sampling(), 200)
    return Plan(request, resolved, pictures)


@pytest.fixture(scope="module")
def drafted(tiny: Session) -> dict[str, Session]:
    card = registry.find("tiny-draft")
    reader = cast("Session", loaded(card, registry.folder_of(card, Path("nowhere")))).reader
    return {
        "none": tiny,
        "lookup": tiny.drafted_by(Drafts(Drafting.LOOKUP, always=4)),
        "model": tiny.drafted_by(Drafts(Drafting.MODEL, reader, always=4)),
    }


def told(session: Session, plan: Plan) -> list[Event]:
    return list(checked(ask.answers(session, plan, Control())))


def text(events: list[Event]) -> tuple[str, str, Done, list[Event]]:
    """What was written and said, without what it took."""
    done = events[-1]
    assert isinstance(done, Done)
    stats = Stats(
        thinking_tokens=done.stats.thinking_tokens, answer_tokens=done.stats.answer_tokens
    )
    transcript = fold(events)
    notices = [event for event in events if isinstance(event, Notice)]
    return transcript.thinking, transcript.answer, replace(done, stats=stats), notices


@pytest.mark.sampled(3)
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.8, seed=3)], ids=["greedy", "warm"])
@pytest.mark.parametrize("budget", BUDGETS)
def test_a_budget_gives_the_same_text_with_and_without_drafts(
    drafted: dict[str, Session], plan: Plan, budget: int | None, sampling: Sampling
) -> None:
    bounded = replace(
        plan, resolved=replace(plan.resolved, budget_tokens=budget, sampling=sampling)
    )
    plain, *others = [text(told(session, bounded)) for session in drafted.values()]
    assert others == [plain, plain]
    done = plain[2]
    assert done.complete or not plain[1].endswith("}")
    if budget is not None:
        assert done.stats.thinking_tokens == budget
        assert done.stop_reason is StopReason.BUDGET


@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(budget=st.integers(0, 80), name=st.sampled_from(["lookup", "model"]))
def test_steering_at_any_index_gives_the_same_text(
    drafted: dict[str, Session], plan: Plan, budget: int, name: str
) -> None:
    bounded = replace(plan, resolved=replace(plan.resolved, budget_tokens=budget))
    assert text(told(drafted[name], bounded)) == text(told(drafted["none"], bounded))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("budget", BUDGETS)
def test_the_program_ends_in_an_answer_or_says_that_there_is_none(
    world: Callable[..., World], budget: int | None
) -> None:
    found = []
    for draft in ("none", "tiny-draft", "lookup"):
        w = world()
        code = w.run(
            *("ask", "-m", "tiny", str(EXAMPLES / "shapes.png"), "How many circles?", "--json"),
            *("--budget", "none" if budget is None else str(budget), "--draft", draft),
        )
        document = json.loads(w.out)
        assert code == (3 if document["answer"] is None else 0)
        found.append((code, document["thinking"], document["answer"], document["partial_answer"]))
    assert found[1:] == [found[0]] * 2


@pytest.mark.sampled(2)
@pytest.mark.parametrize("budget", [None, 6])
def test_a_vote_counts_what_single_runs_answer(
    tiny: Session, plan: Plan, budget: int | None
) -> None:
    warm = replace(
        plan, resolved=replace(plan.resolved, sampling=Sampling(1.3, seed=4), budget_tokens=budget)
    )
    singles = []
    for number in range(4):
        sampling = replace(warm.resolved.sampling, seed=4 + number)
        one = replace(warm, resolved=replace(warm.resolved, sampling=sampling))
        singles.append(told(tiny, one))
    events = told(tiny, replace(warm, request=replace(warm.request, method=Method(votes=4))))
    done = events[-1]
    assert isinstance(done, Done)
    assert done.vote is not None
    given = {n: tally.answer for tally in done.vote.tallies for n in tally.samples}
    assert given == {
        number: canonical(fold(events).answer)
        for number, events in enumerate(singles)
        if cast("Done", events[-1]).complete
    }
    assert fold(events) == fold(singles[done.vote.chosen])
    every = [cast("Done", single[-1]).stats for single in singles]
    assert done.stats.thinking_tokens == sum(stats.thinking_tokens for stats in every)
    assert done.stats.answer_tokens == sum(stats.answer_tokens for stats in every)


def test_a_double_check_reads_the_prefix_that_is_kept(tiny: Session, plan: Plan) -> None:
    cold = Session(Reader(tiny.parts, PrefixCache(None)), Drafts(Drafting.NONE))
    events = told(
        cold, replace(plan, request=replace(plan.request, method=Method(double_check=True)))
    )
    done = events[-1]
    assert isinstance(done, Done)
    assert done.stats.cached_tokens == 0
    look = done.double_check
    assert look is not None
    assert plan.pictures[0].tokens < look.cached_tokens < look.prompt_tokens
    assert fold(events) == fold(told(tiny, plan))
