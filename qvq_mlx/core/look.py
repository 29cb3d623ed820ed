"""How a source is looked at: which pages of it, which part, at how many tokens.

Law: what is not given leaves the default, and nothing here depends on the picture itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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

    `ranges` are (first, last), both included; last None: to the end. Empty: the first page of a
    picture, all pages of a document.
    """

    ranges: tuple[tuple[int, int | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Frames:
    """Which frames of a video: so many a second or so many in all, within a span of it.

    `fps` and `count` None: 2 a second, as many as `detail` has room for. `span_s` is begin and end
    in seconds, end None: to the end of the video; None: all of it.
    """

    fps: float | None = None
    count: int | None = None
    span_s: tuple[float, float | None] | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How one source is read.

    `detail` is a name or a number of image tokens; `crop` None: all of it; `background` is what
    transparency lies on, a colour's name or #rrggbb. `frames` says which frames of a video are
    taken.
    """

    detail: Detail | int = Detail.AUTO
    crop: Crop | None = None
    pages: Pages = Pages()
    background: str = "white"
    frames: Frames = Frames()
