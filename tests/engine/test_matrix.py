"""A hundred prompts of every family: drafts, caches, steering, schemas and rows change no text."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from qvq_mlx.core.card import Thinking
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import AnswerConstraint, Control, Generation, Prompt, Token
from qvq_mlx.engine.cache_files import KeptFiles
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.prefill import Reader
from qvq_mlx.engine.prefix import PrefixCache
from qvq_mlx.engine.session import Session
from qvq_mlx.families import ModelType, family_named
from tests.engine.families import SEEING, SYSTEM, Checkpoint
from tests.engine.heads import headed

Load = Callable[[ModelType], Checkpoint]
PROMPTS, WRITTEN = 100, 16
SCHEMA = '{"type": "integer", "minimum": 0, "maximum": 99}'
CLOSING = "\n\nSo the answer is "
WAYS = list(
    itertools.product((Sampling(), Sampling(0.7, seed=3)), ("free", "steer", "stop", "schema"))
)


def written(session: Session, prompt: Prompt, sampling: Sampling, way: str) -> list[int]:
    """The ids of a run that is told after 5 tokens to answer, or after 9 to stop."""
    constraint = AnswerConstraint(Thinking(), SCHEMA) if way == "schema" else None
    control, ids = Control(), []
    generation = Generation(sampling, WRITTEN, CLOSING, constraint)
    for step in session.generate(prompt, generation, control):
        if isinstance(step, Token):
            ids.append(step.id)
            if way == "steer" and len(ids) == 5:
                control.conclude()
            if way == "stop" and len(ids) == 9:
                control.stop()
    return ids


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("family", list(ModelType))
def test_a_hundred_prompts(checkpoint: Load, family: ModelType, tmp_path: Path) -> None:
    """Each drafter under each sampling, told each way, three times at the least."""
    made, own = checkpoint(family), []
    if family_named(family).draft_head is not None:
        there = headed(family, tmp_path / "headed")
        made, own = there.there, [there.drafts(3)]
    parts = made.session.parts
    kept = KeptFiles(tmp_path / "kept", 2**28)
    drafters = [
        Drafts(Drafting.NONE),
        Drafts(Drafting.LOOKUP, always=4),
        Drafts(Drafting.MODEL, made.session.reader, always=3),
        *own,
    ]
    for number in range(PROMPTS):
        sampling, way = WAYS[number % len(WAYS)]
        pictures = made.pictures(number % 3) if family in SEEING else []
        prompt = made.session.prompt(
            f"Question {number}: what is {number * 7} of these?", pictures, SYSTEM
        )
        cold = Session(Reader(parts, PrefixCache(None)), Drafts(Drafting.NONE))
        plain = written(cold, prompt, sampling, way)
        drafts = drafters[number // len(WAYS) % len(drafters)]
        cached = Session(Reader(parts, PrefixCache(kept)), drafts)
        assert written(cached, prompt, sampling, way) == plain, (number, way, sampling)
        if way == "free":
            samplings = [sampling, Sampling(0.7, seed=number), Sampling(1.0, seed=number)]
            alone = [plain, *(written(cold, prompt, other, way) for other in samplings[1:])]
            assert in_rows(cold, prompt, samplings) == alone, number


def in_rows(session: Session, prompt: Prompt, samplings: Sequence[Sampling]) -> list[list[int]]:
    """The ids of each sample of a vote."""
    ways = [(Generation(sampling, WRITTEN, CLOSING), Control()) for sampling in samplings]
    ids: list[list[int]] = [[] for _ in ways]
    for step in session.generate_rows(prompt, ways):
        if isinstance(step, Token):
            ids[step.row].append(step.id)
    return ids
