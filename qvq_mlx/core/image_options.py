"""Options for reading a source: pages, crop, detail, background, frames.

Law: what is not given leaves the default, and nothing here depends on the picture itself. A parser
returns a value or raises a UsageError that quotes what was given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Ask, Field, Show


class Detail(StrEnum):
    """Names for a number of image tokens."""

    LOW = "low"
    """256."""
    AUTO = "auto"
    """The card's limit, usually 1,280; less where several pictures share what there is room for."""
    HIGH = "high"
    """2,560."""
    MAX = "max"
    """The model's own maximum."""


@dataclass(frozen=True, slots=True)
class TokenRange:
    """At least and at most so many image tokens: a smaller picture is enlarged."""

    min_tokens: int
    max_tokens: int

    def __str__(self) -> str:
        """As it is typed."""
        return f"{self.min_tokens}-{self.max_tokens}"


ImageSize = Detail | int | TokenRange
"""The size of a picture for the model: a name, the most image tokens, or a range of them."""

MAX_PICTURES = 128
"""That one question takes: patterns and pages stop there, long before memory does."""


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
class Frames:
    """A choice of video frames: so many a second or so many in all, within a span.

    `fps` and `count` None: 2 a second, as many as `detail` has room for. `span_s` is begin and end
    in seconds, end None: to the end of the video; None: all of it.
    """

    fps: float | None = None
    count: int | None = None
    span_s: tuple[float, float | None] | None = None


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """Options for reading one source.

    `detail` is a name, a number of image tokens or a range of them; `crop` None: all of it;
    `background` is what transparency lies on, a colour's name or #rrggbb. `frames` says which
    frames of a video are taken.
    """

    detail: ImageSize = Detail.AUTO
    crop: Crop | None = None
    pages: Pages = Pages()
    background: str = "white"
    frames: Frames = Frames()


_MIDDLE = Ask(settings=((Field.CROP, "25%,25%,50%,50%"),))
"""A part that every picture has."""
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
                (Field.PAGE, f" is {text[:40]!r}; it can be numbers and ranges from 1 on"),
                Ask(settings=((Field.PAGE, "2-4,7"),)),
            )
        ranges.append((first, last))
    return Pages(tuple(ranges))


def parse_detail(text: str) -> ImageSize:
    """`low`, `auto`, `high`, `max`, a number of image tokens from 1 on, or a range of them as in
    `1280-16384`. Raises UsageError.
    """
    word = text.strip().lower()
    if word in {detail.value for detail in Detail}:
        return Detail(word)
    if re.fullmatch(r"[0-9]{1,9}", word) and int(word):
        return int(word)
    found = re.fullmatch(r"([0-9]{1,9})-([0-9]{1,9})", word)
    if found and 0 < int(found[1]) <= int(found[2]):
        return TokenRange(int(found[1]), int(found[2]))
    raise UsageError(
        (
            Field.DETAIL,
            f" is {text[:40]!r}; it can be low, auto, high, max, a number of image tokens, or a",
            " range of them as in 1280-16384",
        ),
        Ask(settings=((Field.DETAIL, Detail.HIGH),)),
    )


def parse_crop(text: str) -> Crop:
    """`x,y,w,h` in whole pixels, or all four in percent of the picture's sides: `10%,10%,50%,50%`.

    Raises UsageError, also where a part begins outside of the picture or has no size.
    """
    parts = [part.strip() for part in text.split(",")]
    percent = all(part.endswith("%") for part in parts)
    form = r"[0-9]{1,3}(\.[0-9]{1,9})?%" if percent else r"[0-9]{1,9}"
    if len(parts) != 4 or not all(re.fullmatch(form, part) for part in parts):
        raise _no_crop(text, "it is x,y,w,h, all in whole pixels or all in percent (10%)")
    x, y, width, height = (float(part.removesuffix("%")) for part in parts)
    if not (width and height):
        raise _no_crop(text, "nothing is left of the picture")
    if percent and max(x + width, y + height) > 100:
        raise _no_crop(text, "it reaches over 100 %")
    return Crop(x, y, width, height, percent)


def image_options_for(
    images: Sequence[str], details: Sequence[str], crops: Sequence[str], plain: ImageOptions
) -> tuple[ImageOptions, ...]:
    """Return options for each of `images`, from options that were given never, once for
    all, or once per image; the rest as in `plain`. Raises UsageError.
    """
    for field, given in ((Field.DETAIL, details), (Field.CROP, crops)):
        if len(given) not in (0, 1, len(images)) or (given and not images):
            raise UsageError(
                (
                    field,
                    f" is given {_times(len(given))}, and there {_images(len(images))};",
                    " it can be given once for all, or once per image",
                ),
                Show.ASK_HELP,
            )
    found_details = [parse_detail(text) for text in details] or [plain.detail]
    found_crops: list[Crop | None] = [parse_crop(text) for text in crops]
    found_crops = found_crops or [plain.crop]
    return tuple(
        replace(
            plain,
            detail=found_details[min(index, len(found_details) - 1)],
            crop=found_crops[min(index, len(found_crops) - 1)],
        )
        for index in range(max(len(found_details), len(found_crops)))
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _images(count: int) -> str:
    return "is 1 image" if count == 1 else f"are {count or 'no'} images"


def region_of(crop: Crop, width_px: int, height_px: int, name: str) -> Region:
    """`crop` in whole pixels of a picture of that size; an edge in percent is rounded to the
    nearest pixel, so that parts that touch neither overlap nor leave a gap.

    Raises UsageError where it reaches outside: nothing is clipped in silence.
    """
    x, y = crop.x, crop.y
    right, bottom = x + crop.width, y + crop.height
    if crop.percent:
        x, right = (_edge(share, width_px) for share in (x, right))
        y, bottom = (_edge(share, height_px) for share in (y, bottom))
        # a sliver still shows the pixels that it touches
        x, y = min(x, width_px - 1), min(y, height_px - 1)
        right, bottom = max(right, x + 1), max(bottom, y + 1)
    if right > width_px or bottom > height_px:
        raise UsageError(
            (
                f"{name}: ",
                Field.CROP,
                f" reaches to {right:.0f},{bottom:.0f}, and the picture has",
                f" {width_px}×{height_px} pixels",
            ),
            _MIDDLE,
        )
    return Region(int(x), int(y), int(right - x), int(bottom - y))


def _edge(percent: float, side_px: int) -> int:
    return min(side_px, math.floor(percent * side_px / 100 + 0.5))


def _no_crop(text: str, why: str) -> UsageError:
    return UsageError((Field.CROP, f" is {text[:60]!r}; {why}"), _MIDDLE)
