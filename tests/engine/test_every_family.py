"""What the engine promises, for every family: caches, drafts, steering and rows change nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Control, Finished, Generation, Prompt, Step, Token
from qvq_mlx.engine.cache_files import KeptFiles
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.prefill import Reader
from qvq_mlx.engine.prefix import PrefixCache
from qvq_mlx.engine.session import Session
from qvq_mlx.families import ModelType
from tests.engine.conftest import ids_of
from tests.engine.families import QUESTION, SEEING, SYSTEM, Checkpoint

Load = Callable[[ModelType], Checkpoint]
GREEDY, WARM = Sampling(), Sampling(0.8, seed=5)
PENALISED = Sampling(0.8, seed=5, repetition_penalty=1.3, presence_penalty=1.5)
CLOSING = "\n\nSo the answer is "
TOKENS = 24


def asked(made: Checkpoint, question: str = QUESTION, pictures: int = 2) -> Prompt:
    count = pictures if made.family in SEEING else 0
    return made.session.prompt(question, made.pictures(count), SYSTEM)


def run(
    session: Session, prompt: Prompt, sampling: Sampling = GREEDY, conclude_after: int = -1
) -> list[Step]:
    control = Control()
    steps: list[Step] = []
    for step in session.generate(prompt, Generation(sampling, TOKENS, CLOSING), control):
        steps.append(step)
        if isinstance(step, Token) and len(ids_of(steps)) == conclude_after:
            control.conclude()
    return steps


def drafters(made: Checkpoint) -> list[Drafts]:
    """The model for itself, which is always right, and lookup, which hardly ever is."""
    return [
        Drafts(Drafting.MODEL, made.session.reader, always=3),
        Drafts(Drafting.LOOKUP, always=4),
    ]


@pytest.mark.parametrize("family", SEEING)
def test_another_question_after_a_restart_equals_a_cold_run(
    checkpoint: Load, family: ModelType, tmp_path: Path
) -> None:
    made = checkpoint(family)
    kept = KeptFiles(tmp_path, 2**30)

    def restarted() -> Session:
        return Session(Reader(made.session.parts, PrefixCache(kept)), Drafts(Drafting.NONE))

    run(restarted(), asked(made))
    other = asked(made, "And what is in the corner?")
    cold = run(Session(Reader(made.session.parts, PrefixCache(None)), Drafts(Drafting.NONE)), other)
    warm = run(restarted(), other)
    assert ids_of(warm) == ids_of(cold)
    assert isinstance(warm[-1], Finished)
    assert warm[-1].cached_tokens > warm[-1].image_tokens > 0


@pytest.mark.sampled(2)
@pytest.mark.parametrize("sampling", [GREEDY, WARM, PENALISED], ids=["greedy", "warm", "penalised"])
@pytest.mark.parametrize("family", list(ModelType))
def test_a_drafter_never_changes_the_text(
    checkpoint: Load, family: ModelType, sampling: Sampling
) -> None:
    made = checkpoint(family)
    prompt = asked(made)
    plain = ids_of(run(made.session, prompt, sampling))
    for drafts in drafters(made):
        assert ids_of(run(made.session.drafted_by(drafts), prompt, sampling)) == plain


@pytest.mark.sampled(2)
@pytest.mark.parametrize("family", list(ModelType))
def test_steering_gives_the_same_text_with_and_without_drafts(
    checkpoint: Load, family: ModelType
) -> None:
    made = checkpoint(family)
    prompt = asked(made)
    closing = made.session.parts.vocabulary.encode(CLOSING)
    for after in (1, 2, 4, 7):
        plain = ids_of(run(made.session, prompt, conclude_after=after))
        assert plain[after : after + len(closing)] == closing
        for drafts in drafters(made):
            steered = run(made.session.drafted_by(drafts), prompt, conclude_after=after)
            assert ids_of(steered) == plain


@pytest.mark.parametrize("family", list(ModelType))
def test_rows_equal_single_runs(checkpoint: Load, family: ModelType) -> None:
    made = checkpoint(family)
    prompt = asked(made)
    samplings = [Sampling(0.9, seed=seed) for seed in range(2)]
    samplings.append(PENALISED)
    ways = [(Generation(sampling, TOKENS), Control()) for sampling in samplings]
    texts: list[list[int]] = [[] for _ in ways]
    for step in made.session.generate_rows(prompt, ways):
        if isinstance(step, Token):
            texts[step.row].append(step.id)
    assert texts == [ids_of(run(made.session, prompt, sampling)) for sampling in samplings]
