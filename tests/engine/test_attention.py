"""The vision encoder's memory on the CPU backend grows with the patches, not with their square."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qvq_mlx.families import ModelType, family_named
from tests.engine.families import SEEING, Checkpoint

GRIDS = ((32, 16), (32, 32))
"""512 patches, and twice as many: long enough for the scores to be most of the memory."""


def tower_of(family: ModelType) -> Any:
    """A vision encoder of one block, narrow; every patch attends to all."""
    import mlx.core as mx

    mx.random.seed(3)
    vision = family_named(family).vision
    assert vision is not None
    package = importlib.import_module(f"mlx_vlm.models.{vision.package}")
    widths = {"hidden_size": 32, "intermediate_size": 32, "out_hidden_size": 32}
    own: dict[str, Any] = {
        ModelType.QWEN2_VL: {"embed_dim": 32, "hidden_size": 32},
        ModelType.QWEN2_5_VL: {**widths, "fullatt_block_indexes": [0]},
        ModelType.QWEN3_VL: {**widths, "deepstack_visual_indexes": [0]},
        ModelType.QWEN3_5: {**widths, "deepstack_visual_indexes": []},
        ModelType.QWEN3_5_MOE: {**widths, "deepstack_visual_indexes": []},
    }[ModelType(vision.package)]
    tower = package.VisionModel(package.VisionConfig(depth=1, num_heads=8, **own))
    mx.eval(tower.parameters())
    return tower


def encoded(tower: Any, grid: tuple[int, int]) -> tuple[np.ndarray, int]:
    """The features of noise, and the peak of memory above what was held before."""
    import mlx.core as mx

    rows, columns = grid
    noise = np.random.default_rng(0).normal(size=(rows * columns, 3 * 2 * 14 * 14))
    pixels = mx.array(noise.astype(np.float32))
    mx.eval(pixels)
    mx.clear_cache()
    held = mx.get_active_memory()
    mx.reset_peak_memory()
    output = tower(pixels, mx.array([[1, rows, columns]]))
    features = output[0] if isinstance(output, tuple) else output
    mx.eval(features)
    return np.array(features), mx.get_peak_memory() - held


def peak(tower: Any, grid: tuple[int, int]) -> int:
    """The least of several: mlx frees a little sooner or later, as its threads are scheduled."""
    return min(encoded(tower, grid)[1] for _ in range(4))


@pytest.mark.sampled(6)
@pytest.mark.parametrize("family", SEEING)
def test_twice_the_patches_take_about_twice_the_memory(family: ModelType) -> None:
    import mlx.core as mx

    from qvq_mlx.engine.attention import bound_memory

    if mx.default_device() != mx.Device(mx.cpu):
        pytest.skip("mlx has a fused kernel here")
    tower = tower_of(family)
    plain = [encoded(tower, grid)[0] for grid in GRIDS]
    small, large = (peak(tower, grid) for grid in GRIDS)
    assert large > 2.5 * small
    bound_memory(tower, query_rows=64)
    for grid, expected in zip(GRIDS, plain, strict=True):
        assert expected.std() > 0.01
        assert np.abs(encoded(tower, grid)[0] - expected).max() < 1e-5
    bounded_small, bounded_large = (peak(tower, grid) for grid in GRIDS)
    assert bounded_large < 2.4 * bounded_small
    assert bounded_large < large / 2


@pytest.mark.parametrize("family", SEEING)
def test_a_loaded_model_is_bounded_and_counts_all_its_weights(
    checkpoint: Callable[[ModelType], Checkpoint], family: ModelType
) -> None:
    import mlx.core as mx
    from mlx.utils import tree_flatten

    from qvq_mlx.engine.attention import BoundedAttention

    if mx.default_device() != mx.Device(mx.cpu):
        pytest.skip("mlx has a fused kernel here")
    tower = checkpoint(family).session.parts.model._model.vision_tower
    assert all(isinstance(block.attn, BoundedAttention) for block in tower.blocks)
    names = [name for name, _ in tree_flatten(tower.parameters())]
    assert len([name for name in names if ".attn." in name]) == 4 * len(tower.blocks)
