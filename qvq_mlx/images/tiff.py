"""The directories of a TIFF: its pages, and the tags of each.

Law: nothing is decoded, and no file keeps this busy: a directory that was seen before, or a value
of more than MAX_VALUES numbers, ends the walk. Source: TIFF 6.0, section 2; BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from itertools import islice

from qvq_mlx.images.containers import TIFF_ORDERS

MAX_VALUES = 2**22
_MAX_THUMBNAILS = 64
_BIG = (b"II+\0", b"MM\0+")
# bits of NewSubfileType for a smaller version of another page and for a mask; of the older
# SubfileType 2 is the smaller version
_REDUCED_OR_MASK, _OLD_REDUCED = 0b101, 2
# type: the letter that struct has for it
_TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I"}
_TYPES |= {16: "Q", 17: "q", 18: "Q"}
_FRACTION = 5
_TYPES[_FRACTION] = "I"  # two of them


class Tag(IntEnum):
    """The tags that say how samples lie in a file, and what they mean."""

    KIND = 254
    OLD_KIND = 255
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTES = 279
    PLANAR = 284
    PREDICTOR = 317
    COLOUR_MAP = 320
    SUB_DIRECTORIES = 330
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_BYTES = 325
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    YCC_LUMA = 529
    YCC_SHARED = 530
    BLACK_WHITE = 532
    ICC_PROFILE = 34675


class Directory:
    """One page: its tags, each a tuple of whole numbers. `order` is struct's < or >,
    `big` says that it is of a BigTIFF.
    """

    __slots__ = ("_tags", "big", "order")

    def __init__(self, order: str, big: bool, tags: dict[int, tuple[int, ...]]) -> None:
        self.order = order
        self.big = big
        self._tags = tags

    def values(self, tag: Tag) -> tuple[int, ...]:
        """All numbers of a tag; () where the page has none."""
        return self._tags.get(tag, ())

    def value(self, tag: Tag, default: int) -> int:
        """The first number of a tag."""
        return next(iter(self._tags.get(tag, ())), default)

    @property
    def is_lesser(self) -> bool:
        """True for a thumbnail or a mask of another page."""
        if self.value(Tag.KIND, 0) & _REDUCED_OR_MASK:
            return True
        return self.value(Tag.OLD_KIND, 0) == _OLD_REDUCED


def directories(data: bytes) -> Iterator[Directory]:
    """The pages in their order. Raises struct.error or ValueError where the first is damaged."""
    order = TIFF_ORDERS.get(data[:4])
    if order is None:
        raise ValueError("is no TIFF")
    big = data[:4] in _BIG
    at = struct.unpack_from(f"{order}Q", data, 8)[0] if big else _one(f"{order}I", data, 4)
    seen: set[int] = set()
    while at and at not in seen:
        seen.add(at)
        try:
            tags, at = _directory(data, at, order, big)
        except (struct.error, ValueError, OverflowError):
            if len(seen) == 1:
                raise
            return  # a damaged page is the end of those that can be read
        yield Directory(order, big, tags)


def with_main_picture(data: bytes) -> bytes:
    """The same file, but opened at a picture below its first page where its pages are thumbnails
    alone. DNG and other raw formats are made so: what they show otherwise is a stamp.
    """
    try:
        pages = list(islice(directories(data), _MAX_THUMBNAILS))
        if not pages or not all(page.is_lesser for page in pages):
            return data
        first = pages[0]
        for at in first.values(Tag.SUB_DIRECTORIES)[:_MAX_THUMBNAILS]:
            tags, _ = _directory(data, at, first.order, first.big)
            if not Directory(first.order, first.big, tags).is_lesser:
                begin, packed = (8, "Q") if first.big else (4, "I")
                moved = struct.pack(first.order + packed, at)
                return data[:begin] + moved + data[begin + len(moved) :]
    except (struct.error, ValueError, OverflowError):
        pass
    return data


def _directory(
    data: bytes, at: int, order: str, big: bool
) -> tuple[dict[int, tuple[int, ...]], int]:
    """The tags of a directory, and where the next one lies."""
    count_as, entry_as, offset_as = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    count = _one(order + count_as, data, at)
    at += struct.calcsize(order + count_as)
    head, inline = struct.calcsize(order + entry_as), struct.calcsize(order + offset_as)
    if not 0 < count <= (len(data) - at) // (head + inline):
        raise ValueError("a directory is longer than the file")
    tags = {}
    for _ in range(count):
        tag, kind, number = struct.unpack_from(order + entry_as, data, at)
        letter = _TYPES.get(kind)
        number *= 2 if kind == _FRACTION else 1
        if letter and 0 < number <= MAX_VALUES:
            packed = f"{order}{number}{letter}"
            beside = struct.calcsize(packed) > inline
            place = _one(order + offset_as, data, at + head) if beside else at + head
            if place + struct.calcsize(packed) <= len(data):
                tags[tag] = struct.unpack_from(packed, data, place)
        at += head + inline
    return tags, _one(order + offset_as, data, at)


def _one(packed: str, data: bytes, at: int) -> int:
    value = struct.unpack_from(packed, data, at)[0]
    assert isinstance(value, int), "the format is of a whole number"
    return value
