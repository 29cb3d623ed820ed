"""YCbCr in a TIFF that is no JPEG: blocks of pixels that share their colour differences.

Source: TIFF 6.0, section 21: luma of a block row by row, then Cb and Cr; its blocks row by row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qvq_mlx.images.diagnosis import UnsupportedError
from qvq_mlx.images.tiff import Directory, Tag

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qvq_mlx.images.tiff_samples import Layout

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, where the page states none
_RANGE = (0, 255, 128, 255, 128, 255)


def check(layout: Layout) -> None:
    """Raise UnsupportedError for a layout that this module does not read."""
    if layout.bits != 8 or layout.samples != 3:
        raise UnsupportedError(f"YCbCr of {layout.samples} samples of {layout.bits} bits")
    if {layout.across, layout.down} - {1, 2, 4}:
        raise UnsupportedError(f"YCbCr of {layout.across}×{layout.down} pixels")
    if (layout.across, layout.down) != (1, 1) and (layout.planar or layout.predictor != 1):
        raise UnsupportedError("planes of YCbCr of several sizes")


def block_bytes(width: int, height: int, layout: Layout) -> int:
    """The bytes of so many pixels, whole blocks of them."""
    blocks = -(-width // layout.across) * -(-height // layout.down)
    return blocks * (layout.across * layout.down + 2)


def pixels_of(raw: bytes, width: int, height: int, layout: Layout) -> NDArray[np.generic]:
    """(height, width, 3) of Y, Cb and Cr, from blocks."""
    import numpy as np

    across, down = layout.across, layout.down
    wide, high = -(-width // across), -(-height // down)
    blocks = np.frombuffer(raw, np.uint8).reshape(high, wide, across * down + 2)
    luma = blocks[..., :-2].reshape(high, wide, down, across).transpose(0, 2, 1, 3)
    planes = [luma.reshape(high * down, wide * across)]
    planes += [blocks[..., at].repeat(down, 0).repeat(across, 1) for at in (-2, -1)]
    return np.stack([plane[:height, :width] for plane in planes], axis=-1)


def rgb_of(values: NDArray[np.generic], page: Directory) -> NDArray[np.uint8]:
    """Y, Cb and Cr as red, green and blue, by what the page states of them."""
    import numpy as np

    red, green, blue = _numbers(page, Tag.YCC_LUMA, _LUMA)
    stated = _numbers(page, Tag.BLACK_WHITE, _RANGE)
    spans = zip(stated[::2], stated[1::2], (255, 127, 127), strict=True)
    scaled = [(black, most / (white - black)) for black, white, most in spans if white != black]
    if len(scaled) < 3 or not green:
        raise UnsupportedError("a range of YCbCr without colours")
    y, cb, cr = (
        (values[..., at].astype(np.float32) - black) * scale
        for at, (black, scale) in enumerate(scaled)
    )
    r, b = y + (2 - 2 * red) * cr, y + (2 - 2 * blue) * cb
    rgb = np.stack([r, (y - red * r - blue * b) / green, b], axis=-1)
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)


def _numbers(page: Directory, tag: Tag, default: tuple[float, ...]) -> tuple[float, ...]:
    """The fractions of a tag, as many as `default` has."""
    pairs = page.values(tag)
    found = tuple(a / b for a, b in zip(pairs[::2], pairs[1::2], strict=False) if b)
    return found if len(found) == len(default) else default
