"""HEIC and AVIF: told by their bytes, and made readable by a plugin of PIL's or by macOS's `sips`.

pillow-heif reads HEIC; AVIF is PIL's own since 11.3. Where either is missing, `sips` makes a PNG
of it, and where that is missing too, an error says what to install.
"""

from __future__ import annotations

from qvq_mlx.core.errors import ImageUnreadableError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.images import mac
from qvq_mlx.system.programs import found

_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")
_PLAIN = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")


def formats_of(data: bytes) -> tuple[str, ...]:
    """The names under which PIL may try to read `data`, once `readable` has seen it."""
    return (*_PLAIN, "HEIF") if is_heif(data) else _PLAIN


def is_heif(data: bytes) -> bool:
    """HEIC or another HEIF whose pictures are no AV1; ISO/IEC 23008-12, annex B."""
    brands = _brands(data)
    return brands[:1] in [(brand,) for brand in _HEIF] and not set(brands) & set(_AVIF)


def is_avif(data: bytes) -> bool:
    """AV1 in a HEIF container, whichever of its brands comes first."""
    brands = _brands(data)
    return bool(set(brands) & set(_AVIF)) and brands[0] in (*_AVIF, *_HEIF)


def readable(source: str, data: bytes, path: str | None, max_bytes: int) -> bytes:
    """`data`, or a PNG of it where PIL cannot read it here. `path` is that of `programs.found`.

    Raises ImageUnreadableError.
    """
    if is_heif(data):
        kind, package, able = "a HEIC picture", "pillow-heif", _reads_heif()
    elif is_avif(data):
        kind, package, able = "an AVIF picture", "pillow>=11.3", _reads_avif()
    else:
        return data
    if able:
        return data
    if tool := found("sips", path):
        if png := mac.as_png(tool, data, max_bytes):
            return png
        raise ImageUnreadableError(f"{source}: is {kind}, and sips cannot read it")
    raise ImageUnreadableError(
        f"{source}: is {kind}, and neither {package} nor sips is here to read it",
        RunProgram(("pip", "install", package)),
    )


def _brands(data: bytes) -> tuple[bytes, ...]:
    """The major brand and the compatible ones; () for bytes that are no ISO media file."""
    if data[4:8] != b"ftyp":
        return ()
    end = min(int.from_bytes(data[:4], "big"), 512, len(data))
    return (data[8:12], *(data[at : at + 4] for at in range(16, end, 4)))


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
