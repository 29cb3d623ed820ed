"""Reads a picture from a file or stdin into pixels of the model's size. The only home of PIL.

Law: whatever the bytes are, `read` returns Pictures or raises an InputError, or a UsageError for a
look that the picture does not have; nothing is printed. `sources` finds the bytes, `pixels` decodes
them, `colour` makes them sRGB, `shown` cuts out and resizes what the model sees.

Nothing here imports PIL before a picture is read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import BinaryIO

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.look import Look
from qvq_mlx.core.picture import Picture
from qvq_mlx.images.colour import background_of
from qvq_mlx.images.paths import path_of
from qvq_mlx.images.pixels import decoded
from qvq_mlx.images.resize import smart_resize
from qvq_mlx.images.shown import shown
from qvq_mlx.images.sources import from_file, from_stdin

__all__ = ["Desk", "read", "smart_resize"]


_PLAIN = Look()


@dataclass(frozen=True, slots=True)
class Desk:
    """What a picture may be taken from, besides the disk."""

    stdin: BinaryIO
    kept: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    """Of sources that cannot be read twice: a picture may be asked for again, at another size."""


def read(source: str, limits: VisionLimits, desk: Desk, look: Look = _PLAIN) -> tuple[Picture, ...]:
    """The pictures of `source`: a path, a `file://` URL, or `-` for the bytes of stdin.

    Raises ImageNotFoundError, ImageUnreadableError, ImageSizeError or UsageError.
    """
    background = background_of(look.background)
    data = _bytes(source, desk)
    upright = decoded(source, data, background)
    return (shown(upright, source, hashlib.sha256(data).hexdigest(), limits, look),)


def _bytes(source: str, desk: Desk) -> bytes:
    if source != "-":
        return from_file(source, path_of(source))
    if source not in desk.kept:
        desk.kept[source] = from_stdin(desk.stdin)
    return desk.kept[source]
