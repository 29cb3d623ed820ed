"""True if a film's file is as long as it says it is: the way to tell that it was cut off."""

from __future__ import annotations

_SEGMENT = b"\x18\x53\x80\x67"  # Matroska's element that holds all others
_SEARCHED_BYTES = 4096


def is_cut(data: bytes) -> bool:
    """True if the file ends before its outermost parts do; False where they do not say it."""
    if data.startswith(b"RIFF"):
        return (
            int.from_bytes(data[4:8], "little") + 8 > len(data) + 1
        )  # the padding may be left out
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return _is_cut_segment(data)
    return _is_cut_box(data)


def _is_cut_segment(data: bytes) -> bool:
    at = data.find(_SEGMENT, 0, _SEARCHED_BYTES) + len(_SEGMENT)
    if at < len(_SEGMENT) or at >= len(data) or not data[at]:
        return False
    length = 9 - data[at].bit_length()  # the leading zeros say how many bytes the number has
    size = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    unknown = (1 << 7 * length) - 1
    return size != unknown and at + length + size > len(data)


def _is_cut_box(data: bytes) -> bool:
    """Boxes of ISO/IEC 14496-12, 4.2: their size, or 1 and a larger one, or 0 for all the rest."""
    at = 0
    while at + 8 <= len(data):
        size, head = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size == 0:
            return False
        if size < head:
            return False
        at += size
    return at > len(data)
