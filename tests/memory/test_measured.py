"""The memory that a run is said to need is what it takes, on the backend of this machine.

Peaks are MLX's own. Metal's formula has other terms, and nobody measured them here.
"""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import pytest

from qvq_mlx.core.machine import Machine
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Control, Finished, Generation
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.prefill import Reader
from qvq_mlx.engine.prefix import PrefixCache
from qvq_mlx.engine.session import Session
from qvq_mlx.families import ModelType
from qvq_mlx.memory.estimate import Estimate, estimate
from qvq_mlx.store import local
from qvq_mlx.store.shape import stated_shape
from tests.engine.families import Checkpoint, card_of, layout_of, made, picture_of
from tools.families import drawn

WRITTEN = 16
GRIDS = ((6, 6), (16, 16))
"""Rows and columns of image tokens: the prompt, and then the encoder, takes the most."""
WORDS = (330, 30)


def run(there: Checkpoint, grid: tuple[int, int], words: int) -> tuple[int, Estimate]:
    """The peak of one question, and what was said before, in bytes."""
    import mlx.core as mx

    pictures = []
    if layout := layout_of(there.family):
        side, (rows, columns) = layout.factor_px, grid
        pixels = drawn.picture(rows * side, columns * side, 1)
        pictures = [picture_of(pixels, rows * columns)]
    reader = Reader(there.session.parts, PrefixCache(None))
    session = Session(reader, Drafts(Drafting.NONE))
    mx.clear_cache()
    prompt = session.prompt("word " * words, pictures, None)
    *_, last = session.generate(prompt, Generation(Sampling(), WRITTEN), Control())
    assert isinstance(last, Finished)
    card = replace(
        card_of(there.family, there.folder),
        shape=stated_shape(there.folder),
        download_bytes=local.weight_bytes(there.folder),
    )
    image = sum(picture.tokens for picture in pictures)
    machine = Machine(fused_attention=False)
    return last.peak_memory_bytes, estimate(
        card, machine, image, len(prompt.ids) - image, WRITTEN, 0
    )


@pytest.mark.sampled(2)
@pytest.mark.parametrize("family", list(ModelType))
def test_fit_is_within_a_tenth_of_what_was_measured(tmp_path: Path, family: ModelType) -> None:
    import mlx.core as mx

    if mx.metal.is_available():
        pytest.skip("the formula of the CPU backend")
    gc.collect()
    held = mx.get_active_memory()  # by models of other tests in this process
    there = made(family, tmp_path / "made")
    for grid, words in zip(GRIDS, WORDS, strict=True):
        peak, found = run(there, grid, words)
        assert found.needed_bytes == pytest.approx(peak - held, rel=0.1), (grid, words)
