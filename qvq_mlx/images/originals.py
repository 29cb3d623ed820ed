"""The picture as it lies on the disk, read a second time: upright, whole, at its full size.

Law: it is the very picture that the model saw a copy of, told by the hash of its bytes; another one
is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import ImageChangedError
from qvq_mlx.core.image_options import Detail, ImageOptions, Pages
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.places import PointedImage
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.images import ImageSources, read
from qvq_mlx.images.annotate import drawn
from qvq_mlx.images.paths import operand, path_of
from qvq_mlx.images.sources import from_file

if TYPE_CHECKING:
    from PIL.Image import Image

Kept = Callable[[str], bytes | None]
"""The bytes of a hash, where they were kept because their source cannot be read again."""

_WHOLE = VisionLimits(factor_px=1, min_pixels=1, max_pixels=2**40, max_aspect=2**31)


def redrawn(
    source: str, sha256: str, pointed: PointedImage, kept: Kept, background: str = "white"
) -> Image:
    """The original with what is pointed at. Raises an InputError as `original` does."""
    width_px, height_px, rgb = original(source, pointed.page, sha256, kept, background)
    return drawn((width_px, height_px), rgb, pointed)


def original(
    source: str, page: int | None, sha256: str, kept: Kept, background: str = "white"
) -> tuple[int, int, bytes]:
    """(width, height, RGB in row order) of page `page` of `source`.

    Raises an InputError where it cannot be read again, or is another one now.
    """
    data = same_bytes(source, sha256, kept)
    pages = Pages() if page is None else Pages(((page, page),))
    options = replace(ImageOptions(), detail=Detail.MAX, pages=pages, background=background)
    [picture] = read("-", _WHOLE, ImageSources(BytesIO(data)), options)
    assert isinstance(picture, Picture), "a video is refused before the run"
    return picture.width_px, picture.height_px, picture.rgb


def same_bytes(source: str, sha256: str, kept: Kept) -> bytes:
    """Return the bytes of that hash, kept or read again.

    Raises an InputError where they cannot be read again, or are others now.
    """
    data = kept(sha256)
    if data is None:
        data = from_file(source, path_of(source))
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ImageChangedError(
            f"{source}: has changed since the model saw it; nothing is drawn on another picture",
            RunProgram(("ls", "-l", operand(path_of(source)))),
        )
    return data
