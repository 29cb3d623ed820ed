"""Pictures that lie in a Python program's memory, as the bytes of a PNG."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from qvq_mlx.core.errors import ImageUnreadableError
from qvq_mlx.core.remedies import Show

if TYPE_CHECKING:
    from PIL.Image import Image

_OF_PNG = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


def png_of_image(image: object) -> bytes | None:
    """The pixels of an image of PIL's as they are, unturned; None for anything else."""
    from PIL.Image import Image

    return _png(image) if isinstance(image, Image) else None


def png_of_array(array: object) -> bytes:
    """An array of 8-bit values of shape (height, width) or (height, width, 3 or 4).

    Raises ImageUnreadableError for another shape or type.
    """
    import numpy as np
    from PIL import Image

    values = np.asarray(array)
    channels = values.shape[2] if values.ndim == 3 else 1
    if values.dtype != np.uint8 or values.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise ImageUnreadableError(
            f"an array of shape {values.shape} and type {values.dtype} is no picture; it has 8-bit"
            " values (uint8) and the shape (height, width) or (height, width, 3 or 4)",
            Show.ASK_HELP,
        )
    if not values.size:
        raise ImageUnreadableError("an array without values is no picture", Show.ASK_HELP)
    flat = values[..., 0] if values.ndim == 3 and channels == 1 else values
    return _png(Image.fromarray(np.ascontiguousarray(flat)))


def _png(image: Image) -> bytes:
    out = BytesIO()
    (image if image.mode in _OF_PNG else image.convert("RGB")).save(out, "PNG", compress_level=1)
    return out.getvalue()
