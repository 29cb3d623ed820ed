"""Read the properties of the main picture of an AVIF or HEIC from its boxes.

Sources: ISO/IEC 23008-12 and 14496-12.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from


def properties(data: bytes) -> dict[bytes, bytes]:
    """Box type to its content; {} where the boxes cannot be followed."""
    try:
        meta = _first(data, b"meta")[4:]
        pitm, parts = _first(meta, b"pitm"), _first(meta, b"iprp")
        main = int.from_bytes(pitm[4:6] if pitm[0] == 0 else pitm[4:8], "big")
        known = list(_boxes(_first(parts, b"ipco")))
        found = {}
        for item, index in _associations(_first(parts, b"ipma")):
            if item == main and 0 < index <= len(known):
                kind, content = known[index - 1]
                found[kind] = content
        return found
    except (IndexError, KeyError, ValueError):
        return {}


def meta(data: bytes) -> bytes:
    """Return the description of the items of a file; b'' where the boxes cannot be followed."""
    try:
        return _first(data, b"meta")[4:]
    except KeyError:
        return b""


def item_types(data: bytes) -> frozenset[bytes]:
    """The kinds of all items; none where the boxes cannot be followed."""
    try:
        items = _first(meta(data), b"iinf")
    except KeyError:
        return frozenset()
    entries = (content for kind, content in _boxes(items[6 if not items[:1].strip(b"\0") else 8 :]))
    # version, flags, a number of 2 or (version 3) 4 bytes, 2 bytes of protection, the type
    return frozenset(entry[10:14] if entry[:1] == b"\3" else entry[8:12] for entry in entries)


def clean_aperture(data: bytes, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of what is to be shown of the stored pixels; None for all."""
    content = properties(data).get(b"clap", b"")
    if len(content) != 32:
        return None
    numbers = unpack_from(">IIIIiIiI", content)
    if not all(numbers[1::2]):
        return None
    wide, high, right, down = (numbers[at] / numbers[at + 1] for at in (0, 2, 4, 6))
    left, top = round(right + (width - wide) / 2), round(down + (height - high) / 2)
    box = left, top, left + round(wide), top + round(high)
    inside = 0 <= left < box[2] <= width and 0 <= top < box[3] <= height
    return box if inside and box != (0, 0, width, height) else None


def colours(data: bytes) -> tuple[int, int] | None:
    """The numbers (ITU-T H.273) of primaries and transfer; None where the boxes state none."""
    content = properties(data).get(b"colr", b"")
    if content[:4] != b"nclx" or len(content) < 8:
        return None
    return int.from_bytes(content[4:6], "big"), int.from_bytes(content[6:8], "big")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big") or len(data) - at
        if size < 8:
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size


def _first(data: bytes, kind: bytes) -> bytes:
    """Raises KeyError."""
    for name, content in _boxes(data):
        if name == kind:
            return content
    raise KeyError(kind)


def _associations(ipma: bytes) -> Iterator[tuple[int, int]]:
    """(item, number of a property, counted from 1)."""
    item_bytes = 4 if ipma[0] else 2
    wide = bool(ipma[3] & 1)
    at = 8
    for _ in range(int.from_bytes(ipma[4:8], "big")):
        item = int.from_bytes(ipma[at : at + item_bytes], "big")
        count, at = ipma[at + item_bytes], at + item_bytes + 1
        for _ in range(count):
            size = 2 if wide else 1
            number = int.from_bytes(ipma[at : at + size], "big")
            yield item, number & (0x7FFF if wide else 0x7F)
            at += size
