"""The tests' own terminal emulator against pyte's, on random streams."""

from __future__ import annotations

import random

import pyte
import pytest

from tests.support import seeds
from tests.support.screen import Screen

SEEDS = seeds.numbers(seeds.wanted(12, 200), 3)
PIECES = [
    *(
        "a",
        "word ",
        "x" * 30,
        "é",
        "图",
        "e\u0301",
        "\u200b",
        "\t",
        "\x0f",
        "\x0e",
        "\x08",
        "a\x7fb",
    ),
    *("\r\n", "\r\n", "\n", "\r", "\x1b[2K", "\x1b[J", "\x1b[K", "\x1b[3A", "\x1b[1B", "\x1b[5;9H"),
    *("\x1b[?25l", "\x1b[?25h", "\x1b[?7l", "\x1b[?7h", "\x1b[4h", "\x1b[4l", "\x1b7", "\x1b8"),
    *("\x1b[1m", "\x1b[36m", "\x1b[0m", "\x1b[2;5r", "\x1b[r", "\x1bM", "\x1b[?2026h"),
]


@pytest.mark.seeded
@pytest.mark.parametrize("seed", SEEDS)
def test_it_shows_what_pyte_shows(seed: int) -> None:
    rng = random.Random(seed)
    columns, lines = rng.choice([20, 40]), rng.choice([6, 12])
    ours, theirs = Screen(columns, lines), pyte.HistoryScreen(columns, lines, history=10_000)
    streams = [pyte.Stream(ours), pyte.Stream(theirs)]
    for _ in range(400):
        text = "".join(rng.choices(PIECES, k=3))
        for stream in streams:
            stream.feed(text)
        assert (ours.cursor.x, ours.cursor.y) == (theirs.cursor.x, theirs.cursor.y), text
        assert ours.cursor.hidden == theirs.cursor.hidden, text
    shown = [[screen.buffer[y] for y in range(lines)] for screen in (ours, theirs)]
    for rows, others in (shown, (ours.scrolled, theirs.history.top)):
        cells = [[row[x] for x in range(columns)] for row in rows]
        assert cells == [[row[x] for x in range(columns)] for row in others]
