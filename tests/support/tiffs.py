"""TIFFs of any layout, written by hand from arrays of numbers."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image


def written(
    values: np.ndarray,
    bits: int,
    *,
    kind: int = 1,
    photometric: int | None = None,
    order: str = "<",
    planar: bool = False,
    compression: int = 1,
    predictor: int = 1,
    tile: tuple[int, int] | None = None,
    rows: int = 16,
    extra: Sequence[int] = (),
    colour_map: Sequence[int] = (),
    orientation: int = 1,
    fill_order: int = 1,
    big: bool = False,
    bits_said: Sequence[int] = (),
) -> bytes:
    """One page of `values` (height, width, samples). `order` is < or >, `kind` SampleFormat."""
    height, width, samples = values.shape
    if photometric is None:
        photometric = 2 if samples >= 3 else 1
    across, down = tile or (width, rows)
    planes = [values[..., n : n + 1] for n in range(samples)] if planar else [values]
    pieces = []
    for plane in planes:
        for top in range(0, height, down):
            for left in range(0, width, across):
                part = plane[top : top + down, left : left + across]
                if tile:
                    lack = (down - part.shape[0], across - part.shape[1])
                    part = np.pad(part, ((0, lack[0]), (0, lack[1]), (0, 0)))
                raw = _bytes(part, bits, kind, order, predictor)
                shape = part.shape if compression == 50001 else ()
                raw = _packed(raw, compression, len(raw) // part.shape[0], shape)
                pieces.append(
                    bytes(int(f"{b:08b}"[::-1], 2) for b in raw) if fill_order == 2 else raw
                )
    tags: dict[int, tuple[str, Sequence[int]]] = {
        256: ("I", (width,)),
        257: ("I", (height,)),
        258: ("H", bits_said or (bits,) * samples),
        259: ("H", (compression,)),
        262: ("H", (photometric,)),
        266: ("H", (fill_order,)),
        274: ("H", (orientation,)),
        277: ("H", (samples,)),
        284: ("H", (2 if planar else 1,)),
        317: ("H", (predictor,)),
        339: ("H", (kind,) * samples),
    }
    if extra:
        tags[338] = ("H", extra)
    if colour_map:
        tags[320] = ("H", colour_map)
    sizes = [len(piece) for piece in pieces]
    begin = 16 if big else 8
    offsets = [begin + sum(sizes[:n]) for n in range(len(sizes))]
    if tile:
        tags |= {322: ("I", (across,)), 323: ("I", (down,))}
        tags |= {324: ("I", offsets), 325: ("I", sizes)}
    else:
        tags |= {273: ("I", offsets), 278: ("I", (down,)), 279: ("I", sizes)}
    return _file(tags, b"".join(pieces), order, begin, big)


def ycc_written(
    values: np.ndarray,
    across: int,
    down: int,
    *,
    order: str = "<",
    compression: int = 1,
    tile: int = 0,
    said: bool = True,
    stated: Sequence[tuple[int, Sequence[int]]] = (),
) -> bytes:
    """One page of Y, Cb and Cr (height, width, 3) in blocks of `across` x `down` pixels, which have
    the differences of their first pixel. `stated`: tags of fractions, as pairs of whole numbers.
    """
    height, width, _ = values.shape
    high, wide = (tile, tile) if tile else (8, width)
    pieces = []
    for top in range(0, height, high):
        for left in range(0, width, wide):
            part = values[top : top + high, left : left + wide]
            rows = tile or part.shape[0] + -part.shape[0] % down
            columns = tile or part.shape[1] + -part.shape[1] % across
            lack = (rows - part.shape[0], columns - part.shape[1])
            part = np.pad(part, ((0, lack[0]), (0, lack[1]), (0, 0)))
            raw = b""
            for y in range(0, rows, down):
                for x in range(0, columns, across):
                    block = part[y : y + down, x : x + across]
                    raw += bytes(block[..., 0].ravel().tolist()) + bytes(block[0, 0, 1:].tolist())
            pieces.append(_packed(raw, compression, len(raw), ()))
    sizes = [len(piece) for piece in pieces]
    offsets = [8 + sum(sizes[:n]) for n in range(len(sizes))]
    tags: dict[int, tuple[str, Sequence[int]]] = {
        256: ("I", (width,)),
        257: ("I", (height,)),
        258: ("H", (8, 8, 8)),
        259: ("H", (compression,)),
        262: ("H", (6,)),
        277: ("H", (3,)),
    }
    if said:
        tags[530] = ("H", (across, down))
    tags |= {tag: ("R", pairs) for tag, pairs in stated}
    if tile:
        tags |= {322: ("I", (tile,)), 323: ("I", (tile,)), 324: ("I", offsets), 325: ("I", sizes)}
    else:
        tags |= {273: ("I", offsets), 278: ("I", (high,)), 279: ("I", sizes)}
    return _file(tags, b"".join(pieces), order, 8, False)


def _file(
    tags: dict[int, tuple[str, Sequence[int]]], body: bytes, order: str, begin: int, big: bool
) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    entry, inline = ("HHQ", 8) if big else ("HHI", 4)
    at = begin + len(body) + len(body) % 2
    directory = struct.pack(order + ("Q" if big else "H"), len(tags))
    beside_at = at + len(directory) + len(tags) * (struct.calcsize(order + entry) + inline) + inline
    beside = b""
    for tag, (letter, numbers) in sorted(tags.items()):
        kind, count = {"H": 3, "I": 4, "R": 5}[letter], len(numbers)
        packed = struct.pack(f"{order}{count}{'H' if letter == 'H' else 'I'}", *numbers)
        directory += struct.pack(order + entry, tag, kind, count // 2 if kind == 5 else count)
        if len(packed) <= inline:
            directory += packed.ljust(inline, b"\0")
        else:
            directory += struct.pack(order + ("Q" if big else "I"), beside_at + len(beside))
            beside += packed + bytes(len(packed) % 2)
    directory += bytes(inline)
    if big:
        head = mark + struct.pack(order + "HHHQ", 43, 8, 0, at)
    else:
        head = mark + struct.pack(order + "HI", 42, at)
    return head + body + bytes(len(body) % 2) + directory + beside


def _bytes(part: np.ndarray, bits: int, kind: int, order: str, predictor: int) -> bytes:
    rows, columns, bands = part.shape
    if predictor == 2 and kind == 3:  # what is subtracted is the numbers that their bits make
        part, kind = part.astype(f"f{bits // 8}").view(f"u{bits // 8}"), 1
    if predictor == 2:
        part = part.astype(np.int64) if bits < 64 else part
        part[:, 1:] = part[:, 1:] - part[:, :-1]
        part = (part % 2**bits).astype(np.uint64) if bits < 64 else part
    if kind == 3:
        floats = _float24(part) if bits == 24 else part.astype(f">f{bits // 8}").tobytes()
        size = bits // 8
        big = np.frombuffer(floats, np.uint8).reshape(rows, columns * bands, size)
        if predictor != 3:
            return (big if order == ">" else big[..., ::-1]).tobytes()
        planes = big.transpose(0, 2, 1).reshape(rows, -1, bands).astype(np.int16)
        planes[:, 1:] = planes[:, 1:] - planes[:, :-1]
        return (planes % 256).astype(np.uint8).tobytes()
    if bits == 24:
        big = np.frombuffer(part.astype(">u4").tobytes(), np.uint8).reshape(-1, 4)[:, 1:]
        return (big if order == ">" else big[:, ::-1]).tobytes()
    if bits in (8, 16, 32, 64):
        return part.astype(f"{order}u{bits // 8}").tobytes()
    out = b""
    for row in part.reshape(rows, -1):
        text = "".join(f"{int(value):0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        out += int(text, 2).to_bytes(len(text) // 8, "big")
    return out


def _float24(part: np.ndarray) -> bytes:
    out = b""
    for value in part.ravel():
        fraction, exponent = np.frexp(value)  # value = fraction * 2**exponent, 0.5 <= fraction < 1
        whole = (
            0 if value == 0 else (int(exponent) - 1 + 63) << 16 | round((fraction * 2 - 1) * 65536)
        )
        out += whole.to_bytes(3, "big")
    return out


def _packed(raw: bytes, compression: int, row_bytes: int, shape: tuple[int, ...]) -> bytes:
    match compression:
        case 50001:  # a WebP file for each strip or tile, by libtiff's convention
            out = io.BytesIO()
            pixels = np.frombuffer(raw, np.uint8).reshape(shape)
            Image.fromarray(pixels).save(out, "WEBP", lossless=True, exact=True)
            return out.getvalue()
        case 8:
            return zlib.compress(raw)
        case 5:
            return _lzw(raw)
        case 32773:  # each row by itself, as literal runs
            rows = [raw[at : at + row_bytes] for at in range(0, len(raw), row_bytes)]
            runs = [row[at : at + 128] for row in rows for at in range(0, len(row), 128)]
            return b"".join(bytes([len(run) - 1]) + run for run in runs)
        case _:
            return raw


def _lzw(raw: bytes) -> bytes:
    """Literal codes of 9 bits, with a clear code before the table would need a tenth."""
    bits = "100000000"
    for number, byte in enumerate(raw, 1):
        bits += f"{byte:09b}"
        if number % 250 == 0:
            bits += "100000000"
    bits += "100000001"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
