"""Draws what an answer points at on the original picture.

Law: the outer edge of a box's outline is the box's edge: the first column is x1, the last x2 - 1,
and so the rows. A point is the middle of a ring. Labels stand above their box or inside of it, and
go elsewhere where another label stands already; they never leave the picture, and whatever they
spell, something is drawn. Equal labels have equal colours. A file appears whole or not at all.

Not covered: text is set from left to right without shaping, and a script that no font of this
computer has is drawn as the font's sign for it.
"""

from __future__ import annotations

import functools
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.errors import OutputError
from qvq_mlx.core.places import Box, PointedImage
from qvq_mlx.core.remedies import AskAgain, Field, RunProgram
from qvq_mlx.images.paths import operand
from qvq_mlx.system.outputs import check_output, output_place, write_output

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

    Font = FreeTypeFont | BitmapFont

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
COLOURS = (
    *((230, 25, 75), (0, 130, 200), (60, 180, 75), (245, 130, 48), (145, 30, 180)),
    *((0, 160, 160), (240, 50, 230), (170, 110, 40), (128, 0, 0), (0, 0, 160)),
)
"""One after the other, a label each; unlabelled marks have the first."""

_LABEL_CHARACTERS = 60
_COMPARED_LABELS = 200  # further ones are not moved out of each other's way
# asked for where Pillow's own font lacks a sign; found by name, in the system's folders
_FONTS = (
    *("DejaVuSans.ttf", "Arial Unicode.ttf", "Hiragino Sans GB.ttc", "PingFang.ttc"),
    *("AppleSDGothicNeo.ttc", "NotoSansCJK-Regular.ttc", "Helvetica.ttc"),
)

_NO_SIGN = "\U0010fffd"  # no font has it

Rectangle = tuple[int, int, int, int]


def drawn(size: tuple[int, int], rgb: bytes, pointed: PointedImage) -> Image:
    """`rgb` (height, width, 3) with what is pointed at. `size` is (width, height) in pixels.

    Where it is not the size that `pointed` speaks of, as a page may be rendered anew, places are
    scaled.
    """
    from PIL import Image, ImageDraw

    image = Image.frombytes("RGB", size, rgb)
    pen = ImageDraw.Draw(image)
    width_px = max(2, round(max(size) / 400))
    colours = _Colours()
    boxes = [_scaled(box, pointed, size) for box in pointed.boxes]
    for box in sorted(boxes, key=lambda box: -(box.x2 - box.x1) * (box.y2 - box.y1)):
        side = min(box.x2 - box.x1, box.y2 - box.y1)
        thin = max(1, min(width_px, side // 4))
        pen.rectangle((box.x1, box.y1, box.x2 - 1, box.y2 - 1), None, colours.of(box.label), thin)
    labels = _Labels(pen, size, width_px)
    for point in pointed.points:
        at = _scaled(Box(point.label, point.x, point.y, point.x + 1, point.y + 1), pointed, size)
        around = _ring(pen, at, 3 * width_px, width_px, colours.of(point.label))
        labels.put(point.label, around, colours.of(point.label))
    for box in boxes:
        labels.put(box.label, (box.x1, box.y1, box.x2, box.y2), colours.of(box.label))
    return image


def preview(image: Image, longest_px: int) -> bytes:
    """A PNG, shrunk until neither side is over `longest_px`."""
    from PIL.Image import Resampling

    small = image.copy()
    small.thumbnail((longest_px, longest_px), Resampling.LANCZOS, reducing_gap=2.0)
    out = BytesIO()
    small.save(out, "PNG")
    return out.getvalue()


class Target:
    """The target of an annotated picture: `check` before the run, `write` after it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._target = path.expanduser()

    def check(self) -> None:
        """Raises OutputError where it cannot be written."""
        given = self._given
        if self._format() is None:
            raise OutputError(
                (*given, f": the name says no format; {', '.join(FORMATS)} are written"),
                _elsewhere("annotated.png"),
            )
        if self._target.is_dir():
            raise OutputError(
                (*given, " is a folder"), _elsewhere(operand(self._path / "annotated.png"))
            )
        folder = output_place(self._target).parent
        if not folder.is_dir():
            raise OutputError(
                (*given, f": there is no folder {folder}"),
                RunProgram(("mkdir", "-p", operand(folder))),
            )
        try:
            check_output(self._target)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, image: Image) -> None:
        """The file is there now. Raises OutputError."""
        encoded = BytesIO()
        try:
            image.save(encoded, self._format(), quality=92)
            write_output(self._target, encoded.getvalue())
        except (OSError, ValueError) as error:  # a side of over 16,383 pixels is no WebP
            raise self._failed(error) from error

    @property
    def _given(self) -> tuple[str, ...]:
        """Return the field with its value, for messages."""
        return Field.ANNOTATE, f" {self._path}"

    def _format(self) -> str | None:
        """Pillow's name of the format that the file's name says; None where it says none."""
        try:
            return FORMATS.get(output_place(self._target).suffix.lower())
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError | ValueError) -> OutputError:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        listing = RunProgram(("ls", "-ld", operand(self._target.parent)))
        return OutputError((*self._given, f" cannot be written: {reason}"), listing)


def _elsewhere(path: str) -> AskAgain:
    return AskAgain(((Field.ANNOTATE, path),))


class _Colours:
    """A colour for each label, in the order in which they come."""

    def __init__(self) -> None:
        self._numbers: dict[str | None, int] = {None: 0}

    def of(self, label: str | None) -> tuple[int, int, int]:
        """The same for the same label."""
        return COLOURS[self._numbers.setdefault(label, len(self._numbers) - 1) % len(COLOURS)]


class _Labels:
    """Labels beside what they speak of, each at a free place if there is one."""

    def __init__(self, pen: ImageDraw, size: tuple[int, int], pad_px: int) -> None:
        self._pen = pen
        self._size = size
        self._pad = pad_px
        self._height = max(14, round(max(size) / 50))
        self._placed: list[Rectangle] = []

    def put(self, label: str | None, around: Rectangle, colour: tuple[int, int, int]) -> None:
        """Draw `label` at `around` (x1, y1, x2, y2), or nothing where there is none."""
        text = _line(label or "")
        if not text:
            return
        font = _font(text, self._height)
        left, top, right, bottom = font.getbbox(text)
        width, height = int(right - left) + 2 * self._pad, int(bottom - top) + 2 * self._pad
        place = self._place(around, width, height)
        self._pen.rectangle((place[0], place[1], place[2] - 1, place[3] - 1), colour)
        at = (place[0] + self._pad - left, place[1] + self._pad - top)
        self._pen.text(at, text, _readable_on(colour), font)

    def _place(self, around: Rectangle, width: int, height: int) -> Rectangle:
        """Above, inside at the top, below, inside at the bottom, above to the right."""
        x1, y1, x2, y2 = around
        corners = (
            (x1, y1 - height),
            (x1, y1),
            (x1, y2),
            (x1, y2 - height),
            (x2 - width, y1 - height),
        )
        seen = self._placed[-_COMPARED_LABELS:]
        places = [self._inside(*corner, width, height) for corner in corners]
        free = [place for place in places if not any(_meet(place, other) for other in seen)]
        best = (free or places)[0]
        self._placed.append(best)
        return best

    def _inside(self, x: int, y: int, width: int, height: int) -> Rectangle:
        x = max(0, min(x, self._size[0] - width))
        y = max(0, min(y, self._size[1] - height))
        return x, y, x + width, y + height


def _scaled(box: Box, pointed: PointedImage, size: tuple[int, int]) -> Box:
    if size == (pointed.width_px, pointed.height_px):
        return box
    across, down = size[0] / pointed.width_px, size[1] / pointed.height_px
    x1, y1 = min(round(box.x1 * across), size[0] - 1), min(round(box.y1 * down), size[1] - 1)
    x2, y2 = max(round(box.x2 * across), x1 + 1), max(round(box.y2 * down), y1 + 1)
    return Box(box.label, x1, y1, x2, y2)


def _ring(
    pen: ImageDraw, at: Box, radius: int, width_px: int, colour: tuple[int, int, int]
) -> Rectangle:
    """A ring around a pixel, white within its rim, and the place that it takes."""
    x, y = at.x1, at.y1
    around = (x - radius, y - radius, x + radius, y + radius)
    pen.ellipse(around, None, (255, 255, 255), width_px + 2)
    pen.ellipse(around, None, colour, width_px)
    pen.rectangle(
        (x - width_px // 2, y - width_px // 2, x + width_px // 2, y + width_px // 2), colour
    )
    return around[0], around[1], around[2] + 1, around[3] + 1


def _font(text: str, height_px: int) -> Font:
    """Pillow's own font, or the first of the system's that has every sign of `text`."""
    signs = {sign for sign in text if not sign.isspace()}
    for name in ("", *_FONTS):
        font = _named_font(name, height_px)
        if font and all(_has(name, height_px, sign) for sign in signs):
            return font
    own = _named_font("", height_px)
    assert own is not None, "Pillow brings one"
    return own


@functools.lru_cache(maxsize=32)
def _named_font(name: str, height_px: int) -> Font | None:
    """A font by its file's name, "" for Pillow's own; None where the system has none."""
    from PIL import ImageFont

    if not name:
        return ImageFont.load_default(height_px)
    try:
        return ImageFont.truetype(name, height_px)
    except OSError:
        return None


@functools.lru_cache(maxsize=4096)
def _has(name: str, height_px: int, sign: str) -> bool:
    """True if `sign` looks like none that the font lacks."""
    font = _named_font(name, height_px)
    return font is not None and bytes(font.getmask(sign)) != bytes(font.getmask(_NO_SIGN))


def _line(label: str) -> str:
    """One line of signs that can be drawn, not too long."""
    text = "".join(sign if sign.isprintable() else " " for sign in label[: 4 * _LABEL_CHARACTERS])
    line = " ".join(text.split())
    return line if len(line) <= _LABEL_CHARACTERS else line[: _LABEL_CHARACTERS - 1] + "…"


def _meet(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _readable_on(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """White on dark, black on light (luma of BT.601)."""
    red, green, blue = colour
    light = 0.299 * red + 0.587 * green + 0.114 * blue > 150
    return (0, 0, 0) if light else (255, 255, 255)
