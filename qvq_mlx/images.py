"""Reads a picture from a file or stdin into pixels of the model's size. The only home of PIL.

Law: whatever the bytes are, `read` returns a Picture or raises an InputError; nothing is printed.
The format is told by content, never by name. The file's size is checked before it is read, and
the pixel count before anything is decoded. The EXIF orientation is applied, transparency lies on
white, and more than 8 bits are scaled to 8, never clipped. The resize is byte for byte that of
mlx-vlm's Qwen3VLImageProcessor (`_smart_resize_image`, then PIL bicubic on 8-bit RGB).

Not covered: ICC profiles are not applied, 16-bit colour loses its low bytes in PIL, and a 12-bit
TIFF is read as 16-bit.
"""

from __future__ import annotations

import codecs
import difflib
import hashlib
import math
import os
import re
import shlex
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import ImageNotFoundError, ImageSizeError, ImageUnreadableError
from qvq_mlx.core.picture import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_FILE_BYTES = 512 * 2**20
MAX_PIXELS = 2**27
MIN_SIDE_PX = 4

_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_READS = "qvq reads PNG, JPEG, WebP, GIF, BMP and TIFF"
_ASK = 'qvq ask {} "question"'
_SIPS = "sips -s format png {name} --out {out}"  # part of macOS

# (offset, first bytes, what it is): the six formats' signatures, so that damage is told from
# bytes that are no picture at all
_OURS = (
    *((0, b"\x89PNG", "PNG"), (0, b"\xff\xd8\xff", "JPEG"), (0, b"GIF8", "GIF")),
    *((0, b"BM", "BMP"), (8, b"WEBP", "WebP"), (0, b"II*\0", "TIFF"), (0, b"MM\0*", "TIFF")),
)
# the same for what others read: (offset, first bytes, what it is, the command to run)
_OTHERS = (
    *((4, b"ftyp" + brand, "a HEIC picture", _SIPS) for brand in (b"he", b"mif1", b"msf1")),
    (4, b"ftypavi", "an AVIF picture", _SIPS),
    (4, b"ftyp", "a video", "file {name}"),
    (4, b"jP  \r\n", "a JPEG 2000 picture", _SIPS),
    (0, b"\0\0\1\0", "an icon (ICO)", _SIPS),
    (0, b"8BPS", "a Photoshop picture", _SIPS),
    (0, b"%PDF-", "a PDF", _SIPS),
    (0, b"PK\3\4", "a ZIP archive", "unzip -l {name}"),
)
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


def read(source: str, limits: VisionLimits, stdin: BinaryIO) -> Picture:
    """The picture at `source`: a path, a `file://` URL, or `-` for the bytes of `stdin`.

    Raises ImageNotFoundError, ImageUnreadableError or ImageSizeError.
    """
    from PIL.Image import Resampling

    data = _from_stdin(stdin) if source == "-" else _from_file(source, _path(source))
    with _quiet(), _mute_libtiff(data):
        image = _decoded(source, data, limits)
    height_px, width_px = smart_resize(image.height, image.width, limits)
    resized = image.resize((width_px, height_px), Resampling.BICUBIC)
    return Picture(
        name=source,
        source_width_px=image.width,
        source_height_px=image.height,
        width_px=width_px,
        height_px=height_px,
        tokens=(height_px // limits.factor_px) * (width_px // limits.factor_px),
        sha256=hashlib.sha256(data).hexdigest(),
        rgb=resized.tobytes(),  # (height, width, 3)
    )


def smart_resize(height: int, width: int, limits: VisionLimits) -> tuple[int, int]:
    """(height, width) in pixels that the model sees; both are multiples of `factor_px`.

    Source: qwen-vl-utils `smart_resize`, as in mlx-vlm 0.7.10; `round` is half to even there too.
    Raises ImageSizeError where the longer side is over `max_aspect` times the shorter.
    """
    longer, shorter = max(height, width), min(height, width)
    if longer / shorter > limits.max_aspect:
        ratio = math.ceil(longer / shorter * 10) / 10  # up, so that 200.01 is not called 200
        raise ImageSizeError(
            f"{width}×{height} pixels is {ratio:g} to 1, and the model sees at most"
            f" {limits.max_aspect} to 1"
        )
    factor = limits.factor_px
    to_height, to_width = round(height / factor) * factor, round(width / factor) * factor
    if to_height * to_width > limits.max_pixels:
        shrink = math.sqrt(height * width / limits.max_pixels)
        to_height = max(factor, math.floor(height / shrink / factor) * factor)
        to_width = max(factor, math.floor(width / shrink / factor) * factor)
    elif to_height * to_width < limits.min_pixels:
        grow = math.sqrt(limits.min_pixels / (height * width))
        to_height = math.ceil(height * grow / factor) * factor
        to_width = math.ceil(width * grow / factor) * factor
    return to_height, to_width


# ------------------------------------------------------------------ bytes


def _path(source: str) -> Path:
    """Where `source` lies on disk. Raises ImageUnreadableError for any other URL."""
    if source[:5].lower() == "data:":
        hint = "pbpaste | sed 's/^.*,//' | base64 -d | " + _ASK.format("-")
        raise ImageUnreadableError(f"{source[:24]}…: qvq reads files, not data URLs", hint)
    scheme = _URL.match(source)
    if scheme is None:
        with suppress(RuntimeError):  # ~nobody has no home: then the name is taken as it stands
            return Path(source).expanduser()
        return Path(source)
    with suppress(ValueError):
        parts = urlsplit(source)
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            return Path(unquote(parts.path))
    loads = scheme[1].lower() in ("http", "https", "ftp")
    hint = f"curl -LO {shlex.quote(source)}" if loads else _ASK.format("IMAGE")
    raise ImageUnreadableError(f"{source}: qvq reads files, not URLs (yet)", hint)


def _from_stdin(stdin: BinaryIO) -> bytes:
    hint = _ASK.format("-") + " < image.png"
    if stdin.isatty():
        raise ImageUnreadableError("-: stdin is a terminal, no picture is piped in", hint)
    try:
        data = stdin.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ImageUnreadableError(f"-: stdin cannot be read ({error.strerror})", hint) from error
    if not data:
        raise ImageUnreadableError("-: stdin holds no bytes, or was read already", hint)
    if len(data) > MAX_FILE_BYTES:
        raise ImageSizeError(f"-: stdin holds more than {MAX_FILE_BYTES / 2**20:.0f} MiB", hint)
    return data


def _from_file(source: str, path: Path) -> bytes:
    """All bytes of a regular file, its size checked first."""
    listing = f"ls -l {_quoted(path)}"
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise _not_a_file(source, path, facts.st_mode)
        if facts.st_size > MAX_FILE_BYTES:
            raise _too_large(source, f"{facts.st_size / 2**20:,.0f} MiB", "512 MiB")
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _not_found(source, path) from error
    except PermissionError as error:
        raise ImageUnreadableError(f"{source}: permission denied", listing) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ImageUnreadableError(f"{source[:80]}: cannot be read ({reason})") from error
    if not data:
        raise ImageUnreadableError(f"{source}: the file is empty (0 bytes)", listing)
    return data


def _not_found(source: str, path: Path) -> ImageNotFoundError:
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    close: list[str] = []
    if folder == path.parent:
        close = difflib.get_close_matches(path.name, _names(folder), n=1, cutoff=0.7)
    if close:
        return ImageNotFoundError(
            f"{source}: no such file; {close[0]} is there", _ASK.format(_quoted(folder / close[0]))
        )
    return ImageNotFoundError(f"{source}: no such file", f"ls -l {_quoted(folder)}")


def _not_a_file(source: str, path: Path, mode: int) -> ImageUnreadableError:
    if not stat.S_ISDIR(mode):
        hint = f"{_ASK.format('-')} < {_quoted(path)}"
        return ImageUnreadableError(f"{source}: is a pipe, socket or device, not a file", hint)
    pictures = sorted(name for name in _names(path) if name.lower().endswith(_SUFFIXES))
    if not pictures:
        return ImageUnreadableError(
            f"{source}: is a folder, and no picture lies in it", f"ls -l {_quoted(path)}"
        )
    hint = _ASK.format(_quoted(path / pictures[0]))
    return ImageUnreadableError(f"{source}: is a folder, not a picture", hint)


def _names(folder: Path) -> list[str]:
    """What lies in `folder`, as far as a hint needs it: at most 2,000 names."""
    with suppress(OSError):
        return [entry.name for entry in islice(folder.iterdir(), 2000)]
    return []


# ------------------------------------------------------------------ pixels


@contextmanager
def _quiet() -> Iterator[None]:
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


def _decoded(source: str, data: bytes, limits: VisionLimits) -> Image:
    """8-bit RGB, upright."""
    from PIL import Image

    # PIL's own limit is a warning below this module's and an error that lacks the size above it
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            _check_size(source, image.width, image.height, limits)
            image.load()
            return _rgb(_upright(image))
    except ImageSizeError:
        raise
    # a damaged file raises whatever its decoder stumbles over: OSError, SyntaxError, ValueError,
    # struct.error, IndexError, MemoryError; all of them mean the same here
    except Exception as error:
        raise _unreadable(source, data, error) from error


def _check_size(source: str, width: int, height: int, limits: VisionLimits) -> None:
    """Refuse by the header what would be no picture to the model. Raises ImageSizeError."""
    name, out = _names_of(source)
    if width * height > MAX_PIXELS:
        raise _too_large(source, f"{width}×{height} pixels", f"{MAX_PIXELS:,} pixels")
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


# ------------------------------------------------------------------ what went wrong


def _unreadable(source: str, data: bytes, error: Exception) -> ImageUnreadableError:
    """Say what the bytes are, as far as that can be told from their beginning."""
    name, out = _names_of(source)
    for offset, magic, kind in _OURS:
        if data.startswith(magic, offset):
            return ImageUnreadableError(
                f"{source}: the {kind} is cut off or damaged ({_reason(error)})", f"file {name}"
            )
    for offset, magic, kind, command in _OTHERS:
        if data.startswith(magic, offset):
            return ImageUnreadableError(
                f"{source}: is {kind}; {_READS}", command.format(name=name, out=out)
            )
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in head and head.startswith(b"<"):
        return ImageUnreadableError(
            f"{source}: is an SVG drawing; {_READS} (rsvg-convert is in Homebrew's librsvg)",
            f"rsvg-convert -o {out} {name}",
        )
    if head.startswith((b"<!doctype html", b"<html")):
        return ImageUnreadableError(f"{source}: is a web page (HTML); {_READS}", f"file {name}")
    if _is_text(data[:4096]):
        return ImageUnreadableError(f"{source}: is text, not a picture; {_READS}", f"file {name}")
    begin = data[:4].hex(" ")
    return ImageUnreadableError(
        f"{source}: is no picture ({len(data):,} bytes that begin with {begin}); {_READS}",
        f"file {name}",
    )


def _reason(error: Exception) -> str:
    """PIL's words on one line, without the addresses of its objects."""
    words = " ".join(re.sub(r"<[^>]*>", "", str(error)).split()).rstrip(" .:")
    return words[:100] or type(error).__name__


def _is_text(head: bytes) -> bool:
    """UTF-8 without control characters; the last character may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(c.isprintable() or c.isspace() for c in text)


def _too_large(source: str, size: str, limit: str) -> ImageSizeError:
    name, out = _names_of(source)
    return ImageSizeError(
        f"{source}: {size} is too large; the limit is {limit}", f"sips -Z 4000 {name} --out {out}"
    )


def _names_of(source: str) -> tuple[str, str]:
    """For a command: the quoted file, and a new PNG in the current folder that replaces nothing."""
    if source == "-":  # the command needs a file; this one stands for what was piped in
        return "image", "image.png"
    path = _path(source)
    stem = path.stem[:40]  # a longer one might be no legal name with a number behind it
    names = (Path(f"{stem}{number}.png") for number in ("", *range(-2, -100, -1)))
    return _quoted(path), _quoted(next(out for out in names if not out.exists()))


def _quoted(path: Path) -> str:
    """`path` for a shell; never taken for an option."""
    name = str(path)
    return shlex.quote(f"./{name}" if name.startswith("-") else name)
