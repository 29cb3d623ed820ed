"""How a source is looked at: which pages of it, which part, at how many tokens.

Law: what is not given leaves the default, and nothing here depends on the picture itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from qvq_mlx.core.errors import UsageError


class Detail(StrEnum):
    """How many image tokens a picture may take, by name."""

    LOW = "low"
    AUTO = "auto"
    HIGH = "high"
    MAX = "max"
    """The model's own maximum."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of the upright picture: its top left corner and its size, in pixels, or in percent
    of the picture's sides.
    """

    x: float
    y: float
    width: float
    height: float
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in whole pixels of the upright picture."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages of a document, or frames of a picture that has several: ranges, counted from 1.

    `ranges` are (first, last), both included; last None: to the end. Empty: the first page, or
    the one that the file itself calls its main picture.
    """

    ranges: tuple[tuple[int, int | None], ...] = ()

    def within(self, count: int) -> tuple[int, ...] | None:
        """The numbers of those that are there, in the order given, each once.

        None where a range begins or ends beyond `count`.
        """
        numbers: dict[int, None] = {}
        for first, last in self.ranges:
            if max(first, last or first) > count:
                return None
            numbers.update(dict.fromkeys(range(first, (last or count) + 1)))
        return tuple(numbers)

    def __str__(self) -> str:
        """As it is typed: `1,3-5,8-`."""
        return ",".join(
            str(first) if first == last else f"{first}-{last or ''}" for first, last in self.ranges
        )


@dataclass(frozen=True, slots=True)
class Look:
    """How one source is read.

    `detail` is a name or a number of image tokens; `crop` None: all of it; `background` is what
    transparency lies on, a colour's name or #rrggbb.
    """

    detail: Detail | int = Detail.AUTO
    crop: Crop | None = None
    pages: Pages = Pages()
    background: str = "white"


_RANGE = re.compile(r"\s*([0-9]{1,6})\s*(?:(-)\s*([0-9]{1,6})?\s*)?")


def parse_pages(text: str) -> Pages:
    """`3`, `2-4`, `1,3`, `5-` (to the end) and lists of these. Raises UsageError."""
    ranges: list[tuple[int, int | None]] = []
    for part in text.split(","):
        found = _RANGE.fullmatch(part)
        first = int(found[1]) if found else 0
        last: int | None = first
        if found is not None and found[2]:
            last = int(found[3]) if found[3] else None
        if first == 0 or (last is not None and last < first):
            raise UsageError(
                f"--page is {text[:40]!r}; it can be numbers and ranges from 1 on",
                'qvq ask --page 2-4,7 IMAGE "question"',
            )
        ranges.append((first, last))
    return Pages(tuple(ranges))
