"""Patches equal what transformers' image processor makes of the same picture, for every family."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest

from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits
from qvq_mlx.engine.patches import patches
from qvq_mlx.families import ModelType, family_named
from tests.support.corpus import encoded
from tools.pictures.goldens import CASES, DATA, LAYOUTS, picks, picture


@cache
def goldens() -> dict[str, np.ndarray]:
    with np.load(DATA) as file:
        return dict(file)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("family", LAYOUTS)
@pytest.mark.parametrize("name", CASES)
def test_patches(family: str, name: str) -> None:
    vision = family_named(ModelType(family)).vision
    assert vision is not None
    layout = vision.layout
    stated = LAYOUTS[family]
    assert layout.patch_px == stated["patch_size"]
    limits = VisionLimits(layout.factor_px, stated["min_pixels"], stated["max_pixels"])
    image = picture(*CASES[name])
    data = encoded(image, "TIFF" if image.mode == "CMYK" else "PNG")
    shown = images.read("-", limits, images.ImageSources(io.BytesIO(data)))[0]
    assert list(layout.grid(shown)) == goldens()[f"{family}/{name}/grid"].tolist()
    found = patches(shown, layout)
    assert found.shape == (shown.tokens * 4, 3 * 2 * layout.patch_px**2)
    assert np.abs(picks(found.ravel()) - goldens()[f"{family}/{name}/picks"]).max() < 1e-6
