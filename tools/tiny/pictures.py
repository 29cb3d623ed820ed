"""A random picture of the domain, as a file would hold it and as the model sees it.

Law: `take` draws at file size and `seen` resizes exactly as Qwen2-VL's processor would, so training
and evaluation differ in nothing but the seed. The buckets below are all sizes that the processor's
limits (12,544 to 19,600 pixels) make of ordinary aspects, and the two of 4:1 and 1:4.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from PIL import Image

from tools.tiny.figures import draw_chart, draw_expression
from tools.tiny.hub import CELL_PX, MAX_PIXELS, MIN_PIXELS
from tools.tiny.scenes import (
    COLORS,
    GLYPHS,
    KINDS,
    Canvas,
    Mark,
    Picture,
    background,
    draw_shapes,
)

Size = tuple[int, int]  # width, height in pixels

DRAWERS: Mapping[str, Callable[[Random, Canvas], Picture]] = {
    "shapes": draw_shapes,
    "chart": draw_chart,
    "expression": draw_expression,
}
# Landscape buckets and the range of aspects (width / height) that the processor brings to each:
# it floors both sides, so that only exact squares stay square. Portraits are the same, turned.
ASPECTS: dict[Size, tuple[float, float]] = {
    (140, 140): (1.0, 1.0),
    (140, 112): (1.02, 1.42),
    (168, 112): (1.45, 1.55),
    (168, 84): (1.58, 1.94),
    (196, 84): (1.98, 2.5),
    (224, 56): (2.8, 3.2),
}
BUCKETS: tuple[Size, ...] = (
    *ASPECTS,
    *((height, width) for width, height in ASPECTS if width != height),
)
# One share per bucket of BUCKETS. Charts and expressions are rarely taller than wide.
BUCKET_SHARES = {
    "shapes": (0.38, 0.19, 0.09, 0.10, 0.06, 0.03, 0.07, 0.03, 0.03, 0.01, 0.01),
    "chart": (0.40, 0.22, 0.13, 0.11, 0.05, 0.0, 0.06, 0.02, 0.01, 0.0, 0.0),
    "expression": (0.28, 0.20, 0.12, 0.13, 0.12, 0.08, 0.04, 0.015, 0.015, 0.0, 0.0),
}

# What the grounding head can be asked about one cell. A glyph is told to be in the left or right
# half of its cell, because reading "12" as opposed to "21" needs the order.
LABELS = (
    *KINDS,
    *COLORS,
    *(f"{color} {kind}" for color in COLORS for kind in KINDS),
    *(f"glyph {glyph} {half}" for glyph in GLYPHS for half in ("left", "right")),
    *(f"value {value}" for value in range(1, 10)),
)
LABEL_INDEX = {label: i for i, label in enumerate(LABELS)}


def target_size(width: int, height: int) -> Size:
    """Qwen2-VL's smart_resize: multiples of 28, area within the processor's limits."""
    new_width = round(width / CELL_PX) * CELL_PX
    new_height = round(height / CELL_PX) * CELL_PX
    if new_width * new_height > MAX_PIXELS:
        shrink = math.sqrt(width * height / MAX_PIXELS)
        new_width = max(CELL_PX, math.floor(width / shrink / CELL_PX) * CELL_PX)
        new_height = max(CELL_PX, math.floor(height / shrink / CELL_PX) * CELL_PX)
    elif new_width * new_height < MIN_PIXELS:
        grow = math.sqrt(MIN_PIXELS / (width * height))
        new_width = math.ceil(width * grow / CELL_PX) * CELL_PX
        new_height = math.ceil(height * grow / CELL_PX) * CELL_PX
    return new_width, new_height


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
    return replace(picture, image=image, marks=tuple(marks))


def compressed(rng: Random, image: Image.Image) -> Image.Image:
    """The picture after a JPEG of quality 30 to 88."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=rng.randint(30, 88))
    return Image.open(buffer).convert("RGB")


def noisy(rng: Random, image: Image.Image) -> Image.Image:
    """Even noise of up to 5 to 30 levels at file size; resizing averages most of it away."""
    pixels = np.asarray(image).astype(np.int16)
    spread = rng.randint(5, 30)
    source = np.random.default_rng(rng.randrange(2**32))
    pixels += source.integers(-spread, spread, pixels.shape, dtype=np.int16, endpoint=True)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def file_size(rng: Random, bucket: Size, unit: float) -> Size:
    """A size with about `unit` file pixels per seen pixel that the processor brings to `bucket`."""
    landscape = max(bucket), min(bucket)
    aspect = rng.uniform(*ASPECTS[landscape])
    area = bucket[0] * bucket[1] * unit**2
    long_side, short_side = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    return (long_side, short_side) if bucket == landscape else (short_side, long_side)


@dataclass(frozen=True, slots=True)
class Wear:
    """How often a picture is turned, compressed, noisy or dark."""

    turn: float = 0.06
    compress: float = 0.08
    noise: float = 0.08
    dark: float = 0.10


CLEAN = Wear(0.0, 0.0, 0.0, 0.0)


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
