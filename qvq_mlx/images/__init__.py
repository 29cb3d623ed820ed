"""Reads pictures, from wherever they are taken, into pixels of the model's size: the home of PIL.

Law: whatever the bytes are, `read` returns Pictures or raises a QvqError; nothing is printed.
The EXIF orientation is applied, transparency lies on white, and more than 8 bits are scaled to 8,
never clipped. The resize is byte for byte that of mlx-vlm's Qwen3VLImageProcessor
(`_smart_resize_image`, then PIL bicubic on 8-bit RGB).

Nothing here imports PIL before a picture is read, and nothing that talks to servers before an
address is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import ImageSizeError
from qvq_mlx.core.events import Notice
from qvq_mlx.core.look import Look
from qvq_mlx.core.picture import Picture
from qvq_mlx.images.containers import readable
from qvq_mlx.images.desk import MAX_PICTURES, Desk, Web
from qvq_mlx.images.globs import expanded
from qvq_mlx.images.pages import Frame, Sheet, pages_of
from qvq_mlx.images.paths import called
from qvq_mlx.images.pixels import check_size, decoded, scaled
from qvq_mlx.images.resize import smart_resize
from qvq_mlx.images.sources import MAX_FILE_BYTES, bytes_of

__all__ = ["Desk", "Taken", "Web", "left_out", "read", "smart_resize", "take"]

_PLAIN = Look()


@dataclass(frozen=True, slots=True)
class Taken:
    """The pictures of some sources, in order, and what to say before the run."""

    pictures: tuple[Picture, ...]
    notices: tuple[Notice, ...] = ()


def take(
    sources: Sequence[str],
    limits: VisionLimits,
    desk: Desk,
    look_at: Callable[[int], Look] = lambda _index: _PLAIN,
) -> Taken:
    """All that a question shows, each source looked at as `look_at` says of its index.

    Raises what `read` raises, and ImageSizeError for more than MAX_PICTURES.
    """
    pictures: list[Picture] = []
    notices: tuple[Notice, ...] = ()
    for index, source in enumerate(sources):
        look = look_at(index)
        found = read(source, limits, desk, look)
        pictures += found
        notices += () if look.pages.ranges else left_out(found)
        if len(pictures) > MAX_PICTURES:
            raise ImageSizeError(
                f"{called(source)}: is beyond the {MAX_PICTURES} pictures of a question",
                'qvq ask IMAGE "question"',
            )
    return Taken(tuple(pictures), notices)


def left_out(pictures: Sequence[Picture]) -> tuple[Notice, ...]:
    """What to say of pictures whose pages nobody chose: a line for each of those with several."""
    return tuple(
        Notice("pages", f"{shown.name}: page {shown.page} of {shown.pages:,} is read (--page)")
        for shown in pictures
        if shown.pages > 1
    )


def read(source: str, limits: VisionLimits, desk: Desk, look: Look = _PLAIN) -> tuple[Picture, ...]:
    """The pictures of `source`: a path, a pattern, a `file://`, `https://` or data URI, `-` for
    the bytes of stdin, `clip` for the clipboard's, `screen` for what the user marks there.

    Raises an InputError, a NetworkError, a UsageError where the web is forbidden, or a StoppedError
    where the user gave up marking the screen.
    """
    files = expanded(source)
    return tuple(picture for file in files for picture in _read(file, limits, desk, look))


def _read(source: str, limits: VisionLimits, desk: Desk, look: Look) -> Iterator[Picture]:
    """Of one source that is no pattern."""
    data = bytes_of(source, desk)
    digest = hashlib.sha256(data).hexdigest()
    name = called(source)
    data = readable(name, data, desk.path, MAX_FILE_BYTES)
    for page in pages_of(name, data, look.pages):
        match page:
            case Frame():
                image = decoded(name, page.data, limits, page.index)
            case Sheet():
                image = page.image
                check_size(name, image.width, image.height, limits)
            case _:
                assert_never(page)
        height_px, width_px = smart_resize(image.height, image.width, limits)
        yield Picture(
            name=name,
            source_width_px=image.width,
            source_height_px=image.height,
            width_px=width_px,
            height_px=height_px,
            tokens=(height_px // limits.factor_px) * (width_px // limits.factor_px),
            sha256=digest,
            rgb=scaled(image, width_px, height_px).tobytes(),  # (height, width, 3)
            page=page.number,
            pages=page.count,
        )
