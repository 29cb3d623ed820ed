"""A random picture of the second generation, as a file would hold it and as the model sees it.

Law: as in `tools.tiny.pictures`, whose sizes and wear are used; the drawers and the labels of the
grounding head are this generation's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

import numpy as np
from PIL import Image

from tools.tiny.hub import CELL_PX
from tools.tiny.pictures import BUCKETS, Size, Wear, compressed, file_size, noisy
from tools.tiny.scenes import COLORS, KINDS, Canvas, Mark, background
from tools.tiny.second.figures import draw_chart, draw_expression, draw_word
from tools.tiny.second.scenes import GLYPHS, Picture, draw_shapes

DRAWERS: Mapping[str, Callable[[Random, Canvas], Picture]] = {
    "shapes": draw_shapes,
    "chart": draw_chart,
    "expression": draw_expression,
    "word": draw_word,
}
# One share per bucket of BUCKETS. Charts and expressions are rarely taller than wide.
BUCKET_SHARES = {
    "shapes": (0.38, 0.19, 0.09, 0.10, 0.06, 0.03, 0.07, 0.03, 0.03, 0.01, 0.01),
    "chart": (0.38, 0.22, 0.13, 0.11, 0.05, 0.02, 0.06, 0.02, 0.01, 0.0, 0.0),
    "expression": (0.28, 0.20, 0.12, 0.13, 0.12, 0.08, 0.04, 0.015, 0.015, 0.0, 0.0),
    "word": (0.30, 0.20, 0.12, 0.13, 0.12, 0.08, 0.05, 0.0, 0.0, 0.0, 0.0),
}

# What the grounding head can be asked about one cell. A glyph is told to be in the left or right
# half of its cell, because reading "12" as opposed to "21" needs the order.
LABELS = (
    *KINDS,
    *COLORS,
    *(f"{color} {kind}" for color in COLORS for kind in KINDS),
    *(f"glyph {glyph} {half}" for glyph in GLYPHS for half in ("left", "right")),
    *(f"value {value}" for value in range(1, 10)),
    *(f"figure {family}" for family in DRAWERS),
)
LABEL_INDEX = {label: i for i, label in enumerate(LABELS)}


def rotated(rng: Random, picture: Picture) -> Picture:
    """Turn by up to ten degrees (four where it is long), zoomed out so that nothing is cut off."""
    width, height = picture.image.size
    limit = 10 if max(width, height) < 1.7 * min(width, height) else 4
    angle = math.radians(rng.uniform(-limit, limit))
    cos, sin = math.cos(angle), math.sin(angle)
    zoom = max(cos + abs(sin) * height / width, cos + abs(sin) * width / height)
    mid_x, mid_y = width / 2, height / 2
    # PIL wants the map from the new picture to the old one.
    a, b = cos * zoom, sin * zoom
    matrix = (a, b, mid_x - a * mid_x - b * mid_y, -b, a, mid_y + b * mid_x - a * mid_y)
    image = picture.image.transform(
        picture.image.size,
        Image.Transform.AFFINE,
        matrix,
        resample=Image.Resampling.BILINEAR,
        fillcolor=picture.background,
    )
    marks = []
    for mark in picture.marks:
        x, y = (mark.x - mid_x) / zoom, (mark.y - mid_y) / zoom
        marks.append(Mark(mid_x + cos * x - sin * y, mid_y + sin * x + cos * y, mark.labels))
    scene = replace(picture.scene, upright=False)
    return replace(picture, image=image, scene=scene, marks=tuple(marks))


def take(rng: Random, family: str, bucket: Size | None = None, wear: Wear | None = None) -> Picture:
    """A picture of file size, two to three times what the model sees (140 to 700 px a side)."""
    wear = wear or Wear()
    if bucket is None:
        bucket = rng.choices(BUCKETS, weights=BUCKET_SHARES[family])[0]
    unit = rng.choice((2.0, 2.0, 2.5, 3.0))
    width, height = file_size(rng, bucket, unit)
    canvas = Canvas(width, height, unit, background(rng, wear.dark))
    picture = DRAWERS[family](rng, canvas)
    if rng.random() < wear.turn:
        picture = rotated(rng, picture)
    image = picture.image
    if rng.random() < wear.compress:
        image = compressed(rng, image)
    if rng.random() < wear.noise:
        image = noisy(rng, image)
    return replace(picture, image=image)


def seen(picture: Picture, bucket: Size) -> np.ndarray:
    """The pixels that reach the patches: (height, width, 3) uint8."""
    return np.asarray(picture.image.resize(bucket, Image.Resampling.BICUBIC))


def grounding(picture: Picture, bucket: Size) -> np.ndarray:
    """What lies in each cell, row by row: (cells, labels) of 0 and 1."""
    columns, rows = bucket[0] // CELL_PX, bucket[1] // CELL_PX
    target = np.zeros((rows * columns, len(LABELS)), np.float32)
    width, height = picture.image.size
    for mark in picture.marks:
        x, y = mark.x / width * columns, mark.y / height * rows
        column = min(columns - 1, max(0, int(x)))
        row = min(rows - 1, max(0, int(y)))
        half = "left" if x - column < 0.5 else "right"
        for label in mark.labels:
            name = f"{label} {half}" if label.startswith("glyph") else label
            target[row * columns + column, LABEL_INDEX[name]] = 1.0
    return target
