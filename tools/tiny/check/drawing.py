"""Pictures of the check: figures on a plain or tinted ground, charts, lines of text, pages.

Law: drawn three times too large and averaged; names of colours and kinds are the domain's, shades,
sizes, fonts and layouts are this module's own. Boxes are in pixels of the picture.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageColor, ImageDraw, ImageFont

SHADES = {
    "red": ("crimson", "#e03131", "firebrick"),
    "green": ("seagreen", "#2f9e44", "forestgreen"),
    "blue": ("royalblue", "#1c7ed6", "mediumblue"),
    "yellow": ("gold", "#fcc419", "#ffe066"),
    "orange": ("darkorange", "#fd7e14", "#f76707"),
    "purple": ("rebeccapurple", "#9c36b5", "darkviolet"),
    "black": ("#111111", "#222222", "black"),
}
FORMS = ("circle", "square", "triangle", "star")
GROUNDS = ("white", "white", "ivory", "#f1f3f5", "aliceblue", "#fff4e6", "lavender", "honeydew")
NIGHTS = ("#1e1e2e", "#14213d", "#263238")
FACES = (
    "DejaVuSans.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSansCondensed.ttf",
    "DejaVuSerif-Italic.ttf",
)
FINE = 3  # how much larger everything is drawn

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Figure:
    """One drawn form."""

    form: str
    shade: str
    box: Box

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of its box."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@functools.cache
def face(name: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font, or Pillow's own where it is not installed."""
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return ImageFont.load_default(size)


def polygon(form: str, x: float, y: float, r: float, turn: float) -> list[tuple[float, float]]:
    """Corners of a square, a triangle or a star around (x, y)."""
    inner = r * 0.45 if form == "star" else r
    corners = {"square": 4, "triangle": 3, "star": 10}[form]
    start = math.pi / 4 if form == "square" else -math.pi / 2
    radii = (r, inner)
    return [
        (
            x + radii[i % 2] * math.cos(start + turn + 2 * math.pi * i / corners),
            y + radii[i % 2] * math.sin(start + turn + 2 * math.pi * i / corners),
        )
        for i in range(corners)
    ]


@dataclass(slots=True)
class Sheet:
    """A picture under work."""

    width: int
    height: int
    ground: str
    image: Image.Image
    pen: ImageDraw.ImageDraw

    @classmethod
    def of(cls, width: int, height: int, ground: str) -> Sheet:
        """An empty one."""
        image = Image.new("RGB", (width * FINE, height * FINE), ground)
        return cls(width, height, ground, image, ImageDraw.Draw(image))

    @property
    def ink(self) -> str:
        """A colour that is read on this ground."""
        return "#f8f9fa" if sum(ImageColor.getrgb(self.ground)) < 300 else "#212529"

    def form(self, form: str, color: str, at: tuple[float, float], r: float, line: bool) -> Box:
        """Draw one form; returns its box in picture pixels."""
        x, y = at[0] * FINE, at[1] * FINE
        r *= FINE
        outline = self.ink if line else None
        width = max(2, round(r / 14))
        if form == "circle":
            box = (x - r, y - r, x + r, y + r)
            self.pen.ellipse(box, fill=color, outline=outline, width=width)
        else:
            corners = polygon(form, x, y, r, 0.0)
            self.pen.polygon(corners, fill=color, outline=outline, width=width)
            xs, ys = [c[0] for c in corners], [c[1] for c in corners]
            box = (min(xs), min(ys), max(xs), max(ys))
        left, top, right, bottom = (round(v / FINE) for v in box)
        return (left, top, right, bottom)

    def text(self, words: str, at: tuple[float, float], size: float, name: str) -> Box:
        """Write `words` around a middle; returns their box in picture pixels."""
        font = face(name, round(size * FINE))
        place = (at[0] * FINE, at[1] * FINE)
        self.pen.text(place, words, fill=self.ink, font=font, anchor="mm")
        box = self.pen.textbbox(place, words, font=font, anchor="mm")
        left, top, right, bottom = (round(v / FINE) for v in box)
        return (left, top, right, bottom)

    def done(self) -> Image.Image:
        """The picture at its own size."""
        return self.image.resize((self.width, self.height), Image.Resampling.BOX)


def ground(rng: Random) -> str:
    """Mostly light, sometimes dark."""
    return rng.choice(NIGHTS) if rng.random() < 0.08 else rng.choice(GROUNDS)


def spread(rng: Random, sheet: Sheet, count: int) -> list[tuple[float, float, float]]:
    """Middles and radii that keep apart: thrown, and thrown anew where they meet."""
    side = min(sheet.width, sheet.height)
    largest = side * (0.17 if count <= 4 else 0.12 if count <= 7 else 0.1)
    placed: list[tuple[float, float, float]] = []
    while len(placed) < count:
        placed = []
        for _ in range(300):
            r = rng.uniform(largest * 0.6, largest)
            x, y = rng.uniform(r, sheet.width - r), rng.uniform(r, sheet.height - r)
            if all(math.dist((x, y), p[:2]) > (r + p[2]) * 1.15 for p in placed):
                placed.append((x, y, r))
            if len(placed) == count:
                break
    return placed


def lattice(rng: Random, sheet: Sheet, count: int) -> list[tuple[float, float, float]]:
    """Middles and radii on a regular lattice, filled from its beginning."""
    across = min(count, rng.choice((2, 3, 4)))
    down = math.ceil(count / across)
    step_x, step_y = sheet.width / across, sheet.height / down
    r = min(step_x, step_y) * rng.uniform(0.28, 0.42)
    return [((i % across + 0.5) * step_x, (i // across + 0.5) * step_y, r) for i in range(count)]


def figures(
    rng: Random, sheet: Sheet, wanted: list[tuple[str, str]], regular: bool
) -> list[Figure]:
    """Draw (shade, form) pairs."""
    places = (lattice if regular else spread)(rng, sheet, len(wanted))
    line = rng.random() < 0.2
    drawn = []
    for (shade, form), (x, y, r) in zip(wanted, places, strict=True):
        color = rng.choice(SHADES[shade])
        drawn.append(Figure(form, shade, sheet.form(form, color, (x, y), r, line)))
    return drawn


def chart(rng: Random, sheet: Sheet, values: dict[str, int]) -> dict[str, Box]:
    """A bar chart with printed values; returns the bars' boxes."""
    size = sheet.height * rng.uniform(0.075, 0.1)
    name = rng.choice(FACES)
    base, top = sheet.height - size * 1.7, size * 1.9
    step = (base - top) / 9
    pitch = sheet.width * 0.92 / len(values)
    one_shade = rng.choice([s for s in SHADES if s != "black"]) if rng.random() < 0.4 else ""
    boxes = {}
    for i, (label, value) in enumerate(values.items()):
        x = sheet.width * 0.04 + (i + 0.5) * pitch
        half = pitch * 0.31
        color = rng.choice(SHADES[one_shade or rng.choice([s for s in SHADES if s != "black"])])
        box = (x - half, base - value * step, x + half, base)
        sheet.pen.rectangle([v * FINE for v in box], fill=color)
        sheet.text(label, (x, base + size * 0.9), size, name)
        sheet.text(str(value), (x, base - value * step - size * 0.75), size, name)
        left, top_px, right, bottom = (round(v) for v in box)
        boxes[label] = (left, top_px, right, bottom)
    line = (sheet.width * 0.03 * FINE, base * FINE, sheet.width * 0.97 * FINE, base * FINE)
    sheet.pen.line(line, fill=sheet.ink, width=2 * FINE)
    return boxes
