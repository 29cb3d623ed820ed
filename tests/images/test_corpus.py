"""Every kind of file gives the pixels that it shows, at the size of the reference."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.image_options import Crop, ImageOptions, Region
from qvq_mlx.core.picture import Picture
from tests.support import corpus, profiles
from tests.support.corpus import MAKERS, Case, case, converted, over, scene

EXACT = VisionLimits(factor_px=1, min_pixels=1, max_pixels=2**40)  # no resize
LIMITS = {
    "as it is": EXACT,
    "28": VisionLimits(),
    "28 small": VisionLimits(max_pixels=64 * 28 * 28),
    "32": VisionLimits(factor_px=32, min_pixels=64 * 32 * 32, max_pixels=256 * 32 * 32),
}


def read(data: bytes, limits: VisionLimits = EXACT, look: ImageOptions | None = None) -> Picture:
    return images.read("-", limits, images.ImageSources(io.BytesIO(data)), look or ImageOptions())[
        0
    ]


def pixels(picture: Picture) -> np.ndarray:
    shape = (picture.height_px, picture.width_px, 3)
    return np.frombuffer(picture.rgb, np.uint8).reshape(shape).astype(int)


def reference(found: Case, width: int, height: int) -> np.ndarray:
    """Resized by PIL as the reference processor does it, then through the profile."""
    image = Image.fromarray(np.ascontiguousarray(found.pixels))
    array = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    if not found.profile:
        return array.astype(int)
    if found.profile == profiles.gray(1.8):
        return converted(np.ascontiguousarray(array[..., 0]), "L", found.profile).astype(int)
    return converted(array, "RGB", found.profile).astype(int)


def test_there_are_enough() -> None:
    assert len(MAKERS) >= 60


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("name", MAKERS)
def test_pixels(name: str, limits: VisionLimits) -> None:
    found = case(name)
    picture = read(found.data, limits)
    height, width = found.pixels.shape[:2]
    assert (picture.source_width_px, picture.source_height_px) == (width, height)
    if limits is not EXACT:
        assert (picture.height_px, picture.width_px) == images.smart_resize(height, width, limits)
    expected = reference(found, picture.width_px, picture.height_px)
    # what is a level off before the resize may be a little more behind a filter that overshoots
    slack = found.slack and found.slack + (limits is not EXACT)
    assert np.abs(pixels(picture) - expected).max() <= slack


@pytest.mark.parametrize("name", ["png gray", "tiff cmyk", "display p3 with alpha", "333x97"])
def test_a_crop_shows_these_pixels_and_no_others(name: str) -> None:
    found = case(name)
    height, width = found.pixels.shape[:2]
    part = Case(b"", found.pixels[7:31, 5:47], found.slack, found.profile)
    picture = read(found.data, LIMITS["28"], ImageOptions(crop=Crop(5, 7, 42, 24)))
    assert picture.crop == Region(5, 7, 42, 24)
    assert (picture.source_width_px, picture.source_height_px) == (width, height)
    expected = reference(part, picture.width_px, picture.height_px)
    assert np.abs(pixels(picture) - expected).max() <= found.slack + (found.slack > 0)


@pytest.mark.sampled(6)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("width", "height"), [(1000, 700), (403, 911), (64, 30)])
def test_a_turned_picture_is_resized_as_if_it_had_been_upright(
    width: int, height: int, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = corpus.encoded(corpus.of(scene(width, height)), "PNG", exif=exif, compress_level=1)
    stands = corpus.upright(scene(width, height), orientation)
    for limits in LIMITS.values():
        picture = read(data, limits)
        expected = reference(Case(b"", stands), picture.width_px, picture.height_px)
        assert np.array_equal(pixels(picture), expected)


def test_a_crop_counts_in_the_upright_picture() -> None:
    found = case("png orientation 6")
    picture = read(found.data, EXACT, ImageOptions(crop=Crop(3, 50, 20, 15)))
    assert np.array_equal(pixels(picture), found.pixels[50:65, 3:23])


def test_the_profile_is_applied_by_the_numbers() -> None:
    """Display P3 to sRGB from its definition: linear light, two matrices, sRGB's curve."""
    colours = np.array([[[200, 120, 90], [90, 140, 200], [128, 128, 128], [60, 70, 50]]], np.uint8)
    colours = np.repeat(np.repeat(colours, 8, axis=0), 8, axis=1)
    data = corpus.encoded(corpus.of(colours), "PNG", icc_profile=profiles.rgb(profiles.DISPLAY_P3))
    encoded = colours / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    to_srgb = np.linalg.inv(np.array(profiles.SRGB)) @ np.array(profiles.DISPLAY_P3)
    light = np.clip(linear @ to_srgb.T, 0, 1)
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(pixels(read(data)) - expected * 255).max() < 1.5
    assert np.abs(pixels(read(data)) - colours).max() > 10  # and it is not left as it was


@pytest.mark.parametrize(
    ("background", "under"),
    [("black", (0, 0, 0)), ("#336699", (0x33, 0x66, 0x99)), ("hsl(0,100%,50%)", (255, 0, 0))],
)
@pytest.mark.parametrize("name", ["png rgb and alpha", "png gray and alpha"])
def test_the_background(name: str, background: str, under: tuple[int, int, int]) -> None:
    four, two = scene(56, 42, 4), scene(56, 42, 2)
    wide = over(four[..., :3], four[..., 3], under)
    expected = wide if "rgb" in name else over(corpus.gray(two[..., 0]), two[..., 1], under)
    seen = pixels(read(case(name).data, EXACT, ImageOptions(background=background)))
    assert np.abs(seen - expected).max() <= 1
