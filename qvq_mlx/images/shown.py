"""A decoded picture at the size and the part that the model sees.

Law: crop, then resize (PIL's bicubic filter on 8-bit pixels, as the reference processor does), then
the profile that is left to apply. Nothing outside of a crop enters its pixels.
"""

from __future__ import annotations

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import ImageSizeError, UsageError
from qvq_mlx.core.image_options import ImageOptions, Region, region_of
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.remedies import Ask, Field, RunProgram
from qvq_mlx.images.colour import Upright, applied
from qvq_mlx.images.detail import limited
from qvq_mlx.images.resize import smart_resize

MIN_SIDE_PX = 4


def shown(
    upright: Upright,
    name: str,
    sha256: str,
    limits: VisionLimits,
    options: ImageOptions,
    page: int | None = None,
) -> Picture:
    """The picture as the model sees it. Raises ImageSizeError, or UsageError for a crop or a
    detail that this picture or model does not have.
    """
    from PIL.Image import Resampling

    image = upright.image
    source_width_px, source_height_px = image.size
    region = _region(options, source_width_px, source_height_px, name)
    if region is not None:
        right, bottom = region.x_px + region.width_px, region.y_px + region.height_px
        image = image.crop((region.x_px, region.y_px, right, bottom))
    width_px, height_px = _size(name, image.width, image.height, limited(limits, options.detail))
    resized = image.resize((width_px, height_px), Resampling.BICUBIC)
    return Picture(
        name=name,
        source_width_px=source_width_px,
        source_height_px=source_height_px,
        width_px=width_px,
        height_px=height_px,
        tokens=(height_px // limits.factor_px) * (width_px // limits.factor_px),
        sha256=sha256,
        rgb=applied(resized, upright.to_srgb).tobytes(),  # (height, width, 3)
        page=page,
        crop=region,
    )


def _region(options: ImageOptions, width_px: int, height_px: int, name: str) -> Region | None:
    """None for all of the picture."""
    if options.crop is None:
        return None
    region = region_of(options.crop, width_px, height_px, name)
    if min(region.width_px, region.height_px) < min(MIN_SIDE_PX, width_px, height_px):
        raise UsageError(
            (
                f"{name}: ",
                Field.CROP,
                f" leaves {region.width_px}×{region.height_px} of {width_px}×{height_px} pixels:",
                " too small to show anything",
            ),
            Ask(settings=((Field.CROP, "25%,25%,50%,50%"),)),
        )
    return None if (region.width_px, region.height_px) == (width_px, height_px) else region


def _size(name: str, width_px: int, height_px: int, limits: VisionLimits) -> tuple[int, int]:
    """(width, height) for the model. Raises ImageSizeError."""
    source = f"./{name}" if name.startswith("-") and name != "-" else name
    if min(width_px, height_px) < MIN_SIDE_PX:
        file = source if name != "-" else "image"
        raise ImageSizeError(
            f"{name}: {width_px}×{height_px} pixels: too small to show anything",
            RunProgram(("sips", "-g", "pixelWidth", "-g", "pixelHeight", file)),
        )
    try:
        to_height_px, to_width_px = smart_resize(height_px, width_px, limits)
    except ImageSizeError as error:
        longest = min(width_px, height_px) * limits.max_aspect
        crop = f"0,0,{min(width_px, longest)},{min(height_px, longest)}"
        remedy = Ask((source,), ((Field.CROP, crop),))
        raise ImageSizeError((f"{name}: ", *error.parts), remedy) from None
    return to_width_px, to_height_px
