"""Places in a picture, as values: what an answer points at, in pixels of the original.

Law: nothing here is computed, and nothing else of the project is needed to read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Coordinates(StrEnum):
    """The units of a box's numbers in a model's answer."""

    RELATIVE_1000 = "relative-1000"
    """Thousandths of the picture's width and height (Qwen2-VL, QVQ, Qwen3-VL)."""
    RESIZED_PIXELS = "resized-pixels"
    """Pixels of the picture as the model saw it (Qwen2.5-VL)."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the original: columns x1 <= x < x2, rows y1 <= y < y2."""

    label: str | None
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True, slots=True)
class Point:
    """A pixel of the original."""

    label: str | None
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A place that could not be read, or was repaired. `code` is stable, `text` is for people.

    Codes: count, number, cut, polygon, bare (how it was written); clamped, swapped, empty (where it
    lies); picture (which one is meant).
    """

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class PointedImage:
    """One picture and what the answer points at in it. `width_px` x `height_px` is the upright
    original; `path` and `page` as in ImageRecord.
    """

    path: str
    page: int | None
    width_px: int
    height_px: int
    boxes: tuple[Box, ...]
    points: tuple[Point, ...]
    problems: tuple[Problem, ...]

    @property
    def count(self) -> int:
        """Boxes and points."""
        return len(self.boxes) + len(self.points)

    @property
    def said(self) -> bool:
        """True if there is a box, a point, or a problem with one."""
        return bool(self.boxes or self.points or self.problems)
