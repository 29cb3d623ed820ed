"""What PIL leaves out of a BMP: the alpha of 16 bits, samples of any width, and the profile.

Source: BITMAPINFOHEADER to BITMAPV5HEADER.
"""

from __future__ import annotations

from struct import unpack_from
from typing import TYPE_CHECKING

from qvq_mlx.images.samples import Meaning, eight_bits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_FIELDS, _ALPHA_FIELDS = 3, 6
_CORE_BYTES, _V3_BYTES, _V5_BYTES = 12, 56, 124  # the first is OS/2's, whose sizes are shorter
_EMBEDDED = b"DEBM"  # the letters MBED as a number


def picture(data: bytes) -> Image | None:
    """The picture in a BMP whose samples are told by masks; None of any other. Raises ValueError
    where it is cut off.
    """
    import numpy as np

    if len(data) < 54 or data[:2] != b"BM":
        return None
    offset, header, width, height, _, bits, packing = unpack_from("<IIiiHHI", data, 10)
    if header < 40 or packing not in (_FIELDS, _ALPHA_FIELDS) or bits not in (16, 32):
        return None
    has_alpha = header >= _V3_BYTES or packing == _ALPHA_FIELDS
    masks = unpack_from("<4I" if has_alpha else "<3I", data, 54)
    shown = [mask for mask in masks if mask]
    if len(shown) < 3 or not all(masks[:3]) or width < 1 or not height:
        return None
    row_bytes = -(-width * bits // 32) * 4
    rows = np.frombuffer(data, np.uint8, row_bytes * abs(height), offset).reshape(-1, row_bytes)
    numbers = rows[:, : width * bits // 8].copy().view(f"<u{bits // 8}").astype(np.uint32)
    planes = [_field(numbers, mask) for mask in shown]
    values = np.stack(planes, axis=-1)[:: 1 if height < 0 else -1]
    return eight_bits(values, 16, Meaning("RGB", alpha=3 if len(shown) == 4 else None))


def size_px(data: bytes) -> tuple[int, int]:
    """Width and height, from the header."""
    if unpack_from("<I", data, 14)[0] == _CORE_BYTES:
        wide, high = unpack_from("<HH", data, 18)
        return wide, high
    width, height = unpack_from("<ii", data, 18)
    return width, abs(height)


def profile(data: bytes) -> bytes:
    """The ICC profile that lies in the file; b'' where there is none."""
    if len(data) < 14 + _V5_BYTES or unpack_from("<I", data, 14)[0] < _V5_BYTES:
        return b""
    begin, size = unpack_from("<II", data, 14 + 112)
    return data[14 + begin : 14 + begin + size] if data[14 + 56 : 14 + 60] == _EMBEDDED else b""


def _field(numbers: NDArray[np.uint32], mask: int) -> NDArray[np.uint16]:
    """The bits of a mask, scaled to 16 bits."""
    import numpy as np

    shift = (mask & -mask).bit_length() - 1
    top = mask >> shift
    return np.round(((numbers & mask) >> shift) * (65535 / top)).astype(np.uint16)
