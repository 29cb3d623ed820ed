"""Writes a prepared picture as a file's bytes."""

from __future__ import annotations

from io import BytesIO

from qvq_mlx.core.picture import Picture


def png_of(picture: Picture) -> bytes:
    """Return the pixels that a model sees as a PNG, without any loss."""
    from PIL import Image

    image = Image.frombytes("RGB", (picture.width_px, picture.height_px), picture.rgb)
    out = BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()
