"""Frames of a GIF are what a browser shows: disposal, canvas, own colours, transparency."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import ImageUnreadableError
from qvq_mlx.core.image_options import ImageOptions, parse_pages
from qvq_mlx.core.picture import Picture
from tests.support.gifs import Colours, Drawn, gif, seen
from tests.support.seeds import dice, wanted

EXACT = VisionLimits(factor_px=1, min_pixels=1, max_pixels=2**40)
TABLE = np.array([(200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 0)], np.uint8)


def read(data: bytes, page: int) -> np.ndarray:
    there = images.ImageSources(io.BytesIO(data), "")
    picture = images.read("-", EXACT, there, ImageOptions(pages=parse_pages(str(page))))[0]
    assert isinstance(picture, Picture)
    return np.frombuffer(picture.rgb, np.uint8).reshape(picture.height_px, picture.width_px, 3)


def filled(number: int, rows: int = 6, columns: int = 8) -> np.ndarray:
    return np.full((rows, columns), number)


@pytest.mark.parametrize("disposal", range(5))
@pytest.mark.parametrize("ground", [0, 3])
def test_what_a_frame_leaves_behind(disposal: int, ground: int) -> None:
    frames = [
        Drawn(0, 0, filled(0)),
        Drawn(2, 1, filled(1, 3, 4), disposal),
        Drawn(5, 4, filled(2, 2, 3)),
    ]
    data = gif(8, 6, TABLE, frames, ground)
    for page, expected in enumerate(seen(8, 6, TABLE, frames), 1):
        assert np.array_equal(read(data, page), expected), page


def test_nothing_is_seen_where_no_frame_has_drawn() -> None:
    frames = [Drawn(2, 1, filled(1, 3, 4))]
    data = gif(8, 6, TABLE, frames, ground=2)
    assert np.array_equal(read(data, 1), seen(8, 6, TABLE, frames)[0])


def test_a_later_frame_is_cut_to_the_canvas_and_the_first_one_makes_it() -> None:
    frames = [Drawn(0, 0, filled(0)), Drawn(6, 4, filled(1))]
    data = gif(8, 6, TABLE, frames)
    assert np.array_equal(read(data, 2), seen(8, 6, TABLE, frames)[1])
    data = gif(3, 2, TABLE, frames)
    assert read(data, 1).shape == read(data, 2).shape == (6, 8, 3)


@pytest.mark.seeded
def test_frames_as_a_browser_shows_them() -> None:
    die = dice("gifs")
    for number in range(wanted(25, 1_000)):
        width, height, table = die.randint(4, 20), die.randint(4, 20), _table(die)
        frames = [_frame(die, width, height, table) for _ in range(die.randint(1, 5))]
        data = gif(width, height, table, frames, die.randrange(len(table)))
        for page, expected in enumerate(seen(width, height, table, frames), 1):
            assert np.array_equal(read(data, page), expected), (number, page)


def test_a_frame_whose_codes_are_cut_is_damaged_and_the_others_are_not() -> None:
    frames = [Drawn(0, 0, filled(0)), Drawn(0, 0, filled(1))]
    data = gif(8, 6, TABLE, frames)[:-12]
    assert np.array_equal(read(data, 1), seen(8, 6, TABLE, frames)[0])
    with pytest.raises(ImageUnreadableError, match="cut off or damaged"):
        read(data, 2)


def _table(die: random.Random) -> Colours:
    count = die.choice((4, 8, 16))
    return np.frombuffer(die.randbytes(3 * count), np.uint8).reshape(count, 3)


def _frame(die: random.Random, width: int, height: int, table: Colours) -> Drawn:
    rows, columns = die.randint(1, height), die.randint(1, width)
    own = _table(die) if die.random() < 0.4 else None
    count = len(table if own is None else own)
    numbers = [[die.randrange(count) for _ in range(columns)] for _ in range(rows)]
    return Drawn(
        die.randint(0, width - columns),
        die.randint(0, height - rows),
        np.array(numbers),
        disposal=die.randrange(5),
        clear=die.randrange(count) if die.random() < 0.5 else None,
        own=own,
        interlaced=die.random() < 0.3,
    )
