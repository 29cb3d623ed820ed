"""Bar charts and arithmetic expressions (PIL and stdlib only); the sibling of `scenes`.

Law: as in `scenes`. A chart's axis always spans nine values, so that a bar without a printed value
can still be read from its height. Largest and smallest value are each unique. Every expression of
the domain occurs in training; held out are only renderings.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from PIL import ImageDraw

from tools.tiny.scenes import (
    COLORS,
    FONT_FILES,
    Canvas,
    Chart,
    Expression,
    Mark,
    Picture,
    font,
    has_math_signs,
    jitter,
    paint,
)

TOP_VALUE = 9
FIRST_LABELS = ("A", "A", "A", "B")


def chart_values(rng: Random, count: int) -> tuple[int, ...]:
    """`count` values with a single largest and a single smallest."""
    while True:
        values = tuple(rng.randint(1, TOP_VALUE) for _ in range(count))
        if values.count(max(values)) == 1 and values.count(min(values)) == 1:
            return values


@dataclass(frozen=True, slots=True)
class Frame:
    """The plotting area of a chart in canvas pixels, and one value's height."""

    left: float
    right: float
    top: float
    base: float

    @property
    def step(self) -> float:
        """Height of one value in pixels."""
        return (self.base - self.top) / TOP_VALUE


def draw_axes(
    rng: Random, pen: ImageDraw.ImageDraw, canvas: Canvas, frame: Frame, grid: bool
) -> None:
    """Both axes and, if asked for, a line per value."""
    if grid:
        level = rng.randint(70, 110) if canvas.dark else rng.randint(200, 222)
        thin = max(1, int(0.5 * canvas.unit))
        for value in range(1, TOP_VALUE + 1):
            y = frame.base - value * frame.step
            pen.line((frame.left, y, frame.right, y), fill=(level,) * 3, width=thin)
    ink, width = canvas.ink(rng, 70), max(1, int(canvas.unit))
    pen.line((frame.left, frame.base, frame.right, frame.base), fill=ink, width=width)
    if rng.random() < 0.85:
        pen.line((frame.left, frame.top, frame.left, frame.base), fill=ink, width=width)


def draw_chart(rng: Random, canvas: Canvas) -> Picture:
    """Three to five labelled bars; most with their value printed on top."""
    most = 5 if canvas.width / canvas.unit >= 135 else 4 if canvas.width / canvas.unit >= 105 else 3
    count = rng.randint(3, most)
    first = ord(rng.choice(FIRST_LABELS))
    chart = Chart(tuple(chr(first + i) for i in range(count)), chart_values(rng, count))
    usable = [color for color in COLORS if color != "black" or not canvas.dark]
    colors = rng.sample(usable, count) if rng.random() < 0.7 else [rng.choice(usable)] * count
    size = int(rng.uniform(11, 14.5) * canvas.unit)
    face = font(rng.choice(FONT_FILES), size)
    frame = Frame(
        left=rng.uniform(4, 12) * canvas.unit,
        right=canvas.width - rng.uniform(3, 8) * canvas.unit,
        top=size * 1.25,
        base=canvas.height - size * 1.35,
    )
    image = canvas.blank()
    pen = ImageDraw.Draw(image)
    printed = rng.random() < 0.88
    draw_axes(rng, pen, canvas, frame, grid=not printed or rng.random() < 0.5)
    pitch, share = (frame.right - frame.left) / count, rng.uniform(0.5, 0.8)
    ink, marks = canvas.ink(rng), []
    for i, (label, value, color) in enumerate(zip(chart.labels, chart.values, colors, strict=True)):
        x, top = frame.left + (i + 0.5) * pitch, frame.base - value * frame.step
        half = pitch * share / 2
        pen.rectangle((x - half, top, x + half, frame.base - 1), fill=paint(rng, color))
        label_y = frame.base + size * 0.68
        pen.text((x, label_y), label, fill=ink, font=face, anchor="mm")
        marks += [Mark(x, label_y, (f"glyph {label}",)), Mark(x, top, (f"value {value}", color))]
        if printed:
            pen.text((x, top - size * 0.62), str(value), fill=ink, font=face, anchor="mm")
            marks.append(Mark(x, top - size * 0.62, (f"glyph {value}",)))
    return Picture(image, chart, tuple(marks), canvas.background)


def draw_expression_terms(rng: Random) -> Expression:
    """Sums and differences to 20 (two-digit operands preferred), products to 9 x 9."""
    operator = rng.choice("++--x")
    if operator == "x":
        return Expression(rng.randint(1, 9), "x", rng.randint(1, 9))
    low = 10 if rng.random() < 0.35 else 0
    if operator == "+":
        left, right = rng.randint(low, 20), rng.randint(0, 20)
        return Expression(*((left, "+", right) if rng.random() < 0.5 else (right, "+", left)))
    left = rng.randint(max(low, 1), 20)
    return Expression(left, "-", rng.randint(0, left))


def written(rng: Random, expression: Expression, file: str, narrow: bool) -> str:
    """One way to write it: signs, spacing, with or without '=' and '?'."""
    signs = has_math_signs(file)
    match expression.operator:
        case "x":
            sign = "\u00d7" if signs and rng.random() < 0.6 else "x"
        case "-":
            sign = "\u2212" if signs and rng.random() < 0.3 else "-"
        case _:
            sign = "+"
    gap = "" if narrow else rng.choice(("", " ", " "))
    tail = "" if narrow else rng.choice(("", "=", "=?", "=?"))
    return gap.join((str(expression.left), sign, str(expression.right), *tail))


def draw_expression(rng: Random, canvas: Canvas) -> Picture:
    """One line of text, as wide as half to nearly all of the canvas."""
    expression = draw_expression_terms(rng)
    file = rng.choice(FONT_FILES)
    text = written(rng, expression, file, narrow=canvas.width / canvas.unit < 100)
    share = rng.uniform(0.82 if len(text) > 6 else 0.72 if len(text) > 4 else 0.55, 0.96)
    size = canvas.width * share * 100 / font(file, 100).getlength(text)
    size = int(min(size, 46 * canvas.unit, canvas.height * 0.8))
    face = font(file, size)
    length = face.getlength(text)
    x = rng.uniform(1, max(1.1, canvas.width - length - 1))
    y = canvas.height / 2
    if rng.random() < 0.6:
        y = rng.uniform(size * 0.6, max(size * 0.61, canvas.height - size * 0.6))
    ink = canvas.ink(rng)
    if rng.random() < 0.4 and not canvas.dark:
        ink = paint(rng, rng.choice(("blue", "red", "green", "purple")))
    image = canvas.blank()
    ImageDraw.Draw(image).text((x, y), text, fill=jitter(rng, ink), font=face, anchor="lm")
    marks = []
    for i, sign in enumerate(text):
        if sign != " ":
            middle = x + (face.getlength(text[:i]) + face.getlength(text[: i + 1])) / 2
            glyph = {"\u00d7": "x", "\u2212": "-"}.get(sign, sign)
            marks.append(Mark(middle, y, (f"glyph {glyph}",)))
    return Picture(image, expression, tuple(marks), canvas.background)
