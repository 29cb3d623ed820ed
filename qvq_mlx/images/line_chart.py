"""A line chart as PNG: points with the intervals that they lie in, over a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

WIDTH_PX, HEIGHT_PX = 1200, 750
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 110, 60, 90, 110
_INK, _GRID, _LINE, _BAND = (40, 40, 40), (225, 225, 225), (30, 90, 200), (210, 224, 247)
_TITLE_PX, _LABEL_PX = 30, 22
_TICKS = 6


@dataclass(frozen=True, slots=True)
class Point:
    """`x` is 0 or more, and `name` stands below it; `y` and its bounds are shares, 0 to 1."""

    x: float
    name: str
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Reference:
    """A level to compare with, drawn across the chart."""

    name: str
    y: float


def line_chart(
    title: str, x_title: str, points: Sequence[Point], references: Sequence[Reference] = ()
) -> bytes:
    """Return a PNG of 1200 x 750 pixels; `points` are in the order of x, at least one."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), "white")
    pen = ImageDraw.Draw(image)
    label, heading = ImageFont.load_default(_LABEL_PX), ImageFont.load_default(_TITLE_PX)
    top = _top(points, references)
    xs = _places([point.x for point in points])

    def y_px(share: float) -> float:
        return HEIGHT_PX - _BOTTOM_PX - share / top * (HEIGHT_PX - _TOP_PX - _BOTTOM_PX)

    pen.text((WIDTH_PX / 2, 45), title, fill=_INK, font=heading, anchor="mm")
    pen.text((WIDTH_PX / 2, HEIGHT_PX - 28), x_title, fill=_INK, font=label, anchor="mm")
    for tick in range(_TICKS):
        share = top * tick / (_TICKS - 1)
        pen.line(
            [(_LEFT_PX, y_px(share)), (WIDTH_PX - _RIGHT_PX, y_px(share))], fill=_GRID, width=2
        )
        spot = (_LEFT_PX - 14, y_px(share))
        pen.text(spot, f"{100 * share:.0f} %", fill=_INK, font=label, anchor="rm")
    band = [(x, y_px(p.high)) for x, p in zip(xs, points, strict=True)]
    band += [(x, y_px(p.low)) for x, p in reversed(list(zip(xs, points, strict=True)))]
    if len(points) > 1:
        pen.polygon(band, fill=_BAND)
    for reference in references:
        _dashed(pen, y_px(reference.y))
    pen.line([(x, y_px(p.y)) for x, p in zip(xs, points, strict=True)], fill=_LINE, width=4)
    for x, point in zip(xs, points, strict=True):
        _mark(pen, x, (y_px(point.low), y_px(point.y), y_px(point.high)))
    for reference in references:
        spot = (_LEFT_PX + 60, y_px(reference.y) - 18)
        box = pen.textbbox(spot, reference.name, font=label, anchor="lm")
        pen.rectangle(box, fill="white")
        pen.text(spot, reference.name, fill=_INK, font=label, anchor="lm")
    _names(pen, label, xs, points)
    out = BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _top(points: Sequence[Point], references: Sequence[Reference]) -> float:
    """Return the upper end of the axis: the next multiple of 10 %, at most 100 %."""
    highest = max([point.high for point in points] + [line.y for line in references])
    return min(1.0, max(0.1, math.ceil(highest * 10 + 0.2) / 10))


def _places(values: Sequence[float]) -> list[float]:
    """Return where each x stands, in pixels: the logarithm of one more, so that 0 has a place."""
    logs = [math.log1p(value) for value in values]
    first, last = min(logs), max(logs)
    begin, end = _LEFT_PX + 40, WIDTH_PX - _RIGHT_PX - 40
    if first == last:
        return [(begin + end) / 2 for _ in logs]
    return [begin + (one - first) / (last - first) * (end - begin) for one in logs]


def _names(
    pen: ImageDraw, font: FreeTypeFont | ImageFont, xs: Sequence[float], points: Sequence[Point]
) -> None:
    """Write the points' names below the axis, those left out that would touch the one before."""
    end = -math.inf
    for x, point in zip(xs, points, strict=True):
        half = pen.textlength(point.name, font=font) / 2
        if x - half > end + 8:
            spot = (x, HEIGHT_PX - _BOTTOM_PX + 26)
            pen.text(spot, point.name, fill=_INK, font=font, anchor="mm")
            end = x + half


def _mark(pen: ImageDraw, x: float, ys: tuple[float, float, float]) -> None:
    """Draw a point and its interval."""
    low, middle, high = ys
    pen.line([(x, low), (x, high)], fill=_LINE, width=2)
    for y in (low, high):
        pen.line([(x - 8, y), (x + 8, y)], fill=_LINE, width=2)
    pen.ellipse((x - 7, middle - 7, x + 7, middle + 7), fill=_LINE)


def _dashed(pen: ImageDraw, y: float) -> None:
    for x in range(_LEFT_PX, WIDTH_PX - _RIGHT_PX, 24):
        pen.line([(x, y), (x + 12, y)], fill=_INK, width=2)
