"""The samples of a TIFF that PIL misreads, refuses or cuts to 8 bits.

PIL is left with what it reads right: 8 bits per sample side by side, and one gray sample of a usual
size. Here: planes, 9 to 64 bits, floats, predictors, Lab and alpha beside either, colour maps of 8
bits, samples beside gray, bits that are told backwards, and YCbCr that is no JPEG. libtiff, through
PIL, still decompresses: each strip or tile is handed to it as a gray picture of bytes, and NumPy
gives the bytes their meaning.

Sources: TIFF 6.0; its technical notes 1 (trees) and 3 (floats of 16 and 24 bits, predictor 3).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from qvq_mlx.images.diagnosis import UnsupportedError
from qvq_mlx.images.tiff import Directory, Tag

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NONE, _DEFLATE, _PACKBITS, _WEBP = 1, (8, 32946), 32773, 50001
_LIBTIFF = {5: "LZW", _PACKBITS: "PackBits", 34925: "LZMA", 50000: "Zstandard"}
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
_DIFFERENCES, _FLOAT_DIFFERENCES = 2, 3
_GRAYS, _RGB, _PALETTE, _CMYK, _YCC, _LABS = (0, 1), 2, 3, 5, 6, (8, 9)
_MAX_BYTES = 448 * 2**20
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class Layout:
    """How the samples of a page lie in the file."""

    width_px: int
    height_px: int
    samples: int
    bits: int
    kind: int
    photometric: int
    compression: int
    predictor: int
    planar: bool
    order: str
    across: int = 1
    down: int = 1
    """Pixels that share one pair of colour differences, of YCbCr."""

    @property
    def together(self) -> int:
        """Count the samples side by side."""
        return 1 if self.planar else self.samples


def layout_of(page: Directory) -> Layout:
    """Raises UnsupportedError where the samples are not all alike, ValueError where none are."""
    samples = page.value(Tag.SAMPLES, len(page.values(Tag.BITS)) or 1)
    bits, kinds = set(page.values(Tag.BITS) or (1,)), set(page.values(Tag.SAMPLE_FORMAT) or (1,))
    if len(bits) > 1 or len(kinds) > 1:
        raise UnsupportedError("samples of several sizes or kinds")
    # a page has to state it; where one does not, libtiff takes what its samples suggest
    photometric = page.value(Tag.PHOTOMETRIC, _RGB if samples >= 3 else _GRAYS[1])
    # whole numbers, if nobody says otherwise
    kind = {_UNDEFINED: _UNSIGNED}.get(kind := kinds.pop(), kind)
    shared = (page.values(Tag.YCC_SHARED) or (2, 2))[:2] if photometric == _YCC else (1, 1)
    layout = Layout(
        page.value(Tag.WIDTH, 0),
        page.value(Tag.HEIGHT, 0),
        samples,
        bits.pop(),
        kind,
        photometric,
        page.value(Tag.COMPRESSION, _NONE),
        page.value(Tag.PREDICTOR, 1),
        page.value(Tag.PLANAR, 1) == 2 and samples > 1,
        page.order,
        *shared,
    )
    if min(layout.width_px, layout.height_px, samples, layout.bits) < 1 or samples > 64:
        raise ValueError("a page without pixels")
    return layout


def is_known(page: Directory) -> bool:
    """True if this module reads the layout."""
    try:
        layout = layout_of(page)
    except (UnsupportedError, ValueError):
        return False
    known = (_NONE, *_DEFLATE, *_LIBTIFF, _WEBP)
    if layout.compression not in known or layout.photometric not in (*_GRAYS, 2, 3, 5, 6, 8, 9):
        return False
    if layout.photometric == _YCC and layout.compression == _WEBP:
        return False
    return layout.photometric not in (_PALETTE, _YCC) or layout.kind == _UNSIGNED


def is_ours(page: Directory) -> bool:
    """True if PIL is not to be trusted with the layout, and this module reads it."""
    if not is_known(page):
        return False
    layout = layout_of(page)
    if layout.photometric == _YCC:  # PIL takes it for pixels side by side
        return True
    if page.value(Tag.FILL_ORDER, 1) == 2 or page.value(Tag.SAMPLE_FORMAT, 1) == _UNDEFINED:
        return True
    if not page.values(Tag.PHOTOMETRIC):  # PIL makes a negative of it
        return True
    if layout.compression == _WEBP:  # libtiff has it as an option, which PIL's is built without
        return True
    if page.order == ">" and page.big:  # PIL takes its head for that of a small one
        return True
    if layout.photometric == _PALETTE:
        usual = layout.samples == 1 and not layout.planar and layout.bits in (1, 2, 4, 8)
        return not usual or 0 < max(page.values(Tag.COLOUR_MAP), default=0) < 256
    if page.value(Tag.PLANAR, 1) == 2 or layout.predictor == _FLOAT_DIFFERENCES:
        return True
    if layout.samples == 1:
        usual_bits = (1, 2, 4, 8, 16) if layout.photometric else (1, 2, 4, 8)
        return layout.kind != _UNSIGNED or layout.bits not in usual_bits
    if layout.photometric in _GRAYS or layout.samples > 4:
        return True
    if layout.photometric in _LABS and layout.samples > 3:
        return True
    return layout.bits != 8 or layout.kind != _UNSIGNED or layout.photometric == 9


def samples_of(data: bytes, page: Directory) -> NDArray[np.generic]:
    """(height, width, samples) of a page, in the numbers of the file.

    Raises UnsupportedError, ValueError where the file is too short, and whatever a decompressor
    stumbles over.
    """
    import numpy as np

    layout = layout_of(page)
    _check(layout)
    shape = layout.height_px, layout.width_px, layout.samples
    whole = np.zeros(shape, _dtype(layout).newbyteorder("="))
    if whole.nbytes > _MAX_BYTES:
        raise UnsupportedError(f"{whole.nbytes / 2**20:,.0f} MiB of samples")
    for piece in _pieces(page, layout):
        packed = data[piece.at : piece.at + piece.bytes]
        if page.value(Tag.FILL_ORDER, 1) == 2:
            packed = packed.translate(_REVERSED)
        raw = _unpacked(packed, piece, layout)
        block = _numbers(raw, piece, layout)
        height = min(piece.height_px, layout.height_px - piece.top)
        width = min(piece.width_px, layout.width_px - piece.left)
        rows, columns = slice(piece.top, piece.top + height), slice(piece.left, piece.left + width)
        bands = slice(piece.plane, piece.plane + 1) if layout.planar else slice(None)
        whole[rows, columns, bands] = block[:height, :width]
    return whole


@dataclass(frozen=True, slots=True)
class _Piece:
    """A strip or a tile, and where its pixels belong."""

    at: int
    bytes: int
    top: int
    left: int
    plane: int
    width_px: int
    height_px: int

    def row_bytes(self, layout: Layout) -> int:
        return -(-self.width_px * layout.together * layout.bits // 8)

    def whole_bytes(self, layout: Layout) -> int:
        if not (layout.across == layout.down == 1):
            from qvq_mlx.images.tiff_ycc import block_bytes

            return block_bytes(self.width_px, self.height_px, layout)
        return self.row_bytes(layout) * self.height_px


def _check(layout: Layout) -> None:
    if layout.compression not in (_NONE, *_DEFLATE, *_LIBTIFF, _WEBP):
        raise UnsupportedError(f"compression {layout.compression} of these samples")
    if layout.compression == _WEBP and (layout.bits != 8 or layout.together not in (3, 4)):
        raise UnsupportedError(f"WebP of {layout.together} samples of {layout.bits} bits")
    sizes = {_UNSIGNED: range(1, 33), _SIGNED: (8, 16, 32), _FLOAT: (16, 24, 32, 64)}
    if layout.bits not in sizes.get(layout.kind, ()):
        raise UnsupportedError(f"samples of {layout.bits} bits, kind {layout.kind}")
    if layout.photometric == _YCC:
        from qvq_mlx.images import tiff_ycc

        tiff_ycc.check(layout)
    whole_bytes = layout.bits in (8, 16, 32, 64)
    if layout.predictor == _DIFFERENCES and not whole_bytes:
        raise UnsupportedError(f"differences of samples of {layout.bits} bits")
    if layout.predictor == _FLOAT_DIFFERENCES and layout.kind != _FLOAT:
        raise UnsupportedError("a predictor for floats, of whole numbers")


def _pieces(page: Directory, layout: Layout) -> Iterator[_Piece]:
    tiled = bool(page.values(Tag.TILE_OFFSETS))
    if tiled:
        width, height = page.value(Tag.TILE_WIDTH, 0), page.value(Tag.TILE_HEIGHT, 0)
        offsets, sizes = page.values(Tag.TILE_OFFSETS), page.values(Tag.TILE_BYTES)
    else:
        width = layout.width_px
        stated = page.value(Tag.ROWS_PER_STRIP, 0) or layout.height_px
        height = min(stated, layout.height_px)
        offsets, sizes = page.values(Tag.STRIP_OFFSETS), page.values(Tag.STRIP_BYTES)
    if min(width, height) < 1 or width * height > 4 * 2**27:
        raise ValueError("strips or tiles without pixels")
    across, down = -(-layout.width_px // width), -(-layout.height_px // height)
    planes = layout.samples if layout.planar else 1
    if len(offsets) < across * down * planes:
        raise ValueError("there are fewer strips than the page has")
    for number in range(across * down * planes):
        plane, place = divmod(number, across * down)
        top, left = place // across * height, place % across * width
        rows = height if tiled else min(height, layout.height_px - top)
        piece = _Piece(offsets[number], 0, top, left, plane, width, rows)
        size = sizes[number] if number < len(sizes) else 0
        if not size and layout.compression == _NONE:
            size = piece.whole_bytes(layout)
        yield _Piece(offsets[number], size, top, left, plane, width, rows)


def _unpacked(packed: bytes, piece: _Piece, layout: Layout) -> bytes:
    """The bytes of a piece as they were before their compression, as many as it must have."""
    wanted = piece.whole_bytes(layout)
    if layout.compression == _NONE:
        raw = packed
    elif layout.compression in _DEFLATE:
        raw = zlib.decompressobj().decompress(packed, wanted)
    elif layout.compression == _WEBP:
        raw = _by_libwebp(packed, piece, layout.together)
    else:
        width, height = piece.row_bytes(layout), piece.height_px
        if wanted != width * height:  # blocks of pixels have no rows
            width, height = wanted, 1
        raw = _by_libtiff(packed, width, height, layout.compression)
    if len(raw) < wanted:
        raise ValueError(f"a strip has {len(raw):,} of {wanted:,} bytes")
    return raw[:wanted]


def _by_libtiff(packed: bytes, width: int, height: int, compression: int) -> bytes:
    """Decompressed as the one strip of a gray picture of `width` bytes in `height` rows."""
    from PIL import Image

    tags = [
        *((256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, compression), (262, 3, 1)),
        *((273, 4, 8 + 2 + 9 * 12 + 4), (277, 3, 1), (278, 4, height), (279, 4, len(packed))),
    ]
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    with Image.open(BytesIO(head + entries + bytes(4) + packed), formats=("TIFF",)) as image:
        return image.tobytes()


def _by_libwebp(packed: bytes, piece: _Piece, samples: int) -> bytes:
    """A strip or tile that is a WebP file of its own. Raises ValueError where its size differs."""
    from PIL import Image

    with Image.open(BytesIO(packed), formats=("WEBP",)) as image:
        if image.width != piece.width_px or image.height < piece.height_px:
            raise ValueError(f"a strip is {image.width}×{image.height} pixels large")
        return image.convert("RGB" if samples == 3 else "RGBA").tobytes()


def _dtype(layout: Layout) -> np.dtype[np.generic]:
    """What a sample is once it is unpacked; a float of 24 bits has none of its own."""
    import numpy as np

    if layout.kind == _FLOAT:
        letter, size = "f", 4 if layout.bits == 24 else layout.bits // 8
    else:
        letter = "i" if layout.kind == _SIGNED else "u"
        size = next(size for size in (1, 2, 4) if layout.bits <= 8 * size)
    return np.dtype(f"{layout.order}{letter}{size}")


def _numbers(raw: bytes, piece: _Piece, layout: Layout) -> NDArray[np.generic]:
    """(rows, columns, samples side by side) of a piece."""
    import numpy as np

    together = layout.together
    shape = piece.height_px, piece.width_px, together
    dtype = _dtype(layout)
    if not (layout.across == layout.down == 1):
        from qvq_mlx.images.tiff_ycc import pixels_of

        return pixels_of(raw, piece.width_px, piece.height_px, layout)
    if layout.predictor == _FLOAT_DIFFERENCES:
        size = layout.bits // 8
        rows = np.frombuffer(raw, np.uint8).reshape(piece.height_px, -1, together)
        summed = np.cumsum(rows, axis=1, dtype=np.uint8)  # byte after byte, each band by itself
        planes = summed.reshape(piece.height_px, size, -1)  # the highest bytes of all come first
        big = np.ascontiguousarray(planes.transpose(0, 2, 1))
        if layout.bits == 24:
            return _float24(big).reshape(shape)
        return big.view(np.dtype(f">f{size}")).reshape(shape)
    if layout.bits == 24:
        bytes_ = np.frombuffer(raw, np.uint8).reshape(piece.height_px, -1, 3)
        big = bytes_ if layout.order == ">" else bytes_[..., ::-1]
        return (_float24(big) if layout.kind == _FLOAT else _whole24(big)).reshape(shape)
    if layout.bits in (8, 16, 32, 64):
        values = np.frombuffer(raw, dtype).reshape(shape)
        if layout.predictor == _DIFFERENCES:
            # of floats, it is their bits that were subtracted
            whole = np.dtype(f"{layout.order}u{layout.bits // 8}")
            native = whole.newbyteorder("=")
            summed = np.cumsum(values.view(whole).astype(native), axis=1, dtype=native)
            return summed.view(dtype.newbyteorder("="))
        return values
    return _bits(raw, piece, layout).reshape(shape)


def _whole24(big: NDArray[np.uint8]) -> NDArray[np.generic]:
    import numpy as np

    wide = big.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _float24(big: NDArray[np.uint8]) -> NDArray[np.generic]:
    """A sign, 7 bits of exponent (bias 63) and 16 of fraction."""
    import numpy as np

    bits = _whole24(big).astype(np.int64)
    exponent, fraction = bits >> 16 & 0x7F, bits & 0xFFFF
    sign = np.where(bits >> 23, -1.0, 1.0)
    normal = np.ldexp(1 + fraction / 65536, exponent - 63)
    value = np.where(exponent == 0, np.ldexp(fraction / 65536, -62), normal)
    return (sign * np.where(exponent == 127, np.nan, value)).astype(np.float32)


def _bits(raw: bytes, piece: _Piece, layout: Layout) -> NDArray[np.generic]:
    """Samples that share bytes: the highest bit comes first, and a row begins with a new byte."""
    import numpy as np

    rows = np.frombuffer(raw, np.uint8).reshape(piece.height_px, -1)
    count = piece.width_px * layout.together
    weights = 1 << np.arange(layout.bits - 1, -1, -1, dtype=np.uint32)
    out = np.empty((piece.height_px, count), np.uint32)
    for number, row in enumerate(rows):  # one at a time: a bit takes a byte meanwhile
        bits = np.unpackbits(row)[: count * layout.bits].reshape(count, layout.bits)
        out[number] = bits @ weights
    return out
