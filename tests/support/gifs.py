"""GIFs written byte by byte, and what is seen of them by the rules of GIF89a and of browsers.

Nothing here reads a GIF: the canvas is drawn from the numbers that were written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Colours = NDArray[np.uint8]
"""Red, green and blue of each number: (4 or 8 or 16 ..., 3)."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A frame: where it stands, its numbers, and its control."""

    left: int
    top: int
    numbers: NDArray[np.int_]
    disposal: int = 0
    clear: int | None = None
    own: Colours | None = None
    interlaced: bool = False


def gif(width: int, height: int, table: Colours, frames: Sequence[Drawn], ground: int = 0) -> bytes:
    """The file. `ground`: the number of the background colour."""
    data = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80 | _depth(table), ground, 0)
    data += table.tobytes()
    for frame in frames:
        flags = frame.disposal << 2 | (frame.clear is not None)
        data += b"!\xf9\x04" + bytes((flags, 0, 0, frame.clear or 0, 0))
        rows, columns = frame.numbers.shape
        packed = 0x40 * frame.interlaced
        colours = table if frame.own is None else frame.own
        if frame.own is not None:
            packed |= 0x80 | _depth(frame.own)
        data += b"," + struct.pack("<4HB", frame.left, frame.top, columns, rows, packed)
        data += b"" if frame.own is None else frame.own.tobytes()
        order: list[int] = list(range(rows))
        if frame.interlaced:
            passes = ((0, 8), (4, 8), (2, 4), (1, 2))
            order = [row for begin, step in passes for row in range(begin, rows, step)]
        data += _codes(frame.numbers[order].ravel().tolist(), max(2, _depth(colours) + 1))
    return data + b";"


def seen(width: int, height: int, table: Colours, frames: Iterable[Drawn]) -> list[Colours]:
    """What stands on white when each frame has been drawn."""
    canvas = np.zeros((height, width, 4), np.uint8)
    shown = []
    for frame in frames:
        before = canvas.copy()
        colours = table if frame.own is None else frame.own
        for row, line in enumerate(frame.numbers.tolist()):
            for column, number in enumerate(line):
                y, x = frame.top + row, frame.left + column
                if number != frame.clear and y < height and x < width:
                    canvas[y, x] = (*colours[number], 255)
        shown.append(np.where(canvas[..., 3:] > 0, canvas[..., :3], 255).astype(np.uint8))
        if frame.disposal == 2:
            bottom, right = np.add((frame.top, frame.left), frame.numbers.shape)
            canvas[frame.top : bottom, frame.left : right] = 0
        elif frame.disposal in (3, 4):
            canvas = before
    return shown


def _depth(table: Colours) -> int:
    return max(0, (len(table) - 1).bit_length() - 1)


def _codes(numbers: Sequence[int], depth: int) -> bytes:
    """Codes of one width: the table is cleared before it would need a wider one."""
    clear, width = 1 << depth, depth + 1
    codes = [clear]
    for at, number in enumerate(numbers):
        if at and at % (clear - 2) == 0:
            codes.append(clear)
        codes.append(number)
    codes.append(clear + 1)
    packed = sum(code << width * at for at, code in enumerate(codes))
    body = packed.to_bytes(-(-width * len(codes) // 8), "little")
    blocks = [body[at : at + 255] for at in range(0, len(body), 255)]
    return bytes((depth,)) + b"".join(bytes((len(one),)) + one for one in blocks) + b"\0"
