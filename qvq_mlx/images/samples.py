"""Samples of any depth and meaning, as a PIL picture of 8 bits.

Law: nothing is cut off: numbers become 8 bits by one rounding, at the end. White is the largest
number that fits into up to 16 bits; for wider whole numbers and for floats, whose files do not say
it, the smallest of 1 (floats only), 255 and 65535 that covers the largest value, else that value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qvq_mlx.images.diagnosis import UnsupportedError
from qvq_mlx.images.light import ToSrgb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_STRIP_SAMPLES = 2**21
# CIE Lab's white is D50; Bradford to D65 and IEC 61966-2-1, in one matrix
_D50 = (0.96422, 1.0, 0.82521)
_XYZ_TO_SRGB = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What samples stand for. `mode` is PIL's: L, RGB, CMYK or LAB.

    `alpha` is the place of the sample that says how opaque a pixel is, None where it is;
    `premultiplied`: the colours were multiplied by it. `offset_ab`: Lab's a and b begin at -128.
    """

    mode: str
    alpha: int | None = None
    premultiplied: bool = False
    inverted: bool = False
    offset_ab: bool = False


def eight_bits(
    values: NDArray[np.generic], bits: int, meaning: Meaning, change: ToSrgb | None = None
) -> Image:
    """`values` (height, width, samples) as mode L, LA, RGB, RGBA or CMYK; `change` makes sRGB of
    the colours, before anything is rounded.
    """
    import numpy as np
    from PIL import Image

    height, width, count = values.shape
    bands = {"L": 1, "RGB": 3, "CMYK": 4, "LAB": 3}[meaning.mode]
    if count < bands:
        raise ValueError(f"{count} samples are too few for {meaning.mode}")
    shown = "RGB" if meaning.mode == "LAB" else meaning.mode
    if meaning.alpha is not None and shown == "CMYK":
        raise UnsupportedError("CMYK with alpha")
    black, white = _range(values[..., :bands], bits)
    top = white if values.dtype.kind != "f" else 1.0
    mode = shown + ("A" if meaning.alpha is not None else "")
    out = Image.new(mode, (width, height))
    rows = max(1, _STRIP_SAMPLES // (width * count))
    for begin in range(0, height, rows):
        part = values[begin : begin + rows]
        if meaning.mode == "LAB":
            colours = _lab(part[..., :3], bits, offset_ab=meaning.offset_ab)
        else:
            colours = (part[..., :bands].astype(np.float64) - black) / (white - black)
        if meaning.inverted:
            colours = 1 - colours
        if change is not None:
            colours = change(colours)
        if meaning.alpha is not None:
            alpha = part[..., meaning.alpha, None].astype(np.float64) / top
            if meaning.premultiplied:
                colours = colours / np.where(alpha > 0, alpha, 1)
            colours = np.concatenate([colours, alpha], axis=-1)
        pixels = (np.clip(colours, 0, 1) * 255 + 0.5).astype(np.uint8)
        size = width, pixels.shape[0]
        out.paste(Image.frombytes(mode, size, np.ascontiguousarray(pixels).tobytes()), (0, begin))
    return out


def restated(image: Image, change: ToSrgb) -> Image:
    """A picture of mode RGB or RGBA with its colours changed, its alpha kept."""
    import numpy as np

    alpha = 3 if image.mode == "RGBA" else None
    return eight_bits(np.asarray(image), 8, Meaning("RGB", alpha=alpha), change)


def _range(values: NDArray[np.generic], bits: int) -> tuple[float, float]:
    """The numbers that become black and white."""
    import math

    if values.dtype.kind == "u" and bits <= 16:
        return 0.0, float(2**bits - 1)
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UnsupportedError("a pixel is not a number")
    if values.dtype.kind == "u" and high >= 2 ** (bits - 1):
        return 0.0, float(2**bits - 1)
    whites = ((1.0,) if values.dtype.kind == "f" else ()) + (255.0, 65535.0)
    return min(0.0, low), next((white for white in whites if white >= high), high)


def _lab(part: NDArray[np.generic], bits: int, *, offset_ab: bool) -> NDArray[np.float64]:
    """CIE Lab to sRGB; TIFF 6.0, section 23, and for `offset_ab` ICC's own encoding."""
    import numpy as np

    if bits not in (8, 16) or part.dtype.kind == "f":
        raise UnsupportedError(f"Lab of {bits} bits")
    unit = 1 << (bits - 8)
    light = part[..., 0].astype(np.uint16).astype(np.float64)
    light *= 100 / (255 if bits == 8 else 65280 if offset_ab else 65535)
    signed = part[..., 1:].astype(np.int32)
    signed = signed - 128 * unit if offset_ab else (signed + 128 * unit) % (256 * unit) - 128 * unit
    f_y = (light + 16) / 116
    f_x, f_z = f_y + signed[..., 0] / unit / 500, f_y - signed[..., 1] / unit / 200
    f = np.stack([f_x, f_y, f_z], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * np.array(_D50)
    linear = np.clip(xyz @ np.array(_XYZ_TO_SRGB).T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(encoded, np.float64)
