"""Tells files by their first bytes: signatures of pictures, brands of HEIC, AVIF and films.

pillow-heif reads HEIC; AVIF is PIL's own since 11.3. Where either is missing, an error says so.

Law: brands are a set. What a file begins with is only the brand that its writer thought best, so a
file is a picture where any of its brands is a picture's and its major brand is no video's.
"""

from __future__ import annotations

import re

from qvq_mlx.core.errors import ImageUnreadableError
from qvq_mlx.core.remedies import RunProgram

# (offset, first bytes, what it is): so that damage is told from bytes that are no picture at all
_SIGNATURES = (
    *((0, b"\x89PNG", "PNG"), (0, b"\xff\xd8\xff", "JPEG"), (0, b"GIF8", "GIF")),
    *((0, b"BM", "BMP"), (8, b"WEBP", "WebP"), (0, b"II*\0", "TIFF"), (0, b"MM\0*", "TIFF")),
    *((0, b"II+\0", "TIFF"), (0, b"MM\0+", "TIFF")),
)
_PDF = re.compile(rb"%PDF-[12]\.[0-9][ \t]*[\r\n]")
_PDF_JUNK_BYTES = 1024
"""So far from its beginning readers look for a PDF's header; ISO 32000-1, annex H, 3.4.1."""
_HEVC = frozenset(
    (
        b"heic",
        b"heix",
        b"heim",
        b"heis",
        b"hevc",
        b"hevx",
        b"hevm",
        b"hevs",
    )
)
_AVIF = frozenset((b"avif", b"avis"))
# ISO/IEC 23008-12, annex B, MIAF (23000-22) and its amendments: pictures of any coding
_STILL = frozenset(
    (
        *(b"mif1", b"mif2", b"mif3", b"msf1", b"miaf", b"MiHB", b"MiHE", b"MiHA", b"MiAn", b"MiBu"),
        *(
            b"heif",
            b"heio",
            b"avio",
            b"tmap",
            b"1pic",
            b"geo1",
            b"pred",
            b"unif",
            b"jpeg",
            b"jpgs",
            b"j2ki",
            b"j2is",
        ),
        *(b"avci", b"avcs", b"vvic", b"vvis", b"evbi", b"evbs", b"MA1A", b"MA1B", b"mpf1"),
    )
)
# major brands of films whose writers may name a still brand too
_FILMS = (
    b"qt  ",
    b"mp4",
    b"M4V",
    b"M4A",
    b"iso",
    b"avc1",
    b"3g",
    b"dash",
    b"f4v",
    b"MSNV",
    b"XAVC",
)
_MATROSKA = b"\x1a\x45\xdf\xa3"
_ATOMS = (b"moov", b"mdat", b"wide", b"skip")  # QuickTime files without a brand
TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
"""By the first bytes of a TIFF and of a BigTIFF: the order of its bytes, as `struct` writes it."""
HEAD_BYTES = 512
"""Of a file, so that its brands can be told."""
_PLAIN = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")


def is_pdf(data: bytes) -> bool:
    """True if `data` is a PDF, which may have bytes of others before its header."""
    if data[:64].removeprefix(b"\xef\xbb\xbf").lstrip(b"\0\t\n\f\r ").startswith(b"%PDF-"):
        return True
    signed = any(data.startswith(magic, at) for at, magic, _ in _SIGNATURES)
    return not signed and _PDF.search(data[:_PDF_JUNK_BYTES]) is not None


def is_picture(head: bytes) -> bool:
    """True if bytes begin like a picture that qvq reads."""
    return bool(format_of(head))


def format_of(data: bytes) -> str:
    """The name of the format; '' where it is none of those that are read."""
    if is_heif(data) or is_avif(data):
        return "HEIC" if is_heif(data) else "AVIF"
    if is_pdf(data):
        return "PDF"
    return next((kind for at, magic, kind in _SIGNATURES if data.startswith(magic, at)), "")


def is_tiff(data: bytes) -> bool:
    """By its first bytes; the two headers that mix up the orders of bytes are PIL's to read."""
    return data[:4] in TIFF_ORDERS


def formats_of(data: bytes) -> tuple[str, ...]:
    """The names under which PIL may try to read `data`, once `readable` has seen it."""
    return (*_PLAIN, "HEIF") if is_heif(data) else _PLAIN


def is_heif(data: bytes) -> bool:
    """True if `data` is HEIC or another HEIF whose pictures are no AV1."""
    return _is_still(data) and not _brands(data) & _AVIF


def is_avif(data: bytes) -> bool:
    """True if `data` is AV1 in a HEIF container, whichever of its brands comes first."""
    return _is_still(data) and bool(_brands(data) & _AVIF)


def is_film(data: bytes) -> bool:
    """True if `data` is an ISO media file, and none of pictures or of a camera's raw data."""
    return bool(_brands(data)) and not _is_still(data) and data[8:12] != b"crx "


def demuxer_of(head: bytes) -> str:
    """FFmpeg's name for the container that begins like this; '' where it is no film."""
    if is_film(head) or head[4:8] in _ATOMS:
        return "mov"
    if head.startswith(_MATROSKA):
        return "matroska"
    return "avi" if head.startswith(b"RIFF") and head[8:12] == b"AVI " else ""


def is_video(head: bytes) -> bool:
    """True if the first bytes of a file are those of MP4, MOV, WebM, Matroska or AVI."""
    return bool(demuxer_of(head))


def readable(source: str, data: bytes) -> bytes:
    """`data` as PIL's plugins take it. Raises ImageUnreadableError where one is missing."""
    if is_heif(data):
        kind, package, able = "a HEIC picture", "pillow-heif", _reads_heif()
    elif is_avif(data):
        kind, package, able = "an AVIF picture", "pillow>=11.3", _reads_avif()
    elif is_tiff(data):
        from qvq_mlx.images.tiff import with_main_picture

        return with_main_picture(data)
    else:
        return data
    if able:
        return _with_known_brand(data)
    raise ImageUnreadableError(
        f"{source}: is {kind}, and {package} is not here to read it",
        RunProgram(("pip", "install", package)),
    )


def _brands(data: bytes) -> frozenset[bytes]:
    """All brands of a file; none for bytes that are no ISO media file."""
    if data[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(data[:4], "big"), HEAD_BYTES, len(data))
    compatible = (data[at : at + 4] for at in range(16, end - 3, 4))
    return frozenset((data[8:12], *compatible))


def _with_known_brand(data: bytes) -> bytes:
    """`data` with a major brand that the plugins know: both look at no other."""
    if is_heif(data):
        known, brand = _HEVC | {b"mif1", b"msf1"}, b"heic"
    else:
        known = _AVIF | {b"mif1", b"msf1"}
        brand = b"avif" if b"avif" in _brands(data) else b"avis"
    return data if data[8:12] in known else data[:8] + brand + data[12:]


def _is_still(data: bytes) -> bool:
    stills = _HEVC | _AVIF | _STILL
    if data[8:12] in stills and data[4:8] == b"ftyp":
        return True
    return not data[8:12].startswith(_FILMS) and bool(_brands(data) & stills)


def _reads_heif() -> bool:
    """Make PIL able to, once."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener(thumbnails=False)
    return True


def _reads_avif() -> bool:
    from PIL import features

    return bool(features.check("avif"))
