"""True if a picture carries a gain map: what a screen of high dynamic range multiplies it with.

qvq shows the base picture, which is what other screens show, and its receipt says so.

Sources: ISO 21496-1; Adobe's hdr-gain-map (Ultra HDR, in the XMP of a JPEG); ISO/IEC 23008-12,
amendment 1 (items of type `tmap`); Apple's auxiliary pictures.
"""

from __future__ import annotations

from qvq_mlx.images import boxes

_ISO = b"urn:iso:std:iso:ts:21496:-1"
_ADOBE = (b'hdrgm:Version="', b"hdrgm:Version='", b"<hdrgm:Version>")
_APPLE = b"urn:com:apple:photo:2020:aux:hdrgainmap"


def has_gain_map(data: bytes) -> bool:
    """Of a JPEG, a HEIC or an AVIF; False of any other."""
    if data.startswith(b"\xff\xd8\xff"):
        return any(mark in data for mark in (_ISO, *_ADOBE, _APPLE))
    if data[4:8] != b"ftyp":
        return False
    return b"tmap" in boxes.item_types(data) or _APPLE in boxes.meta(data)
