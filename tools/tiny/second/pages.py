"""A page: a large picture in which what matters is a small part (PIL and numpy only).

Law: the page is what the model sees first, too small to read; `crop` is the part that matters, cut
from a picture drawn at full size, with a margin as uneven as a located box is. The located box is
that of the content, padded, in shares of the page.

Not covered: two parts that are both needed for one answer.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from PIL import Image, ImageDraw

from tools.tiny.pictures import CLEAN, Size, file_size, target_size
from tools.tiny.scenes import FONT_FILES, Canvas, Color, Mark, background, font, jitter
from tools.tiny.second.figures import WORDS
from tools.tiny.second.pictures import DRAWERS, take
from tools.tiny.second.scenes import Box, Chart, Picture, Scene, Shapes

PAGE_UNIT = 4.0  # canvas pixels per pixel that the model sees of the page
FAMILIES = ("shapes", "chart", "expression", "word")
FAMILY_SHARES = (0.42, 0.24, 0.22, 0.12)
NAMES = {"shapes": "the shapes", "chart": "the chart", "expression": "the sum", "word": "the word"}


@dataclass(frozen=True, slots=True)
class Page:
    """A page, the part of it that matters, and where that part is."""

    image: Image.Image
    family: str
    scene: Scene
    box: Box
    crop: Picture
    marks: tuple[Mark, ...]

    @property
    def name(self) -> str:
        """What the part is called when it is pointed at."""
        return NAMES[self.family]


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Region, gap: float = 0.0) -> bool:
        """Whether the two are nearer than `gap`."""
        return (
            self.left < other.right + gap
            and other.left < self.right + gap
            and self.top < other.bottom + gap
            and other.top < self.bottom + gap
        )


def content(scene: Scene) -> Box:
    """Where the contents of a picture are, padded; all of it for a chart."""
    match scene:
        case Shapes(items=items):
            box = (
                *(min(i.box[0] for i in items), min(i.box[1] for i in items)),
                *(max(i.box[2] for i in items), max(i.box[3] for i in items)),
            )
            pad_x = pad_y = 0.04
        case Chart():
            return (0.0, 0.0, 1.0, 1.0)
        case _:
            box = scene.box
            pad_x = 0.08 * (box[2] - box[0])
            pad_y = 0.2 * (box[3] - box[1])
    left, top, right, bottom = box
    return (
        *(max(0.0, left - pad_x), max(0.0, top - pad_y)),
        *(min(1.0, right + pad_x), min(1.0, bottom + pad_y)),
    )


def free_region(rng: Random, size: Size, wanted: Size, taken: Sequence[Region]) -> Region | None:
    """A place for a picture of `wanted` pixels that meets none of the taken ones."""
    if wanted[0] >= size[0] or wanted[1] >= size[1]:
        return None
    for _ in range(12):
        x, y = rng.uniform(0, size[0] - wanted[0]), rng.uniform(0, size[1] - wanted[1])
        region = Region(x, y, x + wanted[0], y + wanted[1])
        if not any(region.meets(other, 8) for other in taken):
            return region
    return None


@functools.cache
def word_width(file: str, size: int, word: str) -> float:
    """Width of a word and a space in pixels; measuring text costs more than drawing it."""
    return float(font(file, size).getlength(f"{word} "))


def draw_text(rng: Random, canvas: Canvas, pen: ImageDraw.ImageDraw, taken: list[Region]) -> None:
    """Lines of small text wherever there is room: a paragraph or two, a heading."""
    size = int(rng.uniform(2.0, 4.2) * canvas.unit)
    file, ink = rng.choice(FONT_FILES), canvas.ink(rng, 90)
    left, right = canvas.width * rng.uniform(0.03, 0.12), canvas.width * rng.uniform(0.85, 0.97)
    y, end = canvas.height * rng.uniform(0.02, 0.3), canvas.height * rng.uniform(0.6, 0.98)
    while y + size < end:
        line_right = right if rng.random() < 0.85 else rng.uniform(left, right)
        line = Region(left, y, line_right, y + size)
        in_the_way = sorted(
            (region for region in taken if line.meets(region, 4)), key=lambda r: r.left
        )
        gaps = [left, *(edge for r in in_the_way for edge in (r.left, r.right)), line_right]
        for begin, stop in zip(gaps[::2], gaps[1::2], strict=True):
            draw_words(rng, pen, (file, size, ink), (begin + size, y), stop - size)
        y += size * 1.5


def draw_words(
    rng: Random,
    pen: ImageDraw.ImageDraw,
    style: tuple[str, int, Color],
    at: tuple[float, float],
    right: float,
) -> None:
    """As many words as fit from `at` to `right`."""
    (file, size, ink), words, end = style, [], at[0]
    while True:
        word = rng.choice(WORDS)
        end += word_width(file, size, word)
        if end > right:
            break
        words.append(word)
    if words:
        pen.text(at, " ".join(words), fill=ink, font=font(file, size))


def framed(rng: Random, picture: Picture) -> Picture:
    """The picture with a thin frame around it, sometimes."""
    if rng.random() < 0.6:
        return picture
    image = picture.image.copy()
    edge = (0, 0, image.width - 1, image.height - 1)
    level = rng.randint(0, 160)
    ImageDraw.Draw(image).rectangle(edge, outline=(level, level, level), width=2)
    return replace(picture, image=image)


def cut(rng: Random, picture: Picture, box: Box, paper: tuple[int, int, int]) -> Picture:
    """The part `box` of a picture, each side off by up to a tenth; outside there is paper."""
    width, height = picture.image.size
    span_x, span_y = (box[2] - box[0]) * width, (box[3] - box[1]) * height
    region = Region(
        box[0] * width + rng.uniform(-0.14, 0.03) * span_x,
        box[1] * height + rng.uniform(-0.14, 0.03) * span_y,
        box[2] * width + rng.uniform(-0.03, 0.14) * span_x,
        box[3] * height + rng.uniform(-0.03, 0.14) * span_y,
    )
    left, top = round(region.left), round(region.top)
    size = (max(8, round(region.right) - left), max(8, round(region.bottom) - top))
    image = Image.new("RGB", size, paper)
    image.paste(picture.image, (-left, -top))
    marks = tuple(Mark(m.x - left, m.y - top, m.labels) for m in picture.marks)
    return Picture(image, picture.scene, marks, picture.background)


def inner_bucket(rng: Random, family: str) -> Size:
    """A picture size that suits the family."""
    wide = {"expression": ((168, 84), (196, 84), (224, 56)), "word": ((168, 84), (196, 84))}
    return rng.choice(wide.get(family, ((140, 140), (140, 112), (168, 112), (168, 84), (112, 140))))


def draw_page(rng: Random, bucket: Size) -> Page:
    """A page that the processor brings to `bucket`, with one part that matters."""
    width, height = file_size(rng, bucket, PAGE_UNIT)
    dark = rng.random() < 0.06
    paper = background(rng, 1.0 if dark else 0.0)
    canvas = Canvas(width, height, PAGE_UNIT, paper)
    image = canvas.blank()
    pen = ImageDraw.Draw(image)
    family = rng.choices(FAMILIES, FAMILY_SHARES)[0]
    others = [other for other in FAMILIES if other != family]
    wanted = [family, *rng.sample(others, rng.choices((0, 1, 2), (0.6, 0.3, 0.1))[0])]
    taken: list[Region] = []
    page: Page | None = None
    marks: list[Mark] = []
    for one in wanted:
        picture = part(rng, one, paper)
        share = rng.uniform(0.17, 0.38) * min(width, height)
        area = picture.image.width * picture.image.height
        scale = share / area**0.5
        size = (round(picture.image.width * scale), round(picture.image.height * scale))
        region = free_region(rng, (width, height), size, taken)
        if region is None:
            continue
        taken.append(region)
        corner = (round(region.left), round(region.top))
        image.paste(picture.image.resize(size, Image.Resampling.BOX), corner)
        mark_x, mark_y = (region.left + region.right) / 2, (region.top + region.bottom) / 2
        marks.append(Mark(mark_x, mark_y, (f"figure {one}",)))
        if page is None and one == family:
            page = placed(rng, picture, family, (corner, size), canvas)
    if page is None:
        return draw_page(rng, bucket)
    if rng.random() < 0.65:
        draw_text(rng, canvas, pen, taken)
    return replace(page, image=image, marks=tuple(marks))


def part(rng: Random, family: str, paper: tuple[int, int, int]) -> Picture:
    """One picture for a page, often on the page's own paper."""
    bucket = inner_bucket(rng, family)
    if rng.random() < 0.45:
        return framed(rng, take(rng, family, bucket, CLEAN))
    width, height = file_size(rng, bucket, 2.0)
    return framed(rng, DRAWERS[family](rng, Canvas(width, height, 2.0, paper)))


def placed(
    rng: Random, picture: Picture, family: str, at: tuple[Size, Size], canvas: Canvas
) -> Page:
    """The page so far: where the content of `picture` is when it is pasted at `at`."""
    (x, y), (width, height) = at
    inner = content(picture.scene)
    box = (
        *((x + inner[0] * width) / canvas.width, (y + inner[1] * height) / canvas.height),
        *((x + inner[2] * width) / canvas.width, (y + inner[3] * height) / canvas.height),
    )
    crop = cut(rng, picture, inner, jitter(rng, canvas.background, 1))
    return Page(picture.image, family, picture.scene, box, crop, ())


def crop_size(page: Page) -> Size:
    """What the processor makes of the crop."""
    return target_size(*page.crop.image.size)
