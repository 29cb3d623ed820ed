"""Going through a saved run: the state after every key, and a real terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from datetime import UTC, datetime
from pathlib import Path

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qvq_mlx import history
from qvq_mlx.core.events import AnswerDelta, AnswerSource, Done, Stats, StopReason, ThinkingDelta
from qvq_mlx.core.request import Sampling
from qvq_mlx.records.runs import VERSION, RequestRecord
from qvq_mlx.render.pages import Key, Pages, Story
from qvq_mlx.render.rows import cells
from qvq_mlx.render.viewer import decoded
from tests.support.waiting import CEILING_S

THINKING = "\n".join(f"thought {number} 红色" for number in range(100))
ANSWER = "\n\n".join(f"Paragraph {number} is **bold**." for number in range(40))
STORY = Story(("cat.png 1×1 → 1×1",), "How many?", "Thought for 42 s", THINKING, ANSWER)


def shown(pages: Pages, width: int = 60, height: int = 12) -> list[str]:
    return [row.plain for row in pages.frame(width, height)]


def press(pages: Pages, keys: str) -> None:
    assert all(pages.press(key) for key in decoded(keys))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@settings(max_examples=60)
@given(
    st.builds(Story, st.tuples(texts), texts, texts, texts, texts, st.tuples(texts)),
    st.lists(
        st.sampled_from([*Key, *"tn/N jgGb ", "\x0f", "é", "\x1b"]) | st.characters(), max_size=30
    ),
    st.integers(1, 60),
    st.integers(2, 20),
)
def test_every_frame_fits_whatever_is_pressed(
    story: Story, keys: list[Key | str], width: int, height: int
) -> None:
    pages = Pages(story)
    for key in [Key.DOWN, *keys]:
        frame = pages.frame(width, height)
        assert len(frame) == height
        assert all(cells(row.plain) <= max(2, width) for row in frame)
        assert all("\x1b" not in row.plain for row in frame)
        pages.press(key)


def test_thinking_is_folded_and_a_key_unfolds_it() -> None:
    pages = Pages(STORY)
    before = shown(pages)
    assert "▸ Thought for 42 s" in before
    assert not any("thought 3" in row for row in before)
    press(pages, "t")
    assert "▾ Thought for 42 s" in shown(pages)
    assert any("thought 3" in row for row in shown(pages))
    press(pages, "\x0f")
    assert shown(pages) == before


def test_paging_goes_through_every_row_once() -> None:
    pages = Pages(STORY)
    seen = shown(pages)[:-1]
    while True:
        press(pages, " ")
        new = shown(pages)[:-1]
        if new[-1] == seen[-1]:
            break
        last = next(row for row in reversed(seen) if row)
        seen += new[new.index(last) + 1 :] if last in new else new
    assert [row for row in seen if "Paragraph" in row] == [
        f"Paragraph {number} is bold." for number in range(40)
    ]
    press(pages, "g")
    assert shown(pages)[0] == "cat.png 1×1 → 1×1"


def test_a_search_unfolds_goes_round_and_says_what_it_found() -> None:
    pages = Pages(STORY)
    press(pages, "/THOUGHT 57\r")
    assert shown(pages)[0] == "thought 57 红色"
    press(pages, "/paragraph 3\r")
    first = shown(pages)[0]
    assert first.startswith("Paragraph 3 ")
    press(pages, "n")
    assert shown(pages)[0].startswith("Paragraph 30 ")
    press(pages, "N")
    assert shown(pages)[0] == first
    press(pages, "/no such thing\r")
    assert "no such thing is not here" in shown(pages)[-1]


def test_a_search_can_be_edited_and_left() -> None:
    pages = Pages(STORY)
    press(pages, "/ab\x7fc")
    assert shown(pages)[-1] == "/ac"
    press(pages, "\x1b")
    assert "q leave" in shown(pages)[-1]
    assert not pages.press("q")
    assert not pages.press(Key.ESCAPE)


def test_sequences_are_read_as_keys() -> None:
    assert list(decoded("\x1b[A\x1b[6~q\x1b[1;5Cx\x1b")) == [
        Key.UP,
        Key.PAGE_DOWN,
        "q",
        "x",
        Key.ESCAPE,
    ]


@pytest.mark.parametrize("leave", [b"q", b"\x03"])
def test_the_real_program_puts_the_terminal_back(tmp_path: Path, leave: bytes) -> None:
    request = RequestRecord(VERSION, "request", "How many?", "tiny", (), None, 512, Sampling())
    done = Done(StopReason.END, AnswerSource.MARKER, True, False, Stats(thinking_s=42))
    events = [ThinkingDelta(THINKING, 99), AnswerDelta(ANSWER, 9), done]
    list(history.record(events, request, tmp_path / "history", datetime.now(UTC)))
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (20, 60))
    before = termios.tcgetattr(slave)
    screen = pyte.Screen(60, 20)
    stream = pyte.ByteStream(screen)
    sent = b""

    def read(until: str) -> None:
        nonlocal sent
        deadline = time.monotonic() + CEILING_S
        while until not in "\n".join(screen.display):
            assert time.monotonic() < deadline, screen.display
            if select.select([master], [], [], 0.5)[0]:
                data = os.read(master, 65536)
                sent += data
                stream.feed(data)

    process = subprocess.Popen(
        [sys.executable, "-m", "qvq_mlx", "log", "show"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "QVQ_HOME": str(tmp_path), "TERM": "xterm"},
        preexec_fn=lambda: (os.setsid(), os.close(os.open(os.ttyname(slave), os.O_RDWR)))[1],
    )
    try:
        read("▸ Thought for 42 s")
        os.write(master, b"t")
        read("▾ Thought for 42 s")
        os.write(master, b"/paragraph 39\r")
        read("Paragraph 39")
        termios.tcsetwinsize(slave, (20, 40))
        screen.resize(20, 40)
        os.write(master, b"g")
        read("How many?")
        os.write(master, leave)
        assert process.wait(CEILING_S) == 0
        while select.select([master], [], [], 0.2)[0]:
            sent += os.read(master, 65536)
    finally:
        process.kill()
        process.wait()
    assert termios.tcgetattr(slave) == before
    assert sent.count(b"\x1b[?1049h") == sent.count(b"\x1b[?1049l") == 1
    assert sent.rindex(b"\x1b[?25h") > sent.rindex(b"\x1b[?25l")
    os.close(master)
    os.close(slave)
