"""A page of a TIFF that PIL is not to be trusted with, as a PIL picture."""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING

from qvq_mlx.images.diagnosis import UnsupportedError
from qvq_mlx.images.samples import Meaning, eight_bits
from qvq_mlx.images.tiff import Directory, Tag, directories
from qvq_mlx.images.tiff_samples import Layout, is_known, is_ours, layout_of, samples_of
from qvq_mlx.images.tiff_ycc import rgb_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCC, _LAB, _ICC_LAB = 0, 1, 2, 3, 5, 6, 8, 9
_MODES = {_WHITE_IS_ZERO: "L", _BLACK_IS_ZERO: "L", _RGB: "RGB", _CMYK: "CMYK"}
_MODES |= {_LAB: "LAB", _ICC_LAB: "LAB", _PALETTE: "P"}
_BANDS = {"P": 1, "L": 1, "RGB": 3, "CMYK": 4, "LAB": 3}
_PREMULTIPLIED, _STRAIGHT = 1, 2
# by what libtiff decompresses in PIL's wheels; others are no damage
_DECOMPRESSED = frozenset(range(1, 9)) | {32766, 32771, 32773, 32809, 32908, 32909, 32946}
_DECOMPRESSED |= {34676, 34677, 34925, 50000, 50001}
_COMPRESSIONS = {34661: "JBIG", 34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG of a DNG"}
_COMPRESSIONS |= {33003: "JPEG 2000", 33005: "JPEG 2000", 50002: "JPEG XL", 52546: "JPEG XL"}
_TRUSTED = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCC, _LAB)


def picture(data: bytes, index: int, *, every: bool = False) -> Image | None:
    """Page `index`, counted from 0; None where PIL reads it, or with `every` where only PIL could.
    What PIL needs to turn it is in its EXIF, and its profile in `info`. Raises UnsupportedError.
    """
    page = _page(data, index, every=every)
    if page is None:
        return None
    layout = layout_of(page)
    values = samples_of(data, page)
    if layout.photometric == _PALETTE:
        image = _coloured(values, page, layout)
    elif layout.photometric == _YCC:
        image = eight_bits(rgb_of(values, page), layout.bits, Meaning("RGB"))
    else:
        image = eight_bits(values, layout.bits, _meaning(page, layout))
    if profile := page.values(Tag.ICC_PROFILE):
        image.info["icc_profile"] = bytes(byte & 0xFF for byte in profile)
    image.getexif()[Tag.ORIENTATION] = page.value(Tag.ORIENTATION, 1)
    return image


def size_px(data: bytes, index: int, *, every: bool = False) -> tuple[int, int] | None:
    """Width and height of a page that `picture` reads; None of any other."""
    page = _page(data, index, every=every)
    if page is None:
        return None
    return page.value(Tag.WIDTH, 0), page.value(Tag.HEIGHT, 0)


def _page(data: bytes, index: int, *, every: bool) -> Directory | None:
    """The page, where this module is to read it."""
    page = next(islice(directories(data), index, None), None)
    wanted = is_known if every else is_ours
    return page if page is not None and wanted(page) else None


def why_not(data: bytes) -> str:
    """Why nobody here reads the first page, as far as its tags tell; '' where it is damaged."""
    try:
        page = next(directories(data))
        layout = layout_of(page)
    except UnsupportedError as error:
        return str(error)
    except (StopIteration, struct.error, ValueError, OverflowError):
        return ""
    if not (page.values(Tag.STRIP_OFFSETS) or page.values(Tag.TILE_OFFSETS)):
        return ""
    if layout.photometric not in _TRUSTED:
        return f"photometric interpretation {layout.photometric}"
    if layout.compression not in _DECOMPRESSED:
        number = layout.compression
        return f"compression {_COMPRESSIONS.get(number, number)}"
    if is_ours(page):
        return ""
    if page.order == ">" and page.big:
        return f"BigTIFF with compression {layout.compression}"
    usual = layout.bits in (1, 2, 4, 8, 16, 32) and layout.samples <= 4
    return "" if usual else f"{layout.samples} samples of {layout.bits} bits"


def _meaning(page: Directory, layout: Layout) -> Meaning:
    mode = _MODES[layout.photometric]
    extra = page.values(Tag.EXTRA_SAMPLES)
    if not extra and layout.photometric == _RGB and layout.samples == 4:
        extra = (_STRAIGHT,)  # as PIL and FFmpeg take a fourth one that nobody explains
    alpha = next(
        (number for number, kind in enumerate(extra) if kind in (_PREMULTIPLIED, _STRAIGHT)), None
    )
    place = None if alpha is None else _BANDS[mode] + alpha
    return Meaning(
        mode,
        alpha=place if place is not None and place < layout.samples else None,
        premultiplied=alpha is not None and extra[alpha] == _PREMULTIPLIED,
        inverted=layout.photometric == _WHITE_IS_ZERO,
        offset_ab=layout.photometric == _ICC_LAB,
    )


def _coloured(values: NDArray[np.generic], page: Directory, layout: Layout) -> Image:
    """Numbers of a colour map; one of 8-bit values is scaled by its largest. A second sample may
    say how opaque a pixel is.
    """
    import numpy as np

    table = np.array(page.values(Tag.COLOUR_MAP), np.float64).reshape(3, -1).T
    top = table.max() if table.max() < 256 else 65535
    colours = (table * (255 / top)).round().astype(np.uint8)
    shown = colours[np.minimum(values[..., 0].astype(np.intp), len(colours) - 1)]
    meaning = _meaning(page, layout)
    if meaning.alpha is not None:
        # the colours of a map are never multiplied by it: they are numbers of rows
        alpha = values[..., meaning.alpha].astype(np.float64) * (255 / (2**layout.bits - 1))
        shown = np.concatenate([shown, alpha.round().astype(np.uint8)[..., None]], axis=-1)
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(shown))
