"""Pictures of a Python program as sources of a request: paths, addresses, bytes, PIL, arrays.

Law: a name is a file's or an address, never the clipboard, the screen or stdin, whatever it spells.
Pixels and bytes become data URIs, so they are read, bounded and refused as every other source is.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Protocol, TypeAlias

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Show
from qvq_mlx.images.image_sources import WORDS

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

_STDIN = "-"


class Array(Protocol):
    """An array that numpy reads: uint8, of shape (height, width) or (height, width, 3 or 4)."""

    @property
    def __array_interface__(self) -> dict[str, object]:
        """Where the values lie: numpy's protocol."""


Image: TypeAlias = "str | PathLike[str] | bytes | bytearray | PilImage | Array"
"""A path, an address, the bytes of a file, an image of PIL's, or an array of 8-bit values."""


def sources_of(images: Image | Sequence[Image]) -> tuple[str, ...]:
    """The sources of one image or several. Raises an InputError or UsageError for what is none."""
    if isinstance(images, (list, tuple)):
        return tuple(_source(image) for image in images)
    return (_source(images),)


def _source(image: object) -> str:
    from qvq_mlx.images.in_memory import png_of_array, png_of_image

    if isinstance(image, (str, PathLike)):
        name = fspath(image)
        return f"./{name}" if name in (*WORDS, _STDIN) else str(name)
    if isinstance(image, (bytes, bytearray)):
        return _data(bytes(image))
    if content := png_of_image(image):
        return _data(content)
    if hasattr(image, "__array_interface__") or hasattr(image, "__array__"):
        return _data(png_of_array(image))
    kind = type(image).__name__
    raise UsageError(
        f"an image is a path, bytes, an image of PIL's or an array, and not {kind}", Show.ASK_HELP
    )


def _data(content: bytes) -> str:
    return "data:;base64," + base64.b64encode(content).decode()
