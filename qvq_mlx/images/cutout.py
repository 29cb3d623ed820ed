"""A part of a picture at its full resolution, as a file's bytes.

Law: the part is cut out of the upright original before anything is resized, so a pixel of it is a
pixel of the original. At most MAX_PIXELS are handed out: what takes images by the megabyte refuses
larger ones, and what is larger can be asked for in parts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from io import BytesIO

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import ImageSizeError
from qvq_mlx.core.image_options import Detail, ImageOptions
from qvq_mlx.core.picture import Picture
from qvq_mlx.images import ImageSources, read

MAX_PIXELS = 2**21
MAX_PNG_BYTES = 3 * 2**20
"""A larger one becomes a JPEG: in base64 it would be more than common clients take (5 MB)."""
_WHOLE = VisionLimits(factor_px=1, min_pixels=1, max_pixels=2**40, max_aspect=2**31)


@dataclass(frozen=True, slots=True)
class Cutout:
    """A part of a picture. `source_*` is the size of the upright original."""

    name: str
    page: int | None
    source_width_px: int
    source_height_px: int
    mime_type: str
    data: bytes = field(repr=False)


def cutout(source: str, image_sources: ImageSources, options: ImageOptions) -> Cutout:
    """Return the crop that `options` name. Raises an InputError, or UsageError for a crop that this
    picture does not have, ImageSizeError for one of more than MAX_PIXELS.
    """
    options = replace(options, detail=Detail.MAX)
    [picture] = read(source, _WHOLE, image_sources, options)
    if not isinstance(picture, Picture):
        raise ImageSizeError(f"{picture.name}: is a video, and parts are cut out of pictures")
    pixels = picture.width_px * picture.height_px
    if pixels > MAX_PIXELS:
        raise ImageSizeError(
            f"{picture.name}: the part has {pixels:,} pixels, and {MAX_PIXELS:,} are returned at"
            " most; ask about it, or for smaller parts"
        )
    mime_type, data = _encoded(picture)
    return Cutout(
        name=picture.name,
        page=picture.page,
        source_width_px=picture.source_width_px,
        source_height_px=picture.source_height_px,
        mime_type=mime_type,
        data=data,
    )


def _encoded(picture: Picture) -> tuple[str, bytes]:
    """MIME type and bytes of a file."""
    from PIL import Image

    image = Image.frombytes("RGB", (picture.width_px, picture.height_px), picture.rgb)
    out = BytesIO()
    image.save(out, "PNG")
    if out.tell() <= MAX_PNG_BYTES:
        return "image/png", out.getvalue()
    out = BytesIO()
    image.save(out, "JPEG", quality=95, subsampling=0)
    return "image/jpeg", out.getvalue()
