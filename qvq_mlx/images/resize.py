"""The size that a picture has for the model. Pure arithmetic."""

from __future__ import annotations

import math

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import ImageSizeError


def smart_resize(height: int, width: int, limits: VisionLimits) -> tuple[int, int]:
    """(height, width) in pixels that the model sees; both are multiples of `factor_px`.

    Source: qwen-vl-utils `smart_resize`, as in mlx-vlm 0.7.10; `round` is half to even there too.
    Raises ImageSizeError where the longer side is over `max_aspect` times the shorter.
    """
    longer, shorter = max(height, width), min(height, width)
    if longer / shorter > limits.max_aspect:
        ratio = math.ceil(longer / shorter * 10) / 10  # up, so that 200.01 is not called 200
        raise ImageSizeError(
            f"{width}×{height} pixels is {ratio:g} to 1, and the model sees at most"
            f" {limits.max_aspect} to 1"
        )
    factor = limits.factor_px
    to_height, to_width = round(height / factor) * factor, round(width / factor) * factor
    if to_height * to_width > limits.max_pixels:
        shrink = math.sqrt(height * width / limits.max_pixels)
        to_height = max(factor, math.floor(height / shrink / factor) * factor)
        to_width = max(factor, math.floor(width / shrink / factor) * factor)
    elif to_height * to_width < limits.min_pixels:
        grow = math.sqrt(limits.min_pixels / (height * width))
        to_height = math.ceil(height * grow / factor) * factor
        to_width = math.ceil(width * grow / factor) * factor
    return to_height, to_width
