"""Map what an answer points at to pixels of the pictures as they lie on the disk.

    edge_px = crop.x + x * crop.width / unit      unit: 1000, or the width that the model saw

and the same for y; without a crop it is the whole picture. The result is rounded to the nearest
pixel, halves up. Coordinates are edges: a box covers the columns x1 <= x < x2 of the upright
picture, as a viewer shows it, so x2 may be its width; it is at least one pixel wide. A point is the
pixel that its edge begins, so it is less than the width.

Law: pure, and nothing is raised. What lies outside of what the model saw is moved to its edge,
swapped corners are swapped back, and each of these is a problem that is reported. Where there are
several pictures, the one that the object names counts, else the last one that the text names before
it, else the first, which is reported.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Protocol

from qvq_mlx.core.image_options import Region
from qvq_mlx.core.places import Box, Coordinates, Point, PointedImage, Problem
from qvq_mlx.pointing.in_text import found
from qvq_mlx.pointing.marks import Fault, Found, Mark, named

_DIGITS = re.compile(r"\d{1,4}")


class Shown(Protocol):
    """A picture as the model saw it; `ImageRecord` is one."""

    @property
    def path(self) -> str:
        """As the user gave it."""

    @property
    def page(self) -> int | None:
        """Counted from 1; None where the file holds one picture."""

    @property
    def source_width_px(self) -> int:
        """Of the upright original."""

    @property
    def source_height_px(self) -> int:
        """Of the upright original."""

    @property
    def width_px(self) -> int:
        """As the model saw it."""

    @property
    def height_px(self) -> int:
        """As the model saw it."""

    @property
    def crop(self) -> Region | None:
        """The part that the model saw; None for all of it."""


Pointing = tuple[PointedImage, ...]


def report(
    answer: str, images: Sequence[Shown], coordinates: Coordinates, *, asked: bool = False
) -> Pointing:
    """One PointedImage per image, in order; empty ones included.

    `asked`: the user asked for boxes, so that four numbers which nothing calls a box are taken for
    one, where there is nothing else.
    """
    marks = found(answer, bare=asked)
    which = _Which(images, marks)
    boxes: list[list[Box]] = [[] for _ in images]
    points: list[list[Point]] = [[] for _ in images]
    problems: list[list[Problem]] = [[] for _ in images]
    if not images:
        return ()
    for one in marks:
        number, doubt = which.of(one)
        if doubt:
            problems[number].append(Problem("picture", doubt))
        if isinstance(one, Fault):
            problems[number].append(Problem(one.code, one.text))
            continue
        frame = _Frame(images[number], coordinates)
        if len(one.numbers) == 4:
            boxes[number].append(frame.box(one, problems[number]))
        else:
            points[number].append(frame.point(one, problems[number]))
    return tuple(
        PointedImage(
            path=image.path,
            page=image.page,
            width_px=image.source_width_px,
            height_px=image.source_height_px,
            boxes=tuple(boxes[number]),
            points=tuple(points[number]),
            problems=tuple(problems[number]),
        )
        for number, image in enumerate(images)
    )


class _Frame:
    """From the model's numbers to the original's pixels."""

    def __init__(self, image: Shown, coordinates: Coordinates) -> None:
        whole = Region(0, 0, image.source_width_px, image.source_height_px)
        self._region = image.crop or whole
        relative = coordinates is Coordinates.RELATIVE_1000
        self._unit = (1000, 1000) if relative else (image.width_px, image.height_px)

    def box(self, mark: Mark, problems: list[Problem]) -> Box:
        """Corners in order, within the region, and at least a pixel apart."""
        name = named("box", mark.label)
        x1, y1, x2, y2 = mark.numbers
        if x1 > x2 or y1 > y2:
            problems.append(Problem("swapped", f"{name} has its corners swapped"))
            x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
        if x1 == x2 or y1 == y2:
            problems.append(Problem("empty", f"{name} is empty: it is drawn a pixel wide"))
        self._check(name, (x1, y1, x2, y2), problems)
        left, right = _apart(self._x(x1), self._x(x2), self._region.x_px + self._region.width_px)
        top, bottom = _apart(self._y(y1), self._y(y2), self._region.y_px + self._region.height_px)
        return Box(mark.label, left, top, right, bottom)

    def point(self, mark: Mark, problems: list[Problem]) -> Point:
        """A pixel of the region."""
        self._check(named("point", mark.label), mark.numbers, problems)
        x, y = mark.numbers
        right = self._region.x_px + self._region.width_px - 1
        bottom = self._region.y_px + self._region.height_px - 1
        return Point(mark.label, min(self._x(x), right), min(self._y(y), bottom))

    def _x(self, x: float) -> int:
        region = self._region
        return region.x_px + _scaled(x, region.width_px, self._unit[0])

    def _y(self, y: float) -> int:
        region = self._region
        return region.y_px + _scaled(y, region.height_px, self._unit[1])

    def _check(self, name: str, numbers: Sequence[float], problems: list[Problem]) -> None:
        limits = self._unit * 2
        outside = [
            number
            for number, limit in zip(numbers, limits, strict=False)
            if not 0 <= number <= limit
        ]
        if outside:
            said = ", ".join(f"{number:g}" for number in outside)
            text = f"{name} lies outside of {limits[0]} x {limits[1]} at {said}: moved to the edge"
            problems.append(Problem("clamped", text))


def _scaled(value: float, side_px: int, unit: int) -> int:
    """To pixels, halves up, within the side."""
    inside = min(max(value, 0.0), float(unit))
    return min(math.floor(inside * side_px / unit + 0.5), side_px)


def _apart(first: int, second: int, end: int) -> tuple[int, int]:
    """Edges that a pixel lies between."""
    if second > first:
        return first, second
    return (first, first + 1) if first < end else (end - 1, end)


class _Which:
    """Return the picture that is meant."""

    def __init__(self, images: Sequence[Shown], marks: Sequence[Found]) -> None:
        self._images = images
        # 1 is the first, as in `Picture 1:`, unless some object counts from 0
        self._first = 0 if any(_number(one.picture) == 0 for one in marks) else 1
        self._names: dict[str, int] = {}
        self._pages: dict[int, list[int]] = {}
        for number, image in enumerate(images):
            self._names.setdefault(PurePath(image.path).name, number)
            if image.page is not None:
                self._pages.setdefault(image.page, []).append(number)

    def of(self, one: Found) -> tuple[int, str]:
        """Its place among the images, and what is doubtful about that, if anything."""
        if len(self._images) < 2:
            return 0, ""
        if one.picture is not None:
            name = self._names.get(PurePath(str(one.picture)).name)
            number = _number(one.picture)
            if name is not None:
                return name, ""
            if number is not None and self._first <= number < self._first + len(self._images):
                return number - self._first, ""
            said = str(one.picture)[:40]
            return 0, f"no picture is called {said!r}: the first one is taken"
        if one.mention is not None:
            kind, number = one.mention
            if kind == "page":
                pages = self._pages.get(number, [])
                if len(pages) == 1:
                    return pages[0], ""
            elif 1 <= number <= len(self._images):
                return number - 1, ""
            return 0, f"there is no single {kind} {number}: the first picture is taken"
        if isinstance(one, Fault):
            return 0, ""
        return 0, f"{named('place', one.label)} could be in any picture: the first one is taken"


def _number(picture: str | float | None) -> int | None:
    """The number that an object gives: 2, "2", "Picture 2", "image_2.png"."""
    if isinstance(picture, float):
        return int(picture) if 0 <= picture < 10_000 and picture.is_integer() else None
    digits = _DIGITS.search(picture) if picture else None
    return int(digits[0]) if digits else None
