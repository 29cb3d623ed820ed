"""The bytes of a picture, decoded: the module that has PIL read what it was given.

The format is told by content, never by name. Nothing that PIL or libtiff has to say is printed.

Law: from the header on, a picture is refused that would take more than MAX_DECODED_BYTES to decode
and convert, or too long: a JPEG may have many passes over all of its pixels (scans), and few bytes
suffice for each. A picture is decoded in full, never drafted at a half or a quarter of its size,
because its pixels have to equal the reference's.

Not covered: the bytes of the file itself, which are held meanwhile.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from io import BytesIO
from typing import TYPE_CHECKING

from qvq_mlx.core.errors import ImageSizeError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.images.colour import Colour, Upright, flattened
from qvq_mlx.images.containers import formats_of, is_tiff
from qvq_mlx.images.paths import names_of
from qvq_mlx.images.quiet import muted, quiet

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

MAX_DECODED_BYTES = 896 * 2**20
_PIXEL_BYTES = 8
"""PIL's four bytes, and as many for the turned or converted picture."""
_PIXEL_BYTES_OF = {"WEBP": 20}
"""libwebp's animation decoder keeps two canvases and hands out a copy."""
MAX_SCANNED_PIXELS = 3 * 2**29
"""Scans x pixels of a JPEG. An ordinary progressive one has about 10 scans."""

_ORIENTATION = 0x0112
_SCAN = b"\xff\xda"
_TIFF = (b"II", b"MM")


def max_pixels(form: str | None) -> int:
    """The most pixels of a picture of the format, as PIL calls it."""
    return MAX_DECODED_BYTES // _PIXEL_BYTES_OF.get(form or "", _PIXEL_BYTES)


def decoded(source: str, data: bytes, background: Colour, frame: int = 0) -> Upright:
    """One frame, upright, of its own size. Raises ImageUnreadableError or ImageSizeError."""
    with quiet(), muted() if data[:2] in _TIFF else nullcontext():  # libtiff writes there by itself
        return _decoded(source, data, background, frame)


def _decoded(source: str, data: bytes, background: Colour, frame: int) -> Upright:
    try:
        image = _loaded(source, data, frame)
        turn = _turn(image)
        upright = flattened(image, background)
        if turn is None:
            return upright
        del image  # at most two copies at a time
        return Upright(upright.image.transpose(turn), upright.to_srgb)
    except ImageSizeError:
        raise
    except MemoryError as error:
        raise ImageSizeError(
            f"{source}: there is not enough memory to decode it",
            RunProgram(("sips", "-g", "pixelWidth", "-g", "pixelHeight", names_of(source)[0])),
        ) from error
    # a damaged file raises whatever its decoder stumbles over: OSError, SyntaxError, ValueError,
    # struct.error, IndexError; all of them mean the same here
    except Exception as error:
        from qvq_mlx.images.diagnosis import unreadable

        raise unreadable(source, data, error) from error


def _loaded(source: str, data: bytes, frame: int) -> Image:
    from PIL import Image

    # PIL's own limit is a warning below this module's and an error that lacks the size above it
    Image.MAX_IMAGE_PIXELS = None
    if own := _of_our_own(source, data, frame):
        return own
    try:
        return _by_pil(source, data, frame)
    except ImageSizeError:
        raise
    except Exception:  # whatever PIL stumbles over
        own = _tiff(source, data, frame) if is_tiff(data) else None
        if own is None:
            raise
        return own


def _tiff(source: str, data: bytes, frame: int) -> Image | None:
    """A page of a TIFF that PIL should read and does not; None where it is damaged or unknown."""
    from qvq_mlx.images import tiff_pictures

    with suppress(Exception):  # PIL's own words are as good
        if size_px := tiff_pictures.size_px(data, frame, every=True):
            _check_pixels(source, size_px, "TIFF")
            return tiff_pictures.picture(data, frame, every=True)
    return None


def _by_pil(source: str, data: bytes, frame: int) -> Image:
    from PIL import Image

    image = Image.open(BytesIO(data), formats=formats_of(data))
    _check_cost(source, image, data)
    image.seek(frame)  # a file need not open at its first frame, and frames have sizes of their own
    _check_cost(source, image, data)
    try:
        image.load()
    except OSError:
        whole = _without_end(data) if image.format in ("JPEG", "MPO") else None
        if whole is None:
            raise
        return whole
    return _completed(image, data)


def _of_our_own(source: str, data: bytes, frame: int) -> Image | None:
    """A TIFF, BMP, GIF or PNG of a layout that PIL misreads; None of any other."""
    if is_tiff(data):
        from qvq_mlx.images import tiff_pictures

        if size_px := tiff_pictures.size_px(data, frame):
            _check_pixels(source, size_px, "TIFF")
            return tiff_pictures.picture(data, frame)
    if data.startswith(b"BM") and len(data) >= 54:
        from qvq_mlx.images import bmp

        _check_pixels(source, bmp.size_px(data), "BMP")
        own = bmp.picture(data)
        if own is not None and (profile := bmp.profile(data)):
            own.info["icc_profile"] = profile
        return own
    if data.startswith(b"GIF8"):
        from qvq_mlx.images import gif

        if first := next(gif.frames_of(data), None):
            _check_pixels(source, gif.canvas_px(data, first), "GIF")
        return gif.picture(data, frame)
    if frame and data.startswith(b"\x89PNG") and len(data) >= 33:
        from qvq_mlx.images import apng

        width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        _check_pixels(source, (width, height), "PNG")
        return apng.picture(data, frame)
    return None


def _without_end(data: bytes) -> Image | None:
    from qvq_mlx.images.jpeg import without_end

    return without_end(data)


def _completed(image: Image, data: bytes) -> Image:
    """`image`, loaded, with what PIL leaves out."""
    match image.format:
        case "PNG":
            from qvq_mlx.images import png

            return png.completed(image, data)
        case "BMP":
            from qvq_mlx.images import bmp

            image.info["icc_profile"] = bmp.profile(data)
        case "AVIF":
            from qvq_mlx.images import boxes

            image.info.pop("xmp", None)  # what the container says of turns is all that counts
            if box := boxes.clean_aperture(data, *image.size):
                cut = image.crop(box)
                cut.getexif().update(image.getexif())
                return _in_srgb(cut, data)
            return _in_srgb(image, data)
        case "HEIF":
            return _in_srgb(image, data)
        case _:
            pass
    return image


def _in_srgb(image: Image, data: bytes) -> Image:
    """A picture of AVIF or HEIC whose container states its colours by numbers, not by a profile."""
    from qvq_mlx.images import boxes

    stated = boxes.colours(data)
    if stated is None or image.info.get("icc_profile") or image.mode not in ("RGB", "RGBA"):
        return image
    from qvq_mlx.images.light import of_cicp, to_srgb_of

    light = of_cicp(*stated)
    if light is None:
        return image
    from qvq_mlx.images.colour import in_strips
    from qvq_mlx.images.samples import restated

    change = to_srgb_of(light)
    made = in_strips(image, image.mode, lambda strip: restated(strip, change))
    made.getexif().update(image.getexif())
    return made


def _check_cost(source: str, image: Image, data: bytes) -> None:
    """Refuse by the header what would take too much memory or time. Raises ImageSizeError."""
    _check_pixels(source, image.size, image.format)
    pixels, size = image.width * image.height, f"{image.width}×{image.height} pixels"
    if image.format in ("JPEG", "MPO"):
        scans = data.count(_SCAN)
        if scans * pixels > MAX_SCANNED_PIXELS and scans > 1:
            most = max(1, MAX_SCANNED_PIXELS // pixels)
            from qvq_mlx.images.diagnosis import too_large

            raise too_large(source, f"{scans:,} scans of {size}", f"{most:,} scans at this size")


def _check_pixels(source: str, size_px: tuple[int, int], form: str | None) -> None:
    width, height = size_px
    limit = max_pixels(form)
    if width * height > limit:
        from qvq_mlx.images.diagnosis import too_large

        raise too_large(source, f"{width}×{height} pixels", f"{limit:,} pixels")


def _turn(image: Image) -> Transpose | None:
    """Read the EXIF orientation; EXIF that cannot be read turns nothing.

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
        return turns.get(image.getexif().get(_ORIENTATION, 1))
    return None
