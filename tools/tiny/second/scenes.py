"""What the second generation's pictures show: the first's, with boxes, words and clutter.

Law: as in `tools.tiny.scenes`, whose colours, canvases and placements are used. Every item has the
box that it fills, so that it can be pointed at; `upright` is False where the picture was turned
afterwards and the boxes are wrong.

Not covered: photographs, hand-drawn shapes, rotated single shapes, overlapping items.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

from tools.tiny import scenes
from tools.tiny.scenes import (
    COLORS,
    KINDS,
    Canvas,
    Color,
    Mark,
    Spot,
    free_spots,
    grid_spots,
    paint,
)

LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
GLYPHS = (*"0123456789", *LETTERS, "+", "-", "=", "?")

# Left, top, right, bottom as shares of the picture's width and height.
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Item:
    """One shape."""

    kind: str
    color: str
    row: int  # reading order: rows from the top, items of a row from the left
    box: Box


@dataclass(frozen=True, slots=True)
class Shapes:
    """Shapes in reading order."""

    items: tuple[Item, ...]
    upright: bool = True  # False where the picture was turned: the boxes are wrong then


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars from left to right."""

    labels: tuple[str, ...]
    values: tuple[int, ...]
    boxes: tuple[Box, ...] = ()
    upright: bool = True


@dataclass(frozen=True, slots=True)
class Expression:
    """Two numbers and an operator."""

    left: int
    operator: str  # "+", "-" or "x"
    right: int
    box: Box = (0.0, 0.0, 1.0, 1.0)
    upright: bool = True

    @property
    def result(self) -> int:
        """What the expression comes to."""
        match self.operator:
            case "+":
                return self.left + self.right
            case "-":
                return self.left - self.right
            case _:
                return self.left * self.right


@dataclass(frozen=True, slots=True)
class Word:
    """A short word or a number, as it is written."""

    text: str
    box: Box
    upright: bool = True


Scene = Shapes | Chart | Expression | Word


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, what it shows, and where."""

    image: Image.Image
    scene: Scene
    marks: tuple[Mark, ...]
    background: Color


def draw_shape(
    pen: ImageDraw.ImageDraw,
    kind: str,
    spot: Spot,
    fill: Color | None,
    edge: Color | None,
    rng: Random,
) -> Box:
    """One shape at its spot, outlined if `edge` is given; returns its box in canvas pixels."""
    width = max(1, round(spot.radius * (0.1 if fill else 0.22)))
    if kind in ("triangle", "star"):
        points = scenes.outline_points(kind, spot, rng)
        pen.polygon(points, fill=fill, outline=edge, width=width if edge else 1)
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return (min(xs), min(ys), max(xs), max(ys))
    reach = spot.radius * (1.0 if kind == "circle" else 0.9)
    box = (spot.x - reach, spot.y - reach, spot.x + reach, spot.y + reach)
    shape = pen.ellipse if kind == "circle" else pen.rectangle
    shape(box, fill=fill, outline=edge, width=width)
    return box


def clutter(rng: Random, canvas: Canvas, pen: ImageDraw.ImageDraw) -> None:
    """Faint lines, a frame, specks: what is in a picture and is not asked about."""
    sign = 1 if canvas.dark else -1
    red, green, blue = (v + sign * rng.randint(12, 40) for v in canvas.background)
    faint, thin = (red, green, blue), max(1, round(canvas.unit * rng.uniform(0.4, 1.0)))
    match rng.randrange(4):
        case 0:
            for _ in range(rng.randint(1, 4)):
                y = rng.uniform(0, canvas.height)
                pen.line((0, y, canvas.width, y + rng.uniform(-9, 9)), fill=faint, width=thin)
        case 1:
            pad = rng.uniform(1, 3) * canvas.unit
            frame = (pad, pad, canvas.width - pad, canvas.height - pad)
            pen.rectangle(frame, outline=canvas.ink(rng, 120), width=thin)
        case 2:
            step = rng.uniform(9, 22) * canvas.unit
            for i in range(1, int(canvas.width / step) + 1):
                pen.line((i * step, 0, i * step, canvas.height), fill=faint, width=thin)
            for i in range(1, int(canvas.height / step) + 1):
                pen.line((0, i * step, canvas.width, i * step), fill=faint, width=thin)
        case _:
            for _ in range(rng.randint(5, 40)):
                x, y = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height)
                pen.ellipse((x, y, x + 2 * thin, y + 2 * thin), fill=faint)


def draw_shapes(rng: Random, canvas: Canvas) -> Picture:
    """One to nine shapes; half of the pictures use few kinds or colours, so counts run high."""
    weights = (0.9, 1.2, 1.4, 1.5, 1.5, 1.4, 1.3, 1.2, 1.0)
    count = rng.choices(range(1, 10), weights=weights)[0]
    kinds = KINDS if rng.random() < 0.6 else tuple(rng.sample(KINDS, 2))
    colors = tuple(color for color in COLORS if color != "black" or not canvas.dark)
    if rng.random() < 0.4:
        colors = tuple(rng.sample(colors, 2))
    place = grid_spots if rng.random() < 0.65 else free_spots
    image = canvas.blank()
    pen = ImageDraw.Draw(image)
    if rng.random() < 0.15:
        clutter(rng, canvas, pen)
    outlined, hollow = rng.random() < 0.25, rng.random() < 0.07
    items, marks = [], []
    for spot in place(rng, canvas, count):
        kind, color = rng.choice(kinds), rng.choice(colors)
        fill: Color | None = paint(rng, color)
        edge = canvas.ink(rng) if outlined and rng.random() < 0.8 else None
        if hollow:
            fill, edge = None, fill
        left, top, right, bottom = draw_shape(pen, kind, spot, fill, edge, rng)
        box = (
            *(left / canvas.width, top / canvas.height),
            *(right / canvas.width, bottom / canvas.height),
        )
        items.append(Item(kind, color, spot.row, box))
        marks.append(Mark(spot.x, spot.y, (kind, color, f"{color} {kind}")))
    return Picture(image, Shapes(tuple(items)), tuple(marks), canvas.background)
