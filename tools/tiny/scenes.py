"""Pictures with known contents: shapes, bar charts, arithmetic expressions (PIL and stdlib only).

Law: everything follows from the `random.Random` that is passed in; a scene says exactly what is
visible; a mark says where it is visible (pixels of the canvas), so that the vision encoder can be
taught cell by cell. Sizes inside the drawing code are multiples of `unit`, the number of canvas
pixels per pixel that the model sees after resizing.

Not covered: photographs, hand-drawn shapes, rotated single shapes, overlapping items.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

KINDS = ("circle", "square", "triangle", "star")
# The first entry of a colour is ours; the rest are what other drawing programs call by the name.
PALETTE: dict[str, tuple[Color, ...]] = {
    "red": ((222, 40, 40), (255, 0, 0), (220, 20, 60), (196, 30, 30)),
    "green": ((34, 160, 60), (0, 128, 0), (0, 175, 0), (76, 175, 80)),
    "blue": ((40, 80, 220), (0, 0, 255), (30, 110, 245), (25, 60, 170)),
    "yellow": ((245, 210, 30), (255, 255, 0), (255, 215, 0), (250, 225, 70)),
    "orange": ((245, 135, 20), (255, 165, 0), (255, 140, 0), (240, 120, 0)),
    "purple": ((140, 50, 180), (128, 0, 128), (155, 89, 182), (148, 0, 211)),
    "black": ((25, 25, 25), (0, 0, 0), (10, 10, 10), (40, 40, 40)),
}
COLORS = tuple(PALETTE)
GLYPHS = (*"0123456789", *"ABCDEF", "+", "-", "x", "=", "?")
FONT_FILES = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf",
    "",  # Pillow's bundled font
    "",
)


@dataclass(frozen=True, slots=True)
class Item:
    """One shape."""

    kind: str
    color: str
    row: int  # reading order: rows from the top, items of a row from the left


@dataclass(frozen=True, slots=True)
class Shapes:
    """Shapes in reading order."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars from left to right."""

    labels: tuple[str, ...]
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """Two numbers and an operator."""

    left: int
    operator: str  # "+", "-" or "x"
    right: int

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


Scene = Shapes | Chart | Expression


@dataclass(frozen=True, slots=True)
class Mark:
    """What is visible around one point; `x`, `y` in canvas pixels."""

    x: float
    y: float
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, what it shows, and where."""

    image: Image.Image
    scene: Scene
    marks: tuple[Mark, ...]
    background: Color


@dataclass(frozen=True, slots=True)
class Canvas:
    """An empty picture; `unit` is canvas pixels per pixel that the model sees."""

    width: int
    height: int
    unit: float
    background: Color

    @property
    def dark(self) -> bool:
        """Whether lines and text must be light."""
        return sum(self.background) < 300

    def blank(self) -> Image.Image:
        """A fresh image in the background's colour."""
        return Image.new("RGB", (self.width, self.height), self.background)

    def ink(self, rng: Random, spread: int = 30) -> Color:
        """Colour of lines and text: near black on light backgrounds, near white on dark ones."""
        level = rng.randint(255 - spread, 255) if self.dark else rng.randint(0, spread)
        return (level, level, level)


@functools.cache
def font(file: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A DejaVu font where installed, Pillow's bundled font elsewhere."""
    if file:
        try:
            return ImageFont.truetype(file, size)
        except OSError:
            pass
    return ImageFont.load_default(size)


@functools.cache
def has_math_signs(file: str) -> bool:
    """Whether the font draws U+00D7 and U+2212 (the bundled one shows an empty box)."""
    probe = font(file, 40)
    missing = bytes(probe.getmask("\uffff"))
    return all(bytes(probe.getmask(sign)) != missing for sign in "\u00d7\u2212")


def jitter(rng: Random, color: Color, spread: int = 12) -> Color:
    """The colour, each channel moved by up to `spread`."""
    red, green, blue = (max(0, min(255, v + rng.randint(-spread, spread))) for v in color)
    return (red, green, blue)


def paint(rng: Random, name: str) -> Color:
    """One shade that a person would call `name`."""
    shades = PALETTE[name]
    return jitter(rng, shades[0] if rng.random() < 0.5 else rng.choice(shades))


def background(rng: Random, dark_share: float = 0.12) -> Color:
    """White, light grey, a pastel, or dark."""
    draw = rng.random()
    if draw < dark_share:
        level = rng.randint(8, 72)
        return jitter(rng, (level, level, level), 10)
    if draw < dark_share + 0.45:
        return (255, 255, 255)
    if draw < dark_share + 0.62:
        level = rng.randint(215, 252)
        return (level, level, level)
    pastels = ((250, 245, 225), (228, 238, 250), (232, 246, 232), (255, 215, 225), (215, 235, 240))
    return jitter(rng, rng.choice(pastels), 8)


# ---------------------------------------------------------------------------------------- shapes


@dataclass(frozen=True, slots=True)
class Spot:
    """A place for one shape: centre, radius and row."""

    x: float
    y: float
    radius: float
    row: int


def outline_points(kind: str, spot: Spot, rng: Random) -> list[tuple[float, float]]:
    """Corners of a triangle (base down) or a five-pointed star (point up)."""
    if kind == "triangle":
        half, low = spot.radius * rng.uniform(0.85, 1.0), spot.radius * rng.uniform(0.7, 0.85)
        return [
            (spot.x, spot.y - spot.radius),
            (spot.x - half, spot.y + low),
            (spot.x + half, spot.y + low),
        ]
    inner = spot.radius * rng.uniform(0.4, 0.48)
    corners = []
    for corner in range(10):
        reach = inner if corner % 2 else spot.radius * 1.08
        angle = math.pi * (corner / 5 - 0.5)
        corners.append((spot.x + reach * math.cos(angle), spot.y + reach * math.sin(angle)))
    return corners


def draw_shape(
    pen: ImageDraw.ImageDraw, kind: str, spot: Spot, fill: Color, edge: Color | None, rng: Random
) -> None:
    """One shape at its spot, outlined if `edge` is given."""
    width = max(1, round(spot.radius * 0.1))
    if kind in ("triangle", "star"):
        points = outline_points(kind, spot, rng)
        pen.polygon(points, fill=fill, outline=edge, width=width if edge else 1)
        return
    reach = spot.radius * (1.0 if kind == "circle" else 0.9)
    box = (spot.x - reach, spot.y - reach, spot.x + reach, spot.y + reach)
    shape = pen.ellipse if kind == "circle" else pen.rectangle
    shape(box, fill=fill, outline=edge, width=width)


def grid_spots(rng: Random, canvas: Canvas, count: int) -> list[Spot]:
    """`count` cells of a jittered grid in reading order; empty rows do not count as rows."""
    cell = rng.uniform(30, 46) * canvas.unit
    columns = max(1, min(6, int(canvas.width / cell)))
    rows = max(1, min(5, int(canvas.height / cell)))
    while columns * rows < count:
        if canvas.width / columns > canvas.height / rows:
            columns += 1
        else:
            rows += 1
    width, height = canvas.width / columns, canvas.height / rows
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    chosen = cells[:count] if rng.random() < 0.25 else sorted(rng.sample(cells, count))
    used_rows = sorted({row for row, _ in chosen})
    half = min(width, height) / 2
    even = rng.uniform(0.55, 0.85) if rng.random() < 0.3 else None
    spots = []
    for row, column in chosen:
        radius = max(half * (even or rng.uniform(0.5, 0.88)), 5.5 * canvas.unit)
        radius = min(radius, 26 * canvas.unit, half * 0.95)
        loose = 0.0 if even and half > 18 * canvas.unit else 0.85
        shift_x = max(0.0, width / 2 - radius * 1.06) * loose
        shift_y = max(0.0, min(height / 2 - radius * 1.06, height * 0.22)) * loose
        x = (column + 0.5) * width + rng.uniform(-shift_x, shift_x)
        y = (row + 0.5) * height + rng.uniform(-shift_y, shift_y)
        spots.append(Spot(x, y, radius, used_rows.index(row)))
    return spots


def free_spots(rng: Random, canvas: Canvas, count: int) -> list[Spot]:
    """Up to `count` places without overlap; a new row begins 22 units below the last one."""
    placed: list[tuple[float, float, float]] = []
    for _ in range(400):
        if len(placed) == count:
            break
        radius = rng.uniform(7, 15 if count > 5 else 20) * canvas.unit
        radius = min(radius, canvas.width * 0.4, canvas.height * 0.4)
        x = rng.uniform(radius * 1.1, canvas.width - radius * 1.1)
        y = rng.uniform(radius * 1.1, canvas.height - radius * 1.1)
        if all(math.hypot(x - px, y - py) > 1.3 * (radius + pr) for px, py, pr in placed):
            placed.append((x, y, radius))
    placed.sort(key=lambda place: place[1])
    spots, row, row_y = [], -1, -math.inf
    for x, y, radius in placed:
        if y - row_y > 22 * canvas.unit:
            row, row_y = row + 1, y
        spots.append(Spot(x, y, radius, row))
    return sorted(spots, key=lambda spot: (spot.row, spot.x))


def draw_shapes(rng: Random, canvas: Canvas) -> Picture:
    """One to nine shapes; half of the pictures use few kinds or colours, so counts run high."""
    weights = (1, 1.2, 1.4, 1.5, 1.5, 1.4, 1.2, 1, 0.8)
    count = rng.choices(range(1, 10), weights=weights)[0]
    kinds = KINDS if rng.random() < 0.6 else tuple(rng.sample(KINDS, 2))
    colors = tuple(color for color in COLORS if color != "black" or not canvas.dark)
    if rng.random() < 0.4:
        colors = tuple(rng.sample(colors, 2))
    place = grid_spots if rng.random() < 0.8 else free_spots
    image = canvas.blank()
    pen = ImageDraw.Draw(image)
    outlined = rng.random() < 0.25
    items, marks = [], []
    for spot in place(rng, canvas, count):
        item = Item(rng.choice(kinds), rng.choice(colors), spot.row)
        edge = canvas.ink(rng) if outlined and rng.random() < 0.8 else None
        draw_shape(pen, item.kind, spot, paint(rng, item.color), edge, rng)
        items.append(item)
        pair = f"{item.color} {item.kind}"
        marks.append(Mark(spot.x, spot.y, (item.kind, item.color, pair)))
    return Picture(image, Shapes(tuple(items)), tuple(marks), canvas.background)
