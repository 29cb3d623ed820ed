"""A region of a picture at the full resolution of its original, sized for the model.

Law: the region is cut out of the upright original (of the page, of the frame) before anything is
resized, by the code that a crop of the user's goes through; what is returned says what was cut.
"""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.image_options import Crop, Detail, ImageOptions, Pages, Region
from qvq_mlx.core.picture import Picture
from qvq_mlx.images import ImageSources, pictures_in
from qvq_mlx.images.originals import Kept, same_bytes


def closer(
    place: str,
    picture: Picture,
    region: Region,
    limits: VisionLimits,
    background: str,
    kept: Kept,
) -> Picture:
    """Return `region` of `picture`'s original, whose bytes are at `place` or were `kept`.

    Raises an InputError where they cannot be read again, or are others now.
    """
    data = same_bytes(place, picture.sha256, kept)
    options = ImageOptions(
        detail=Detail.AUTO,
        crop=Crop(region.x_px, region.y_px, region.width_px, region.height_px),
        pages=Pages() if picture.page is None else Pages(((picture.page, picture.page),)),
        background=background,
    )
    [cut] = pictures_in(picture.name, data, limits, ImageSources(BytesIO(data)), options)
    assert isinstance(cut, Picture), "no region of a video is asked for"
    return replace(cut, crop=cut.crop or region)
