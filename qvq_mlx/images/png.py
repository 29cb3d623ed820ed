"""What PIL leaves out of a PNG: 16 bits of colour, one transparent value of a deep or a shallow
picture, and colours that are stated without a profile.

PIL keeps the high byte of 16 bits. It is asked a second time for the low one, by calling the bytes
the other way round.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from qvq_mlx.images.light import Light, ToSrgb

MAX_DEEP_PIXELS = 2**25
"""Of a picture whose 16 bits are kept: its samples lie in memory several times."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _COLOURS, _GRAY_ALPHA, _COLOURS_ALPHA = 0, 2, 4, 6
_CHUNKS = 100


def completed(image: Image, data: bytes) -> Image:
    """`image`, loaded from `data`, with what is missing in it."""
    depth, kind = data[24], data[25]
    clear = image.info.get("transparency")
    if kind == _GRAY and depth < 8 and isinstance(clear, int) and image.mode == "L":
        top = (1 << depth) - 1
        image.info["transparency"] = (clear & top) * 255 // top
    has_profile = bool(image.info.get("icc_profile"))
    light = None if has_profile else _light(image, data)
    is_deep = depth == 16 and (kind != _GRAY or clear is not None or light is not None)
    is_alone = getattr(image, "n_frames", 1) == 1
    if not (light or (is_deep and is_alone)) or image.width * image.height > MAX_DEEP_PIXELS:
        return image
    change = None
    if light:
        from qvq_mlx.images.light import to_srgb_of

        change = to_srgb_of(light)
    made = _deep(data, kind, clear, change) if is_deep and is_alone else _changed(image, change)
    if has_profile:
        made.info["icc_profile"] = image.info["icc_profile"]
    made.getexif().update(image.getexif())
    return made


def is_hdr(data: bytes) -> bool:
    """True if a PNG says that it is PQ or HLG."""
    light = _cicp(data)
    return light is not None and light.is_hdr


def _light(image: Image, data: bytes) -> Light | None:
    if _chunk(data, b"cICP"):
        return _cicp(data)
    if "srgb" in image.info:
        return None
    gamma, points = image.info.get("gamma"), image.info.get("chromaticity")
    from qvq_mlx.images.light import of_png

    return of_png(
        gamma if isinstance(gamma, float) else None, points if isinstance(points, tuple) else None
    )


def _cicp(data: bytes) -> Light | None:
    stated = _chunk(data, b"cICP")
    from qvq_mlx.images.light import of_cicp

    return of_cicp(stated[0], stated[1]) if len(stated) == 4 else None


def _chunk(data: bytes, name: bytes) -> bytes:
    """The content of a chunk before the pixels; b'' where there is none."""
    at = len(_SIGNATURE)
    for _ in range(_CHUNKS):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == name:
            return data[at + 8 : at + 8 + length]
        if kind in (b"IDAT", b"IEND", b""):
            break
        at += 12 + length
    return b""


def _deep(data: bytes, kind: int, clear: object, change: ToSrgb | None) -> Image:
    import numpy as np

    values: NDArray[np.generic]
    if kind == _GRAY:
        values = _bands(data, "I;16B").astype(np.uint16)[..., None]
    elif kind == _GRAY_ALPHA:
        four = _bands(data, "RGBA").astype(np.uint16)
        values = four[..., ::2] << 8 | four[..., 1::2]
    else:
        name = "RGB" if kind == _COLOURS else "RGBA"
        high, low = _bands(data, f"{name};16B"), _bands(data, f"{name};16L")
        values = high.astype(np.uint16) << 8 | low.astype(np.uint16)
    if clear is not None and kind in (_GRAY, _COLOURS):
        is_clear = (values == np.array(clear, np.uint16)).all(axis=-1, keepdims=True)
        values = np.concatenate([values, np.where(is_clear, 0, 65535).astype(np.uint16)], axis=-1)
    return _made(values, 16, change)


def _bands(data: bytes, rawmode: str) -> NDArray[np.generic]:
    """The pixels, unpacked as if they were `rawmode`."""
    import numpy as np
    from PIL import Image

    with Image.open(BytesIO(data), formats=("PNG",)) as image:
        image.tile = [image.tile[0]._replace(args=rawmode)]
        return np.asarray(image)


def _changed(image: Image, change: ToSrgb | None) -> Image:
    import numpy as np

    if image.mode == "I;16":
        return _made(np.asarray(image)[..., None], 16, change)
    is_gray = image.mode in ("1", "L", "LA")
    name = "L" if is_gray else "RGB"
    values = np.asarray(image.convert(name + "A" if image.has_transparency_data else name))
    return _made(values if values.ndim == 3 else values[..., None], 8, change)


def _made(values: NDArray[np.generic], bits: int, change: ToSrgb | None) -> Image:
    count = values.shape[-1]
    alpha = count - 1 if count in (2, 4) else None
    from qvq_mlx.images.samples import Meaning, eight_bits

    return eight_bits(values, bits, Meaning("L" if count < 3 else "RGB", alpha=alpha), change)
