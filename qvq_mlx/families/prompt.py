"""Times of a clip, as several families count them."""

from __future__ import annotations

import struct

from qvq_mlx.core.clip import Clip


def paced(clip: Clip, tokens_per_s: float) -> tuple[int, ...]:
    """floor(step x seconds of a step x `tokens_per_s`) for each step.

    In float32, as the reference multiplies: a whole position hangs on the rounding.
    """
    interval = _float32(_float32(tokens_per_s) * _float32(clip.step_s))
    return tuple(int(_float32(step * interval)) for step in range(clip.steps))


def _float32(number: float) -> float:
    """The nearest 32-bit float. A product of two of them is exact in 64 bits before it."""
    [rounded] = struct.unpack("f", struct.pack("f", number))
    return float(rounded)
