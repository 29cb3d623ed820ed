"""Choose the pictures of a source: pages of a PDF or TIFF, frames of an animation.

Law: each is made ready when it is asked for, so one lies in memory at a time. Without a choice it
is the first, or the one that a HEIC calls its main picture; a number beyond the last is an error
that says how many there are. In messages a frame is called a page, as the option is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qvq_mlx.core.errors import ImageSizeError, ImageUnreadableError
from qvq_mlx.core.image_options import MAX_PICTURES, Pages
from qvq_mlx.core.remedies import Ask, Field
from qvq_mlx.images.containers import is_pdf
from qvq_mlx.images.frames import MAX_COUNT, Frames, frames
from qvq_mlx.images.paths import askable
from qvq_mlx.images.quiet import quiet

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PAGE_PIXELS = 2**25
"""Of a page that is drawn: A1 at 200 dpi."""
MAX_CANVAS_PIXELS = 2**26
"""Of an animation of which not only the first frame is read: it is drawn on one canvas."""
MAX_WALKED_PIXELS = 2**28
"""Of the frames before the ones that are read: an animation is decoded from its beginning."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture in a file of PIL's formats, not decoded yet: what PIL calls frame `index`.

    `number` is counted from 1, None where the file holds one picture; `count`: how many it holds.
    """

    number: int | None
    count: int
    index: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page of a document, drawn: 8-bit RGB, upright. The rest is as with `Frame`."""

    number: int | None
    count: int
    image: Image


def pages_of(
    source: str, data: bytes, wanted: Pages, max_pixels: int = MAX_PAGE_PIXELS
) -> Iterator[Frame | Sheet]:
    """Those of `data` that are `wanted`, in that order. `max_pixels` bounds a drawn page.

    Raises ImageUnreadableError or ImageSizeError.
    """
    if is_pdf(data):
        from qvq_mlx.images import pdf

        with pdf.opened(source, data) as document:
            for number in _chosen(source, wanted, document.count, 1):
                shown = number if document.count > 1 else None
                yield Sheet(shown, document.count, document.drawn(number - 1, max_pixels))
        return
    found = _frames(source, data)
    count = len(found.indexes)
    numbers = _chosen(source, wanted, count, found.main + 1)
    indexes = [found.indexes[number - 1] for number in numbers]
    if any(indexes) and found.walked_pixels > MAX_CANVAS_PIXELS:
        canvas, limit = f"{found.walked_pixels:,} pixels", f"{MAX_CANVAS_PIXELS:,} pixels"
        from qvq_mlx.images.diagnosis import too_large

        raise too_large(source, f"an animation on {canvas}", limit)
    walked = sum(found.walked_pixels * index for index in indexes)
    if walked > MAX_WALKED_PIXELS:
        raise ImageSizeError(
            f"{source}: {walked:,} pixels come before page {numbers[-1]};"
            f" the limit is {MAX_WALKED_PIXELS:,}",
            Ask((askable(source),), ((Field.PAGE, "1"),)),
        )
    for number, index in zip(numbers, indexes, strict=True):
        yield Frame(number if count > 1 else None, count, index, data)


def numbers_of(source: str, data: bytes, wanted: Pages) -> tuple[tuple[int, ...], int]:
    """Return the numbers of the pages of `data` that are `wanted`, and how many it holds.

    Raises as `pages_of` does; nothing is drawn.
    """
    if is_pdf(data):
        from qvq_mlx.images import pdf

        with pdf.opened(source, data) as document:
            return _chosen(source, wanted, document.count, 1), document.count
    found = _frames(source, data)
    count = len(found.indexes)
    return _chosen(source, wanted, count, found.main + 1), count


def _frames(source: str, data: bytes) -> Frames:
    try:
        with quiet():
            return frames(data)
    # whatever PIL stumbles over, as in `pixels`
    except Exception as error:
        from qvq_mlx.images.diagnosis import unreadable

        raise unreadable(source, data, error) from error


def _chosen(source: str, wanted: Pages, count: int, main: int) -> tuple[int, ...]:
    """Page numbers, counted from 1. Raises ImageUnreadableError or ImageSizeError."""
    if not wanted.ranges:
        return (main,)
    numbers = wanted.within(min(count, MAX_COUNT))

    def again(pages: str) -> Ask:
        return Ask((askable(source),), ((Field.PAGE, pages),))

    if numbers is None and count == 1:
        raise ImageUnreadableError(
            (f"{source}: holds one picture, and ", Field.PAGE, f" asks for {wanted}"), again("1")
        )
    if numbers is None:
        held = f"{count:,} pages" + (" or more" if count >= MAX_COUNT else "")
        raise ImageUnreadableError(
            (f"{source}: holds {held}, and ", Field.PAGE, f" asks for {wanted}"),
            again(f"1-{count}"),
        )
    if len(numbers) > MAX_PICTURES:
        raise ImageSizeError(
            (
                f"{source}: ",
                Field.PAGE,
                f" names {len(numbers):,} pages, and a question takes",
                f" {MAX_PICTURES} pictures at most",
            ),
            again(f"{numbers[0]}-{numbers[0] + MAX_PICTURES - 1}"),
        )
    return numbers
