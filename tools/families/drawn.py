"""Weights and pictures that are drawn, not stored: the same in torch and in mlx.

Law: a weight depends on its name and shape alone, a picture on its size and number alone; but
norms of a model with linear attention are stored about zero, and so they are drawn. The
generator is numpy's `RandomState`, whose stream is frozen.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

SEED = 0
"""Chosen so that no greedy step of the goldens is a tie (tools/families/goldens.py checks)."""

_LINEAR = ".linear_attn."

Weights = dict[str, npt.NDArray[np.float32]]


def weights(shapes: Mapping[str, Sequence[int]]) -> Weights:
    """Random float32 weights under the names of a checkpoint's file."""
    about_zero = any(_LINEAR in name for name in shapes)
    drawn = {name: _weight(name, tuple(shape)) for name, shape in shapes.items()}
    for name in drawn:
        if about_zero and name.endswith("norm.weight") and not _as_it_is(name):
            drawn[name] -= 1
    return drawn


def picture(height_px: int, width_px: int, number: int) -> npt.NDArray[np.uint8]:
    """(height, width, rgb): a gradient, a dark bar and some bright squares."""
    y, x = np.mgrid[0:height_px, 0:width_px]
    pixels = np.stack(
        [255 * y // height_px, 255 * x // width_px, (7 * (x + y) + 40 * number) % 256], axis=-1
    )
    pixels[height_px // 3 : height_px // 2] //= 4
    draw = np.random.RandomState(number)
    for _ in range(6):
        top, left = draw.randint(0, height_px - 8), draw.randint(0, width_px - 8)
        pixels[top : top + 8, left : left + 8] = draw.randint(128, 256, 3)
    return pixels.astype(np.uint8)


def _as_it_is(name: str) -> bool:
    """True for norms that are stored as they are in every family."""
    return _LINEAR in name or "visual" in name


def _weight(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    noise = np.random.RandomState(zlib.crc32(f"{SEED} {name}".encode())).standard_normal(shape)
    if name.endswith(".bias"):
        drawn = 0.1 * noise
    elif name.endswith("A_log"):  # a state lasts for some ten tokens
        drawn = 0.5 * noise - 1
    elif name.endswith("dt_bias"):
        drawn = noise - 1
    elif len(shape) == 1:  # the scale of a norm
        drawn = 1 + 0.2 * noise
    elif "embed_tokens" in name or "pos_embed" in name:
        drawn = 0.15 * noise
    elif ".mlp.experts." in name:  # (experts, outputs, inputs), or the other way round
        drawn = 1.5 * noise / np.sqrt(shape[1])
    elif _LINEAR in name:  # its own norm brings back the size, and with it the rounding
        drawn = noise / np.sqrt(np.prod(shape[1:]))
    else:
        drawn = 1.5 * noise / np.sqrt(np.prod(shape[1:]))
    return drawn.astype(np.float32)
