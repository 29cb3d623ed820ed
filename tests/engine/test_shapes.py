"""Every further shape of a family gives what transformers gives: prompts, chunks, caches, text."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Control, Generation
from qvq_mlx.engine.cache_files import KeptFiles
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.prefill import Reader
from qvq_mlx.engine.prefix import PrefixCache
from qvq_mlx.engine.row import Start
from qvq_mlx.engine.session import Session
from qvq_mlx.families import ModelType
from tests.engine.conftest import ids_of, returned
from tests.engine.families import (
    BOUND,
    DATA,
    SEEING,
    SYSTEM,
    Checkpoint,
    all_logits,
    greedy,
    last_logits,
    made,
    started,
)
from tests.engine.test_video import asked
from tests.engine.test_video import started as started_with_a_clip

SHAPES = sorted(path.name for path in DATA.iterdir() if "-" in path.name)
CHUNKS = (7, 32, 512)
"""Tokens; the first two cut pictures."""


@pytest.fixture(scope="module", params=SHAPES)
def shaped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    name, dash, variant = request.param.partition("-")
    folder = tmp_path_factory.mktemp("shaped") / "made"
    return made(ModelType(name), folder, f"{dash}{variant}")


def test_every_family_has_three_shapes() -> None:
    for family in ModelType:
        assert sum(shape.startswith(f"{family}-") for shape in SHAPES) >= 2, family


def test_logits_equal_transformers(shaped: Checkpoint) -> None:
    for case in ("text", "three") if shaped.family in SEEING else ("text",):
        logits, expected = all_logits(shaped, case), shaped.golden[f"{case}.logits"]
        assert expected.std() > 0.5
        assert np.abs(logits[shaped.golden[f"{case}.rows"]] - expected).max() <= BOUND
        assert np.array_equal(logits.argmax(-1), shaped.golden[f"{case}.argmax"])
        for chunk in CHUNKS:
            start = started(shaped.session.in_chunks_of(chunk), shaped, case)
            assert np.abs(last_logits(start) - expected[-1]).max() <= BOUND


def test_a_clip_among_pictures_equals_transformers(shaped: Checkpoint) -> None:
    if shaped.family not in SEEING:
        pytest.skip("reads text only")
    prompt, expected = asked(shaped, "mixed"), shaped.golden["mixed.logits"]
    assert list(prompt.ids) == shaped.golden["mixed.ids"].tolist()
    for chunk in CHUNKS:
        start = started_with_a_clip(shaped.session.in_chunks_of(chunk), prompt)
        assert np.abs(last_logits(start) - expected[-1]).max() <= BOUND


def test_120_greedy_tokens_equal_transformers(shaped: Checkpoint) -> None:
    start = started(shaped.session, shaped, "one" if shaped.family in SEEING else "text")
    assert list(greedy(start, 120)) == shaped.golden["greedy.ids"].tolist()


def test_what_is_kept_of_pictures_is_a_cold_run_to_the_bit(
    shaped: Checkpoint, tmp_path: Path
) -> None:
    if shaped.family not in SEEING:
        pytest.skip("reads text only")
    kept = KeptFiles(tmp_path, 2**30)

    def session(prefixes: PrefixCache) -> Session:
        return Session(Reader(shaped.session.parts, prefixes), Drafts(Drafting.NONE))

    generation = Generation(Sampling(), 8)
    first, then = (
        shaped.session.prompt(question, shaped.pictures(3), SYSTEM)
        for question in ("How many?", "And what is in the corner?")
    )
    list(session(PrefixCache(kept)).generate(first, generation, Control()))
    warm, cold = session(PrefixCache(kept)), session(PrefixCache(None))
    ours, theirs = (
        cast("Start", returned(each.reader.read(then, Control()))) for each in (warm, cold)
    )
    assert ours.cached_tokens > ours.cached_images == 3
    assert np.array_equal(last_logits(ours), last_logits(theirs))
    texts = [
        ids_of(list(each.generate(then, generation, Control())))
        for each in (session(PrefixCache(kept)), cold)
    ]
    assert texts[0] == texts[1]
