"""Count the pictures in a file of PIL's formats, from its headers, and find the main one.

Law: nothing is decoded, and no file keeps the count busy: it ends at MAX_COUNT. A JPEG holds one,
also where a phone put a second one or a depth map behind it; what a TIFF calls a thumbnail of
another page, or a mask of one, is none, and where it holds nothing else the largest is the picture;
an icon or a cover of a HEIC is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING

from qvq_mlx.images.containers import formats_of, is_tiff

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_COUNT = 10_000

_ALONE = (b"\xff\xd8\xff", b"BM")  # JPEG and BMP


@dataclass(frozen=True, slots=True)
class Frames:
    """Return the `indexes` of PIL's pictures, and the place of the main one among them.

    `walked_pixels`: what has to be decoded per frame before the next one can be, an upper bound;
    0 where each stands for itself.
    """

    indexes: Sequence[int] = (0,)
    main: int = 0
    walked_pixels: int = 0


def frames(data: bytes) -> Frames:
    """Raises whatever PIL raises for bytes that it cannot read."""
    if data.startswith(_ALONE):
        return Frames()
    if is_tiff(data):
        return _tiff(data)
    from PIL import Image

    with Image.open(BytesIO(data), formats=formats_of(data)) as image:
        size = image.width * image.height
        match image.format:
            case "GIF":
                count, largest = _gif(data)
                return Frames(range(count), walked_pixels=max(size, largest))
            case "HEIF":
                main = image.tell()
                return Frames(range(min(_count(image), MAX_COUNT)), main)
            case _:
                return Frames(range(min(_count(image), MAX_COUNT)), walked_pixels=size)


def _count(image: Image) -> int:
    count = getattr(image, "n_frames", 1)
    return count if isinstance(count, int) and count > 0 else 1


def _tiff(data: bytes) -> Frames:
    """From the directories alone: PIL opens no page whose samples it does not know."""
    from qvq_mlx.images.tiff import Tag, directories

    indexes: list[int] = []
    lesser: list[tuple[int, int]] = []
    for index, page in enumerate(islice(directories(data), MAX_COUNT)):
        if page.is_lesser:
            lesser.append((page.value(Tag.WIDTH, 0) * page.value(Tag.HEIGHT, 0), -index))
        else:
            indexes.append(index)
    return Frames(tuple(indexes) or (-max(lesser)[1],))


def _gif(data: bytes) -> tuple[int, int]:
    """Count the frames, at least 1, and the pixels of the canvas or the largest frame."""
    from qvq_mlx.images.gif import canvas_px, frames_of

    count = largest = 0
    for frame in islice(frames_of(data), MAX_COUNT):
        if not count:
            width, height = canvas_px(data, frame)
            largest = width * height
        count += 1
        largest = max(largest, frame.width_px * frame.height_px)
    return max(1, count), largest
