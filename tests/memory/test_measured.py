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
from qvq_mlx.memory.estimate import Estimate, Use, estimate
from qvq_mlx.store import local
from qvq_mlx.store.shape import stated_shape
from tests.engine.families import (
    DATA,
    Checkpoint,
    card_of,
    layout_of,
    made,
    opened,
    picture_of,
)
from tests.engine.heads import HYBRID, headed
from tools.families import drawn
from tools.make_checkpoint import PRESETS, Options, make_checkpoint
from tools.make_checkpoint.presets import SMALL_CARDS

WRITTEN, RUNS = 16, 5
UNDER, OVER = 0.9, 1.2
"""A run may take a tenth more than was said, and on a busy machine less than on a quiet one."""
GRIDS = ((6, 6), (16, 16))
"""Rows and columns of image tokens: the prompt, and then the encoder, takes the most."""
WORDS = (330, 30)


def run(
    there: Checkpoint, grid: tuple[int, int] | None, words: int, drafts: Drafts | None = None
) -> tuple[int, Estimate]:
    """The peak of one question, and what was said before, in bytes.

    The highest of some runs: a pass that is dispatched ahead meets the one before it in memory, or
    comes a little later.
    """
    import mlx.core as mx

    pictures = []
    if grid is not None and (layout := layout_of(there.family)):
        side, (rows, columns) = layout.factor_px, grid
        pixels = drawn.picture(rows * side, columns * side, 1)
        pictures = [picture_of(pixels, rows * columns)]
    peaks = []
    for _ in range(RUNS):
        reader = Reader(there.session.parts, PrefixCache(None))
        session = Session(reader, drafts or Drafts(Drafting.NONE))
        prompt = session.prompt("word " * words, pictures, None)
        mx.clear_cache()
        *_, last = session.generate(prompt, Generation(Sampling(), WRITTEN), Control())
        assert isinstance(last, Finished)
        peaks.append(last.peak_memory_bytes)
    card = replace(
        card_of(there.family, there.folder),
        shape=stated_shape(there.folder),
        download_bytes=local.weight_bytes(there.folder),
    )
    image = sum(picture.tokens for picture in pictures)
    machine, text = Machine(fused_attention=False), len(prompt.ids) - image
    use = Use(image, text, WRITTEN, 0, traced=drafts is not None)
    found = estimate(card, machine, use)
    return max(peaks), found


@pytest.fixture
def held() -> int:
    """Bytes that models of other tests in this process hold."""
    import mlx.core as mx

    if mx.metal.is_available():
        pytest.skip("the formula of the CPU backend")
    gc.collect()
    return int(mx.get_active_memory())


@pytest.mark.sampled(4)
@pytest.mark.parametrize("shape", sorted(path.name for path in DATA.iterdir()))
def test_fit_is_within_a_tenth_of_what_was_measured(tmp_path: Path, shape: str, held: int) -> None:
    """Of the shapes that are recorded for the families."""
    name, dash, variant = shape.partition("-")
    there = made(ModelType(name), tmp_path / "made", f"{dash}{variant}")
    for grid, words in zip(GRIDS, WORDS, strict=True):
        peak, found = run(there, grid, words)
        assert UNDER <= found.needed_bytes / (peak - held) <= OVER, (grid, words)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("family", HYBRID)
def test_fit_counts_what_an_mtp_head_reads(tmp_path: Path, family: ModelType, held: int) -> None:
    there = headed(family, tmp_path / "made")
    drafts = there.drafts(3)
    for words in (90, 330, 700):
        peak, found = run(there.there, None, words, drafts)
        assert UNDER <= found.needed_bytes / (peak - held) <= OVER, words


@pytest.mark.measured
@pytest.mark.parametrize("name", ["2b", *SMALL_CARDS])
def test_fit_of_a_layer_of_true_width(tmp_path: Path, name: str, held: int) -> None:
    layers = 2 if "linear_num_key_heads" in PRESETS[name].text else 1
    options = Options(layers=layers, vision_layers=1, rows=1088)
    folder = make_checkpoint(name, tmp_path / "made", options)
    family = ModelType(PRESETS[name].config["model_type"])
    there = Checkpoint(family, folder, opened(folder, family), {})
    for grid, words in (((6, 6), 60), ((16, 16), 5)):
        peak, found = run(there, grid, words)
        assert found.needed_bytes == pytest.approx(peak - held, rel=0.1), (grid, words)
