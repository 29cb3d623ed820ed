"""Frames of an animated PNG, written byte by byte, against a canvas that is drawn by the rules."""

from __future__ import annotations

import random
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import pytest

from qvq_mlx.core.errors import ImageUnreadableError
from tests.images.test_gif import read
from tests.support.seeds import dice, wanted

KEEP, CLEAR, PUT_BACK = range(3)
WIDTH, HEIGHT = 9, 7


@dataclass(frozen=True, slots=True)
class Drawn:
    """A frame of red, green, blue and perhaps alpha, and where it stands."""

    pixels: np.ndarray
    left: int = 0
    top: int = 0
    disposal: int = KEEP
    over: bool = False


def chunk(name: bytes, content: bytes) -> bytes:
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def samples(pixels: np.ndarray) -> bytes:
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))


def apng(frames: list[Drawn], before: np.ndarray | None = None) -> bytes:
    """The file. `before`: a picture that is no part of the animation."""
    height, width, bands = frames[0].pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 6 if bands == 4 else 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    data += chunk(b"acTL", struct.pack(">II", len(frames), 0))
    data += b"" if before is None else chunk(b"IDAT", samples(before))
    count = 0
    for number, frame in enumerate(frames):
        rows, columns, _ = frame.pixels.shape
        place = (columns, rows, frame.left, frame.top)
        control = struct.pack(">5I2H2B", count, *place, 1, 10, frame.disposal, frame.over)
        data += chunk(b"fcTL", control)
        count += 1
        if number or before is not None:
            data += chunk(b"fdAT", struct.pack(">I", count) + samples(frame.pixels))
            count += 1
        else:
            data += chunk(b"IDAT", samples(frame.pixels))
    return data + chunk(b"IEND", b"")


def seen(frames: list[Drawn]) -> list[np.ndarray]:
    """What stands on white when each frame has been drawn."""
    canvas = np.zeros((*frames[0].pixels.shape[:2], 4))
    shown = []
    for number, frame in enumerate(frames):
        rows, columns, bands = frame.pixels.shape
        before = canvas.copy()
        place = canvas[frame.top : frame.top + rows, frame.left : frame.left + columns]
        new = np.full((rows, columns, 4), 255.0)
        new[..., :bands] = frame.pixels
        if frame.over:
            alpha, under = new[..., 3:] / 255, place[..., 3:] / 255
            whole = alpha + under * (1 - alpha)
            mixed = new[..., :3] * alpha + place[..., :3] * under * (1 - alpha)
            new[..., :3] = np.divide(mixed, whole, out=np.zeros_like(mixed), where=whole > 0)
            new[..., 3:] = whole * 255
        place[:] = new
        alpha = canvas[..., 3:] / 255
        shown.append(canvas[..., :3] * alpha + 255 * (1 - alpha))
        if frame.disposal == PUT_BACK and number:
            canvas = before
        elif frame.disposal != KEEP:
            place[:] = 0
    return shown


def check(frames: list[Drawn], before: np.ndarray | None = None) -> None:
    data = apng(frames, before)
    for page, expected in enumerate(seen(frames), 1 + (before is not None)):
        assert np.abs(read(data, page) - expected).max() <= 3, page


def filled(*colour: int, rows: int = HEIGHT, columns: int = WIDTH) -> np.ndarray:
    return np.full((rows, columns, len(colour)), colour, np.uint8)


@pytest.mark.parametrize("disposal", [KEEP, CLEAR, PUT_BACK])
@pytest.mark.parametrize("has_other", [False, True])
def test_what_a_frame_leaves_behind(disposal: int, has_other: bool) -> None:
    frames = [
        Drawn(filled(200, 0, 0)),
        Drawn(filled(0, 200, 0, rows=3, columns=4), 2, 1, disposal),
        Drawn(filled(0, 0, 200, rows=2, columns=2), 6, 5),
    ]
    check(frames, filled(9, 9, 9) if has_other else None)


def test_a_frame_over_another_one_is_composed_with_it() -> None:
    half = Drawn(filled(0, 200, 0, 128, rows=3, columns=4), 2, 1, over=True)
    check([Drawn(filled(200, 0, 0, 255)), half, half])
    check([Drawn(filled(200, 0, 0, 128)), half, half])


@pytest.mark.seeded
def test_frames_by_the_rules() -> None:
    die = dice("apngs")
    for _ in range(wanted(15, 600)):
        width, height, bands = die.randint(4, 16), die.randint(4, 16), die.choice((3, 4))
        frames = [_frame(die, width, height, bands, number) for number in range(die.randint(2, 5))]
        check(frames, _pixels(die, height, width, bands) if die.random() < 0.3 else None)


def test_a_frame_outside_of_the_picture_is_damage() -> None:
    frames = [Drawn(filled(200, 0, 0)), Drawn(filled(0, 0, 200), 5, 5)]
    with pytest.raises(ImageUnreadableError, match="damaged"):
        read(apng(frames), 2)


def _pixels(die: random.Random, rows: int, columns: int, bands: int) -> np.ndarray:
    pixels = np.frombuffer(die.randbytes(rows * columns * bands), np.uint8)
    pixels = pixels.reshape(rows, columns, bands).copy()
    if bands == 4:
        pixels[..., 3] = pixels[..., 3] // 86 * 127
    return pixels


def _frame(die: random.Random, width: int, height: int, bands: int, number: int) -> Drawn:
    rows, columns = (die.randint(1, height), die.randint(1, width)) if number else (height, width)
    return Drawn(
        _pixels(die, rows, columns, bands),
        die.randint(0, width - columns),
        die.randint(0, height - rows),
        die.randrange(3),
        die.random() < 0.5,
    )
