"""The results of the tools. Names are those of the JSON of a run (`records.runs`)."""

from __future__ import annotations

from dataclasses import dataclass

from qvq_mlx.core.events import Notice, StopReason
from qvq_mlx.core.places import Box, Point, PointedImage, Problem
from qvq_mlx.records.runs import ImageRecord


@dataclass(frozen=True, slots=True)
class SeenImage:
    """A picture that was asked about. `source_*` is the upright original, the other size is what
    the model saw of it.
    """

    path: str
    page: int | None
    source_width_px: int
    source_height_px: int
    width_px: int
    height_px: int

    @classmethod
    def of(cls, image: ImageRecord) -> SeenImage:
        """The part of a record that an agent needs."""
        return cls(
            path=image.path,
            page=image.page,
            source_width_px=image.source_width_px,
            source_height_px=image.source_height_px,
            width_px=image.width_px,
            height_px=image.height_px,
        )


@dataclass(frozen=True, slots=True)
class LookResult:
    """An answer. `answer` is null where there is no whole one: what there is of it is in
    `partial_answer`, and `stop_reason` says why.

    `boxed` is the last boxed value of the answer. `thinking` is null unless it was asked for.
    `pointing` lists what the answer points at, an entry per image, in the original's pixels.
    """

    model: str
    answer: str | None
    partial_answer: str | None
    boxed: str | None
    thinking: str | None
    pointing: tuple[PointedImage, ...]
    images: tuple[SeenImage, ...]
    stop_reason: StopReason
    generated_tokens: int
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class LocateResult:
    """Places in one picture, in pixels of the upright original.

    `complete` is false where the answer was cut off. `problems` are places that could not be read
    or were repaired; `answer` is what the model wrote.
    """

    model: str
    path: str
    page: int | None
    width_px: int
    height_px: int
    boxes: tuple[Box, ...]
    points: tuple[Point, ...]
    problems: tuple[Problem, ...]
    complete: bool
    answer: str
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class PageResult:
    """The answer about one page, as in LookResult."""

    page: int
    answer: str | None
    partial_answer: str | None
    stop_reason: StopReason


@dataclass(frozen=True, slots=True)
class PagesResult:
    """Answers, page by page. `count` is how many pages the document has."""

    model: str
    path: str
    count: int
    pages: tuple[PageResult, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class ZoomResult:
    """A part of a picture. `width_px` x `height_px` is the upright original's size, and the part
    is x1 <= x < x2, y1 <= y < y2 of it.

    `look` answers a question about the part; null where the part was returned as an image.
    """

    path: str
    page: int | None
    width_px: int
    height_px: int
    x1: int
    y1: int
    x2: int
    y2: int
    look: LookResult | None
