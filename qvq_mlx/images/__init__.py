"""Reads pictures and videos into pixels of the model's size. The only home of PIL, PDFium and
PyAV.

Law: whatever the bytes are, `read` returns Pictures or raises a QvqError, among them a UsageError
for options that the picture cannot be read with; nothing is printed. `sources` finds the bytes,
`pages` chooses the pictures in them, `pixels` decodes one, `colour` makes it sRGB, `shown` cuts out
and resizes what the model sees.

Nothing here imports PIL or PyAV before a picture or a video is read, and nothing of the network
before an address is.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import assert_never

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.clip import Visual
from qvq_mlx.core.errors import ImageUnreadableError
from qvq_mlx.core.image_options import ImageOptions
from qvq_mlx.images.colour import Upright, background_of
from qvq_mlx.images.containers import HEAD_BYTES, format_of, is_video, readable
from qvq_mlx.images.image_sources import CLIP, ImageSources, Web
from qvq_mlx.images.pages import Frame, Sheet, pages_of
from qvq_mlx.images.paths import called, is_file, path_of
from qvq_mlx.images.pixels import decoded
from qvq_mlx.images.resize import smart_resize
from qvq_mlx.images.shown import shown
from qvq_mlx.images.sources import MAX_FILE_BYTES, bytes_of, copied_files

__all__ = [
    "ImageSources",
    "Web",
    "bytes_of",
    "called",
    "expanded",
    "is_on_disk",
    "pictures_in",
    "read",
    "smart_resize",
]

_PLAIN = ImageOptions()
_OF_PATTERNS = frozenset("*?[")


def expanded(source: str, image_sources: ImageSources | None = None) -> tuple[str, ...]:
    """The files that a pattern names, or those on the clipboard; `source` itself where it is
    neither.

    Raises ImageNotFoundError where nothing matches, ImageSizeError where too many do, and what
    `read` raises of the clipboard, which is looked at where `image_sources` are given.
    """
    if source == CLIP and image_sources is not None:
        return copied_files(image_sources)
    if not _OF_PATTERNS.intersection(source):
        return (source,)
    from qvq_mlx.images import globs

    return globs.expanded(source)


def read(
    source: str, limits: VisionLimits, image_sources: ImageSources, options: ImageOptions = _PLAIN
) -> tuple[Visual, ...]:
    """The pictures of `source`: a path, a `file://`, `https://` or data URI, `-` for the bytes of
    stdin, `clip` for the clipboard's, `screen` for what the user marks there; or the clip, where
    that is a video.

    Raises an InputError, a NoVideoError, a NetworkError, a UsageError where the web is forbidden or
    the options do not fit this source, or a StoppedError where the user gave up marking the screen.
    """
    background_of(options.background)  # a colour that is none is said before anything is fetched
    return pictures_in(source, bytes_of(source, image_sources), limits, image_sources, options)


def pictures_in(
    source: str,
    data: bytes,
    limits: VisionLimits,
    image_sources: ImageSources,
    options: ImageOptions = _PLAIN,
) -> tuple[Visual, ...]:
    """The pictures in the bytes of `source`. Raises an InputError or a UsageError."""
    name = called(source)
    if is_video(data[:HEAD_BYTES]):
        from qvq_mlx.images.video import read_clip

        return (read_clip(name, data, limits, options),)
    digest = hashlib.sha256(data).hexdigest()
    try:
        ours = readable(name, data)
        return _shown(name, digest, ours, limits, options)
    except ImageUnreadableError:
        from qvq_mlx.images.converted import by_the_system

        converted = by_the_system(data, options.pages, image_sources.path, MAX_FILE_BYTES)
        if not converted:
            raise
        return _shown(name, digest, converted, limits, options)


def is_on_disk(source: str) -> bool:
    """True if it names a file that can be read again. What is piped in or fetched comes but once.

    A path where nothing lies counts as one: reading it says so.
    """
    if not is_file(source):
        return False
    try:
        path = path_of(source)
        return path.is_file() or not path.exists()
    except (ImageUnreadableError, OSError, ValueError):
        return False


def _shown(
    name: str, digest: str, data: bytes, limits: VisionLimits, options: ImageOptions
) -> tuple[Visual, ...]:
    background = background_of(options.background)
    found: list[Visual] = []
    gain_map = False
    if format_of(data) in ("JPEG", "HEIC", "AVIF"):
        from qvq_mlx.images.gain_map import has_gain_map

        gain_map = has_gain_map(data)
    for page in pages_of(name, data, options.pages):
        match page:
            case Frame():
                upright = decoded(name, page.data, background, page.index)
            case Sheet():
                upright = Upright(page.image)
            case _:
                assert_never(page)
        picture = shown(upright, name, digest, limits, options)
        found.append(replace(picture, page=page.number, pages=page.count, has_gain_map=gain_map))
    return tuple(found)
