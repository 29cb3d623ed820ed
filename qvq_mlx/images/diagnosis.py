"""What is wrong with bytes that cannot be read, and which program helps.

There are three verdicts: a format that is read here and damaged; a format, or a kind of one, that
is not supported, with the program that converts it; no picture.
"""

from __future__ import annotations

import codecs
import re
import zlib

from qvq_mlx.core.errors import ImageSizeError, ImageUnreadableError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.images.containers import format_of, is_film
from qvq_mlx.images.paths import is_web, names_of

_READS = "; qvq reads PNG, JPEG, WebP, GIF, BMP, TIFF, HEIC, AVIF and PDF"
_NAME, _OUT = "{name}", "{out}"  # where a program's arguments get the file and a new one
_SIPS = ("sips", "-s", "format", "png", _NAME, "--out", _OUT)  # part of macOS
_MAGICK = ("magick", _NAME, _OUT)

_FFMPEG = ("ffmpeg", "-i", _NAME, "clip.mp4")

# what others read: (offset, first bytes, what it is, the program to run)
_OTHERS = (
    (4, b"ftypcrx ", "a camera's raw picture (CR3)", _SIPS),
    (8, b"CR\2\0", "a camera's raw picture (CR2)", _SIPS),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw picture (RAF)", _SIPS),
    (4, b"jP  \r\n", "a JPEG 2000 picture", _SIPS),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture", _SIPS),
    (0, b"\xff\x0a", "a JPEG XL picture", _SIPS),
    (4, b"JXL \r\n", "a JPEG XL picture", _SIPS),
    (0, b"II\xbc\1", "a JPEG XR picture", _MAGICK),
    (0, b"icns", "an icon (ICNS)", _SIPS),
    (0, b"8BPS", "a Photoshop picture", _SIPS),
    (0, b"gimp xcf", "a GIMP picture", _MAGICK),
    (0, b"\x76\x2f\x31\1", "an OpenEXR picture", _SIPS),
    (0, b"#?RADIANCE", "a Radiance HDR picture", _SIPS),
    (0, b"qoif", "a QOI picture", _MAGICK),
    (0, b"DDS ", "a DirectDraw surface", _MAGICK),
    (0, b"SIMPLE  =", "a FITS picture", _MAGICK),
    *(
        (0, magic, "a Silicon Graphics picture", _MAGICK)
        for magic in (b"\x01\xda\0", b"\x01\xda\x01")
    ),
    (0, b"\x59\xa6\x6a\x95", "a Sun raster", _MAGICK),
    (0, b"SDPX", "a DPX picture", _MAGICK),
    (0, b"XPDS", "a DPX picture", _MAGICK),
    (0, b"\x80\x2a\x5f\xd7", "a Cineon picture", _MAGICK),
    (0, b"id=ImageMagick", "a MIFF picture", _MAGICK),
    (0, b"/* XPM */", "an XPM picture", _MAGICK),
    (0, b"BPG\xfb", "a BPG picture", ("bpgdec", "-o", _OUT, _NAME)),
    (0, b"FLIF", "a FLIF picture", ("flif", "-d", _NAME, _OUT)),
    (0, b"\x8aMNG\r\n", "an MNG animation", _MAGICK),
    (0, b"\x8bJNG\r\n", "a JNG picture", _MAGICK),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile (WMF)", _MAGICK),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript document", _MAGICK),
    (40, b" EMF", "a Windows metafile (EMF)", _MAGICK),
    (0, b"FLV\x01", "a Flash video", _FFMPEG),
    (0, b"\0\0\x01\xba", "a video (MPEG program stream)", _FFMPEG),
    (0, b"\0\0\x01\xb3", "a video (MPEG)", _FFMPEG),
    (0, b"\0\0\0\1\x67", "a bare stream of H.264", _FFMPEG),
    (0, b"\0\0\0\1\x40\1", "a bare stream of H.265", _FFMPEG),
    (0, b"DKIF", "a video (IVF)", _FFMPEG),
    (0, b"\x1f\x07\0", "a video (DV)", _FFMPEG),
    (0, b"OggS", "an Ogg file", _FFMPEG),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file", _FFMPEG),
    (128, b"DICM", "a DICOM picture", _MAGICK),
    (0, b"AT&TFORM", "a DjVu document", ("ddjvu", "-format=pdf", _NAME, "document.pdf")),
    (0, b"%!PS", "a PostScript document", _MAGICK),
    (0, b"PK\3\4", "a ZIP archive", ("unzip", "-l", _NAME)),
)
# a count of pictures and an entry of 16 bytes, the fourth of which is 0: a Targa may begin like it
_ICON = re.compile(rb"\x00\x00[\x01\x02]\x00[^\x00]\x00(?:...\x00|.{0,3}\Z)", re.DOTALL)
_NETPBM = re.compile(rb"P[1-7Ff]\s+(?:#|[0-9]|WIDTH)")
_XBM = re.compile(rb"(?:/\*[^/]*\*/\s*)?#define\s+\w*_?width\s+[0-9]")
# version, coding and bits of a ZSoft file
_PCX = re.compile(rb"\x0a[\x00\x02-\x05][\x00\x01][\x01\x02\x04\x08]")
# a map and pixels that are its numbers, or none and others; bits of both, and which corner is first
_TARGA = re.compile(
    rb".(?:\x01[\x01\x09]....[\x0f\x10\x18\x20]|\x00[\x02\x03\x0a\x0b].....)"
    rb".{8}[\x08\x0f\x10\x18\x20][\x00-\x3f]",
    re.DOTALL,
)
_TS_BYTES = 188  # of a packet, each of which begins with G
_STAMP_BYTES = 4  # before each packet on a Blu-ray and in a camera's files
_TARGA_END = b"TRUEVISION-XFILE.\0"
_GZIP, _GZIP_WINDOW = b"\x1f\x8b", 31  # the window's bits, and 16 for gzip's head
_OURS_BY_SIPS = ("TIFF", "BMP", "HEIC", "AVIF")


class UnsupportedError(Exception):
    """A file is sound as far as can be seen, and of a kind that nobody here decodes."""


def unreadable(source: str, data: bytes, error: Exception) -> ImageUnreadableError:
    """Say what the bytes are, as far as that can be told from their beginning."""
    name, out = names_of(source)

    def run(program: tuple[str, ...]) -> RunProgram:
        return RunProgram(tuple({_NAME: name, _OUT: out}.get(word, word) for word in program))

    ask = RunProgram(("curl", "-IL", source) if is_web(source) else ("file", name))
    if other := _other(data):
        kind, program = other
        return ImageUnreadableError(f"{source}: is {kind}{_READS}", run(program))
    if kind := format_of(data):
        if isinstance(error, UnsupportedError) or (why := _why_not(kind, data, error)):
            reason = str(error) if isinstance(error, UnsupportedError) else why
            return ImageUnreadableError(
                f"{source}: is a {kind} of a kind that is not supported ({reason})", run(_MAGICK)
            )
        return ImageUnreadableError(
            f"{source}: the {kind} is cut off or damaged ({_reason(error)})", ask
        )
    if is_film(data):
        return ImageUnreadableError(f"{source}: is a video{_READS}", ask)
    if data.startswith(_GZIP) and not _is_svg(_unpacked(data)):
        return ImageUnreadableError(
            f"{source}: is a file compressed by gzip{_READS}", run(("gunzip", "-k", _NAME))
        )
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if _is_svg(_unpacked(data)):
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


def converts(data: bytes) -> bool:
    """True if the system's own decoder is worth asking where none here reads `data`.

    JPEG, PNG, GIF and WebP are left out: their decoders here read every kind, and another one would
    show the upper half of a file that is cut off.
    """
    other = _other(data)
    return other[1] is _SIPS if other else format_of(data) in _OURS_BY_SIPS


def too_large(source: str, size: str, limit: str) -> ImageSizeError:
    """`size` and `limit` in words, with the program that makes the picture smaller."""
    name, out = names_of(source)
    return ImageSizeError(
        f"{source}: {size} is too large; the limit is {limit}",
        RunProgram(("sips", "-Z", "4000", name, "--out", out)),
    )


def _other(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    """What a format is called that is not read, and the program for it."""
    if _NETPBM.match(data):
        return "a Netpbm picture", _MAGICK
    if _ICON.match(data):
        return ("an icon (ICO)" if data[2] == 1 else "a cursor (CUR)"), _SIPS
    for before in (0, _STAMP_BYTES):
        if data[before :: _TS_BYTES + before][:2] == b"GG":
            return "a video (MPEG transport stream)", _FFMPEG
    if data.endswith(_TARGA_END) or _TARGA.match(data):
        return "a Targa picture", _SIPS
    if _PCX.match(data):
        return "a PCX picture", _MAGICK
    if _XBM.match(data):
        return "an XBM picture", _MAGICK
    return next(
        ((kind, program) for at, magic, kind, program in _OTHERS if data.startswith(magic, at)),
        None,
    )


def _why_not(kind: str, data: bytes, error: Exception) -> str:
    """Why a sound file of a format that is read cannot be decoded; '' where it is damaged."""
    words = str(error)
    if kind == "JPEG":
        return _jpeg_coding(data)
    if kind == "TIFF":
        from qvq_mlx.images.tiff_pictures import why_not  # which raises this module's error

        return why_not(data)
    if kind == "BMP" and words.startswith("Unsupported BMP"):
        return _reason(error)
    if kind == "HEIC" and ("nsupported" in words or "not supported" in words):
        return _reason(error)
    return ""


def _jpeg_coding(data: bytes) -> str:
    """What is unusual about the frame header of a JPEG; ITU-T T.81, table B.1."""
    at = 2
    while at + 5 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xF7:
            return "JPEG-LS"
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if marker in (0xC3, 0xC7, 0xCB, 0xCF):
                return "lossless JPEG"
            if marker in (0xC5, 0xC6, 0xCD, 0xCE):
                return "hierarchical JPEG"
            return "" if data[at + 4] == 8 else f"{data[at + 4]} bits per sample"
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return ""


def _reason(error: Exception) -> str:
    """PIL's words on one line, without the addresses of its objects."""
    words = " ".join(re.sub(r"<[^>]*>", "", str(error)).split()).rstrip(" .:")
    return words[:100] or type(error).__name__


def _unpacked(data: bytes) -> bytes:
    """The first 4,096 bytes, of a gzip file those of what is in it."""
    if not data.startswith(_GZIP):
        return data[:4096]
    try:
        return zlib.decompressobj(_GZIP_WINDOW).decompress(data[:65536], 4096)
    except zlib.error:
        return b""


def _is_svg(head: bytes) -> bool:
    """True for SVG, which is XML; an `.svgz` is the same in a gzip file."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return text.startswith(b"<") and b"<svg" in text


def _is_text(head: bytes) -> bool:
    """UTF-8 without control characters; the last character may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(c.isprintable() or c.isspace() for c in text)
