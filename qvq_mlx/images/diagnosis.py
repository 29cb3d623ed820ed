"""What is wrong with bytes that are no picture, and which program helps."""

from __future__ import annotations

import codecs
import re

from qvq_mlx.core.errors import ImageSizeError, ImageUnreadableError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.images.containers import is_avif, is_heif
from qvq_mlx.images.paths import is_web, names_of

_READS = "; qvq reads PNG, JPEG, WebP, GIF, BMP, TIFF, HEIC, AVIF and PDF"
_NAME, _OUT = "{name}", "{out}"  # where a program's arguments get the file and a new one
_SIPS = ("sips", "-s", "format", "png", _NAME, "--out", _OUT)  # part of macOS

# (offset, first bytes, what it is): the formats' signatures, so that damage is told from bytes
# that are no picture at all
_OURS = (
    *((0, b"\x89PNG", "PNG"), (0, b"\xff\xd8\xff", "JPEG"), (0, b"GIF8", "GIF")),
    *((0, b"BM", "BMP"), (8, b"WEBP", "WebP"), (0, b"II*\0", "TIFF"), (0, b"MM\0*", "TIFF")),
    (0, b"%PDF-", "PDF"),
)
# the same for what others read: (offset, first bytes, what it is, the program to run)
_OTHERS = (
    (4, b"ftyp", "a video", ("file", _NAME)),
    (4, b"jP  \r\n", "a JPEG 2000 picture", _SIPS),
    (0, b"\0\0\1\0", "an icon (ICO)", _SIPS),
    (0, b"8BPS", "a Photoshop picture", _SIPS),
    (0, b"PK\3\4", "a ZIP archive", ("unzip", "-l", _NAME)),
)


def unreadable(source: str, data: bytes, error: Exception) -> ImageUnreadableError:
    """Say what the bytes are, as far as that can be told from their beginning."""
    name, out = names_of(source)
    ask = RunProgram(("curl", "-IL", source) if is_web(source) else ("file", name))
    ours = next((kind for at, magic, kind in _OURS if data.startswith(magic, at)), "")
    if kind := "HEIC" if is_heif(data) else "AVIF" if is_avif(data) else ours:
        return ImageUnreadableError(
            f"{source}: the {kind} is cut off or damaged ({_reason(error)})", ask
        )
    for offset, magic, kind, program in _OTHERS:
        if data.startswith(magic, offset):
            words = tuple({_NAME: name, _OUT: out}.get(word, word) for word in program)
            return ImageUnreadableError(f"{source}: is {kind}{_READS}", RunProgram(words))
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in head and head.startswith(b"<"):
        return ImageUnreadableError(
            f"{source}: is an SVG drawing{_READS} (rsvg-convert is in Homebrew's librsvg)",
            RunProgram(("rsvg-convert", "-o", out, name)),
        )
    if head.startswith((b"<!doctype html", b"<html")):
        return ImageUnreadableError(f"{source}: is a web page (HTML){_READS}", ask)
    if _is_text(data[:4096]):
        return ImageUnreadableError(f"{source}: is text, not a picture{_READS}", ask)
    begin = data[:4].hex(" ")
    return ImageUnreadableError(
        f"{source}: is no picture ({len(data):,} bytes that begin with {begin}){_READS}", ask
    )


def is_picture(head: bytes) -> bool:
    """Whether bytes begin like a picture that qvq reads."""
    known = any(head.startswith(magic, offset) for offset, magic, _ in _OURS)
    return known or is_heif(head) or is_avif(head)


def too_large(source: str, size: str, limit: str) -> ImageSizeError:
    """`size` and `limit` in words, with the program that makes the picture smaller."""
    name, out = names_of(source)
    return ImageSizeError(
        f"{source}: {size} is too large; the limit is {limit}",
        RunProgram(("sips", "-Z", "4000", name, "--out", out)),
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
