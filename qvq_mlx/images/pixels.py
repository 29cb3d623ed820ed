"""Bytes to 8-bit RGB, upright: the module that talks to PIL.

The format is told by content, never by name, and the pixel count is checked before anything is
decoded. Nothing that PIL or libtiff has to say is printed.

Not covered: ICC profiles are not applied, 16-bit colour loses its low bytes in PIL, and a 12-bit
TIFF is read as 16-bit.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import ImageSizeError
from qvq_mlx.images.containers import formats_of
from qvq_mlx.images.diagnosis import too_large, unreadable
from qvq_mlx.images.paths import names_of
from qvq_mlx.images.resize import smart_resize

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 2**27
MIN_SIDE_PX = 4


def decoded(source: str, data: bytes, limits: VisionLimits, frame: int = 0) -> Image:
    """8-bit RGB, upright, of its own size: what PIL calls frame `frame`.

    Raises ImageUnreadableError or ImageSizeError.
    """
    with quiet(), _mute_libtiff(data):
        return _decoded(source, data, limits, frame)


def scaled(image: Image, width_px: int, height_px: int) -> Image:
    """The picture at the model's size, as the reference processor scales it."""
    from PIL.Image import Resampling

    return image.resize((width_px, height_px), Resampling.BICUBIC)


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that PIL warns of or logs reaches the screen: what matters is raised."""
    import logging

    logger = logging.getLogger("PIL")
    silence = logging.NullHandler()  # without a handler, logging writes errors to stderr
    logger.addHandler(silence)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(silence)


@contextmanager
def _mute_libtiff(data: bytes) -> Iterator[None]:
    """Lead file descriptor 2 nowhere while libtiff decodes: it writes there by itself."""
    if data[:2] not in (b"II", b"MM"):
        yield
        return
    try:
        stderr = os.dup(2)
    except OSError:  # stderr is closed, so it is quiet already
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _decoded(source: str, data: bytes, limits: VisionLimits, frame: int) -> Image:
    from PIL import Image

    # PIL's own limit is a warning below this module's and an error that lacks the size above it
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(BytesIO(data), formats=formats_of(data)) as image:
            check_size(source, image.width, image.height, limits)
            image.seek(frame)  # the frames of a TIFF or HEIC have sizes of their own
            check_size(source, image.width, image.height, limits)
            image.load()
            return _rgb(_upright(image))
    except ImageSizeError:
        raise
    # a damaged file raises whatever its decoder stumbles over: OSError, SyntaxError, ValueError,
    # struct.error, IndexError, MemoryError; all of them mean the same here
    except Exception as error:
        raise unreadable(source, data, error) from error


def check_size(source: str, width: int, height: int, limits: VisionLimits) -> None:
    """Refuse by the header what would be no picture to the model. Raises ImageSizeError."""
    name, out = names_of(source)
    if width * height > MAX_PIXELS:
        raise too_large(source, f"{width}×{height} pixels", f"{MAX_PIXELS:,} pixels")
    if min(width, height) < MIN_SIDE_PX:
        raise ImageSizeError(
            f"{source}: {width}×{height} pixels: too small to show anything",
            f"sips -g pixelWidth -g pixelHeight {name}",
        )
    try:
        smart_resize(height, width, limits)
    except ImageSizeError as error:
        longest = min(width, height) * limits.max_aspect
        crop = f"sips -c {min(height, longest)} {min(width, longest)} {name} --out {out}"
        raise ImageSizeError(f"{source}: {error.message}", crop) from None


def _upright(image: Image) -> Image:
    """The EXIF orientation applied; EXIF that cannot be read says nothing about the pixels.

    PIL turns a TIFF by itself while it is loaded, and drops the tag.
    """
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    with suppress(Exception):
        turn = turns.get(image.getexif().get(0x0112, 1))
        if turn is not None:
            return image.transpose(turn)
    return image


def _rgb(image: Image) -> Image:
    """Any mode as 8-bit RGB: deep gray is scaled, transparency lies on white."""
    from PIL import Image, ImageCms

    if image.mode.startswith("I") or image.mode == "F":
        return _gray(image).convert("RGB")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None, "profileToProfile answers None in place only"
        return converted
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _gray(image: Image) -> Image:
    """Modes I;16*, I and F as L: [0, white] becomes [0, 255], rounded.

    White is 65535 for 16-bit files; for 32-bit integers and floats, whose files do not say it,
    the smallest of 1 (floats only), 255 and 65535 that covers the largest value, else that value.
    """
    is_deep = image.mode.startswith("I;16") or image.format == "PNG"
    wide = image.convert("I").convert("F") if image.mode != "F" else image
    low, high = wide.getextrema()
    assert isinstance(low, float), "one band has one pair of extrema"
    assert isinstance(high, float), "one band has one pair of extrema"
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("a pixel is not a number")
    whites = (65535.0,) if is_deep else ((1.0,) if image.mode == "F" else ()) + (255.0, 65535.0)
    white = next((white for white in whites if white >= high), high)
    black = min(0.0, low)
    scale = 255 / (white - black)
    return wide.point(lambda value: value * scale + (0.5 - black * scale)).convert("L")
