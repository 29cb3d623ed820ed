"""JPEGs that lack their last bytes: told apart from those that lack a part of the picture.

Law: a JPEG without its end marker is whole where every coefficient of every component was sent to
its last bit, and where what would follow changes no pixel. libjpeg fills what is missing with gray
and tells nobody, so its word is not enough. Source: ITU-T T.81, B.2 and G.1.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_END = b"\xff\xd9"
_FILLS = (b"", b"\x00" * 4096, b"\x5a" * 4096, b"\xad" * 4096)
"""Bytes that would each be other coefficients, were any of them still to come."""
_COEFFICIENTS = 64
_SOS, _FRAMES = 0xDA, (0xC0, 0xC1, 0xC2)


def without_end(data: bytes) -> Image | None:
    """The picture of a JPEG that lacks nothing but its end marker; None for any other."""
    from PIL import Image
    from PIL.ImageChops import difference

    data = data.rstrip(b"\xff")
    if data.endswith(_END) or not _is_sent(data):
        return None
    first: Image.Image | None = None
    for fill in _FILLS:
        image = Image.open(BytesIO(data + fill + _END), formats=("JPEG",))
        image.load()
        if first is None:
            first = image
        elif difference(first, image).getbbox(alpha_only=False) is not None:
            return None
    return first


def _is_sent(data: bytes) -> bool:
    """True if the headers of the scans speak of all coefficients, to the last bit."""
    missing: set[tuple[int, int]] = set()
    at = 2
    while at >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xFF:
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if marker in _FRAMES:
            components = body[6 : 6 + 3 * body[5] : 3]
            missing = {(part, k) for part in components for k in range(_COEFFICIENTS)}
        at += 2 + length
        if marker == _SOS:
            count = body[0]
            begin, end, bits = body[1 + 2 * count : 4 + 2 * count]
            if not bits & 0x0F:
                sent = body[1 : 1 + 2 * count : 2]
                missing -= {(part, k) for part in sent for k in range(begin, end + 1)}
            at = _next_marker(data, at)
    return not missing


def _next_marker(data: bytes, at: int) -> int:
    """Where the entropy-coded bytes end; -1 where they are the last."""
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        if data[at + 1] not in (0x00, 0xFF, *range(0xD0, 0xD8)):
            return at
        at += 1
    return -1
