"""Reads a picture from a file or stdin into pixels of the model's size. The only home of PIL.

Law: whatever the bytes are, `read` returns a Picture or raises an InputError; nothing is printed.
The EXIF orientation is applied, transparency lies on white, and more than 8 bits are scaled to 8,
never clipped. The resize is byte for byte that of mlx-vlm's Qwen3VLImageProcessor
(`_smart_resize_image`, then PIL bicubic on 8-bit RGB).

Nothing here imports PIL before a picture is read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import BinaryIO

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import ImageUnreadableError
from qvq_mlx.core.look import Look
from qvq_mlx.core.picture import Picture
from qvq_mlx.images.paths import path_of
from qvq_mlx.images.pixels import decoded, scaled
from qvq_mlx.images.resize import smart_resize
from qvq_mlx.images.sources import from_file, from_stdin

__all__ = ["Desk", "bytes_of", "is_on_disk", "pictures_in", "read", "smart_resize"]


_PLAIN = Look()


@dataclass(frozen=True, slots=True)
class Desk:
    """What a picture may be taken from, besides the disk."""

    stdin: BinaryIO


def read(source: str, limits: VisionLimits, desk: Desk, look: Look = _PLAIN) -> tuple[Picture, ...]:
    """The pictures of `source`: a path, a `file://` URL, or `-` for the bytes of stdin.

    Raises ImageNotFoundError, ImageUnreadableError or ImageSizeError.
    """
    return pictures_in(source, bytes_of(source, desk), limits, look)


def bytes_of(source: str, desk: Desk) -> bytes:
    """The bytes of `source`. Raises ImageNotFoundError, ImageUnreadableError or ImageSizeError."""
    return from_stdin(desk.stdin) if source == "-" else from_file(source, path_of(source))


def pictures_in(
    source: str,
    data: bytes,
    limits: VisionLimits,
    look: Look = _PLAIN,  # noqa: ARG001
) -> tuple[Picture, ...]:
    """The pictures in the bytes of `source`. Raises ImageUnreadableError or ImageSizeError."""
    image = decoded(source, data, limits)
    height_px, width_px = smart_resize(image.height, image.width, limits)
    picture = Picture(
        name=source,
        source_width_px=image.width,
        source_height_px=image.height,
        width_px=width_px,
        height_px=height_px,
        tokens=(height_px // limits.factor_px) * (width_px // limits.factor_px),
        sha256=hashlib.sha256(data).hexdigest(),
        rgb=scaled(image, width_px, height_px).tobytes(),  # (height, width, 3)
    )
    return (picture,)


def is_on_disk(source: str) -> bool:
    """Whether it names a file that can be read again. What is piped in or fetched comes but once.

    A path where nothing lies counts as one: reading it says so.
    """
    if source == "-":
        return False
    try:
        path = path_of(source)
        return path.is_file() or not path.exists()
    except (ImageUnreadableError, OSError, ValueError):
        return False
