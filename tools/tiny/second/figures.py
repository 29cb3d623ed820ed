"""Bar charts, arithmetic expressions and words, with boxes (PIL and stdlib only).

Law: as in `tools.tiny.figures`, whose frames and axes are used. Sums and differences go to 60, type
gets as narrow as 6.8 pixels a sign, and words may spell nothing, so that they have to be read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from PIL import Image, ImageDraw

from tools.tiny import figures, scenes
from tools.tiny.figures import FIRST_LABELS, Frame, chart_values, draw_axes
from tools.tiny.scenes import COLORS, FONT_FILES, Canvas, Mark, font, jitter, paint
from tools.tiny.second.scenes import LETTERS, Box, Chart, Expression, Picture, Word, clutter

COMMON_WORDS = (
    "stop go exit open closed yes no on off hello sale new old hot cold tea milk bread apple "
    "dog cat bird fish horse sun moon star tree leaf rain snow wind fire water door room shop "
    "bank park bus taxi train road left right up down push pull wait danger help home work "
    "city town map book page pen red blue green black white gold free menu soup pizza egg "
    "salt one two three four five six seven eight nine ten day night week year time now you "
    "we "
)
WORDS = tuple(COMMON_WORDS.split())


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
    ink, marks, boxes = canvas.ink(rng), [], []
    for i, (label, value, color) in enumerate(zip(chart.labels, chart.values, colors, strict=True)):
        x, top = frame.left + (i + 0.5) * pitch, frame.base - value * frame.step
        half = pitch * share / 2
        pen.rectangle((x - half, top, x + half, frame.base - 1), fill=paint(rng, color))
        boxes.append(
            (
                *((x - half) / canvas.width, top / canvas.height),
                *((x + half) / canvas.width, frame.base / canvas.height),
            )
        )
        label_y = frame.base + size * 0.68
        pen.text((x, label_y), label, fill=ink, font=face, anchor="mm")
        marks += [Mark(x, label_y, (f"glyph {label}",)), Mark(x, top, (f"value {value}", color))]
        if printed:
            pen.text((x, top - size * 0.62), str(value), fill=ink, font=face, anchor="mm")
            marks.append(Mark(x, top - size * 0.62, (f"glyph {value}",)))
    chart = replace(chart, boxes=tuple(boxes))
    return Picture(image, chart, tuple(marks), canvas.background)


def draw_expression_terms(rng: Random) -> Expression:
    """Sums and differences (half of them to 20, half to 60), products to 9 x 9."""
    operator = rng.choice("++--x")
    if operator == "x":
        return Expression(rng.randint(1, 9), "x", rng.randint(1, 9))
    top = 20 if rng.random() < 0.5 else 60
    low = 10 if rng.random() < 0.35 else 0
    if operator == "+":
        left, right = rng.randint(low, top), rng.randint(0, top)
        return Expression(*((left, "+", right) if rng.random() < 0.5 else (right, "+", left)))
    left = rng.randint(max(low, 1), top)
    return Expression(left, "-", rng.randint(0, left))


def terms(expression: Expression) -> scenes.Expression:
    """The expression without its place."""
    return scenes.Expression(expression.left, expression.operator, expression.right)


NARROWEST_GLYPH_UNITS = 6.8


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text as it was drawn."""

    image: Image.Image
    box: Box
    marks: tuple[Mark, ...]


def draw_line(rng: Random, canvas: Canvas, text: str, file: str) -> Line:
    """The text, as wide as the canvas or as narrow as the model can read it."""
    full = font(file, 100).getlength(text)
    widest = rng.uniform(0.82 if len(text) > 6 else 0.72 if len(text) > 4 else 0.55, 0.96)
    width = canvas.width * widest
    if rng.random() < 0.35:
        narrowest = min(width, NARROWEST_GLYPH_UNITS * canvas.unit * len(text))
        width = rng.uniform(narrowest, width)
    size = int(max(6, min(width * 100 / full, 46 * canvas.unit, canvas.height * 0.8)))
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
    pen = ImageDraw.Draw(image)
    if rng.random() < 0.1:
        clutter(rng, canvas, pen)
    pen.text((x, y), text, fill=jitter(rng, ink), font=face, anchor="lm")
    left, top, right, bottom = pen.textbbox((x, y), text, font=face, anchor="lm")
    marks = []
    for i, sign in enumerate(text):
        if sign != " ":
            middle = x + (face.getlength(text[:i]) + face.getlength(text[: i + 1])) / 2
            glyph = {"\u00d7": "x", "\u2212": "-"}.get(sign, sign)
            marks.append(Mark(middle, y, (f"glyph {glyph}",)))
    box = (
        *(max(0.0, left / canvas.width), max(0.0, top / canvas.height)),
        *(min(1.0, right / canvas.width), min(1.0, bottom / canvas.height)),
    )
    return Line(image, box, tuple(marks))


def draw_expression(rng: Random, canvas: Canvas) -> Picture:
    """An expression in one line."""
    expression, file = draw_expression_terms(rng), rng.choice(FONT_FILES)
    text = figures.written(rng, terms(expression), file, narrow=canvas.width / canvas.unit < 100)
    line = draw_line(rng, canvas, text, file)
    return Picture(line.image, replace(expression, box=line.box), line.marks, canvas.background)


def drawn_word(rng: Random, most: int) -> str:
    """A word of at most `most` letters, a number, or letters that spell nothing."""
    draw = rng.random()
    if draw < 0.3:
        return str(rng.randint(0, 10 ** rng.randint(1, min(4, most)) - 1))
    if draw < 0.55:
        text = "".join(rng.choice(LETTERS[:26]) for _ in range(rng.randint(2, min(5, most))))
    else:
        text = rng.choice([word for word in WORDS if len(word) <= most]).upper()
    draw = rng.random()
    return text if draw < 0.65 else text.capitalize() if draw < 0.85 else text.lower()


def draw_word(rng: Random, canvas: Canvas) -> Picture:
    """A word in one line."""
    text = drawn_word(rng, max(3, min(7, int(canvas.width / canvas.unit / 14))))
    line = draw_line(rng, canvas, text, rng.choice(FONT_FILES))
    return Picture(line.image, Word(text, line.box), line.marks, canvas.background)
