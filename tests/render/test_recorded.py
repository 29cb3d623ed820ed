"""Recorded streams through every renderer at every width, read back as a person or script would."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Event,
    Notice,
    StopReason,
    ThinkingDelta,
    checked,
    fold,
)
from qvq_mlx.core.request import Output, OutputForm, ThinkingView
from qvq_mlx.records.runs import event_from_json
from qvq_mlx.render.rows import cells, cut
from qvq_mlx.render.spoken_answer import spoken_rows
from tests.render.conftest import STAGES, done, plan, words

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
HOSTILE = "\x1b[2J\x1b[H\x1b]0;owned\x07\x1b]8;;http://x\x1b\\\x9b31m\x90q\x9c\x1bc\r\x08\x7f\u202e"
LEAST = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
OURS = re.compile(r"\x1b\[(?:\d+A|1B|2K|J|[\d;]*m|\?(?:2026|25|7)[hl])")


@dataclass(frozen=True)
class Stream:
    """Events, what must stand on the screen once when they are over, and what must not."""

    events: tuple[Event, ...]
    once: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    name: str = "cat.heic"


def thinking(text: str) -> list[Event]:
    return [ThinkingDelta(word, 1) for word in words(text)]


def answer(text: str) -> list[Event]:
    return [AnswerDelta(word, 1) for word in words(text)]


THOUGHT = "So I've got this picture.\n\nLet me count its legs one by one. " * 5
CUT_OFF = done(AnswerSource.NONE, complete=False, reason=StopReason.LOOP)

STREAMS: dict[str, Stream] = {
    "short": Stream(
        (*STAGES, *thinking(THOUGHT), *answer("It has four."), done()), ("It has four.",)
    ),
    "long": Stream(
        (*thinking("one two three four. " * 8000), *answer("Fine."), done()), ("Fine.",), ("three",)
    ),
    "line without end": Stream(
        (*[ThinkingDelta("abcdefgh", 1)] * 6000, *answer("Fine."), done()), ("Fine.",), ("abcd",)
    ),
    "retraction": Stream(
        (
            *thinking(THOUGHT),
            *answer("It is old."),
            AnswerRetracted("**Final Answer**\n\nIt is old."),
            *thinking(" Wait, no."),
            *answer("It is new."),
            done(),
        ),
        ("It is new.", "Thought for"),
        ("old", "Wait", "Final"),
    ),
    "loop": Stream(
        (*thinking(THOUGHT * 9), Notice("loop", "it says the same"), CUT_OFF),
        ("Thought for", "it says the same"),
        ("picture",),
    ),
    "whole text": Stream(
        (*thinking("It is **seven**."), done(AnswerSource.WHOLE)), ("It is seven.",)
    ),
    "chinese": Stream(
        (
            *(ThinkingDelta(c, 1) for c in "这张图片里有一只猫，" * 30),
            *answer("一共七只，都是猫。"),
            done(),
        ),
        ("七只", "都是猫。"),
        ("图片",),
    ),
    "latex": Stream(
        (
            *thinking("So \\( x^2 \\). " * 9),
            *answer("So\n\n\\[ A = \\frac{9}{2}\\pi \\]\n\n$5 or 6"),
            done(),
        ),
        ("A = (9/2)π", "$5 or 6"),
        ("frac", "\\[", "\\pi"),
    ),
    "table": Stream(
        (
            *thinking("hm"),
            *answer(
                "| row | n |\n|---|---|\n" + "".join(f"| r{n:02} | {n} |\n" for n in range(30))
            ),
            done(),
        ),
        tuple(f"r{n:02}" for n in range(30)),
        ("|--",),
    ),
    "code": Stream(
        (
            *thinking("hm"),
            *answer(
                "Run:\n\n```python\n" + "".join(f"x{n:02} = 1\n" for n in range(60)) + "```\n\nok"
            ),
            done(),
        ),
        tuple(f"x{n:02} = 1" for n in range(60)),
        ("```",),
    ),
    "list": Stream(
        (*answer("".join(f"{n}. item{n:02}\n" for n in range(1, 70))), done()),
        tuple(f"item{n:02}" for n in range(1, 70)),
    ),
    "wide": Stream(
        (
            *thinking("🐈 猫 " * 40),
            *answer("猫猫\n\n🇩🇪🇫🇷 é 👍🏽\n\nשלום\n\nمرحبا"),
            done(),
        ),
        ("猫猫", "שלום", "مرحبا"),
        ("🐈",),
    ),
    "hostile": Stream(
        (
            Notice("evil", f"n{HOSTILE}"),
            *(ThinkingDelta(c, 1) for c in f"a{HOSTILE}b\n" * 3),
            *(AnswerDelta(c, 1) for c in f"x{HOSTILE}y"),
            AnswerRetracted(f"r{HOSTILE}"),
            *(AnswerDelta(c, 1) for c in f"c{HOSTILE}d\n\n[l{HOSTILE}](http://x{HOSTILE})"),
            done(),
        ),
        ("c␛[2J␛[H",),
        name=f"cat{HOSTILE}.png",
    ),
}
SIZES = [(20, 8), (40, 12), (80, 24), (200, 24)]


@pytest.mark.sampled(9)
@pytest.mark.parametrize("view", [ThinkingView.TAIL, ThinkingView.FULL, ThinkingView.LINE])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_on_a_terminal(world, name, size, view) -> None:
    stream = STREAMS[name]
    long = len(stream.events) > 5000
    if long and view is ThinkingView.FULL:
        pytest.skip("every row of it would stay; the short ones show the same")
    w = world(*size)
    renderer = w.start(Output(view=view), plan(stream.name))
    look = Watch(w, renderer)
    for number, event in enumerate(checked(stream.events)):
        w.now += 0.0005 if long else 0.05
        renderer.feed(event)
        if number % (4000 if long else 15) == 0:
            look.again()
    look.again()
    text = w.window.text
    assert text == "\n".join(look.committed).rstrip()
    flat = re.sub(r"\n *", "", text)  # words may be broken in a narrow window
    for once in stream.once:
        if size[0] >= 40 or len(once) < 9:
            assert (text if once in text else flat).count(once) == 1, once
    for never in stream.never if view is not ThinkingView.FULL else ():
        assert never not in text
    assert w.window.cursor[1:] == (0, False)
    assert not LEAST.search(OURS.sub("", w.stdout.getvalue()))
    assert "\x1b" not in OURS.sub("", w.stdout.getvalue())


def broken(text: str, columns: int) -> list[str]:
    """The lines that a terminal makes of a row that is too wide."""
    pieces = []
    while cells(text) > columns:
        pieces.append(cut(text, columns))
        text = text[len(pieces[-1]) :]
    return [*(piece.rstrip() for piece in pieces), text.rstrip()]


class Watch:
    """What a person would notice: rows that change after they left, ghosts, a torn area."""

    def __init__(self, world, renderer) -> None:
        self.world = world
        self.committed: list[str] = [row for row in world.window.text.split("\n") if row]
        self._scrolled: list[str] = []
        area = renderer._screen._area
        draw: Callable[..., None] = area.draw

        def spied(live: Sequence, above: Sequence = (), text: str = "") -> None:
            columns = world.window.columns
            self.committed += [piece for row in above for piece in broken(row.plain, columns)]
            self.live = len(live)
            assert len(live) < world.window.lines
            assert all(cells(row.plain) <= world.window.columns for row in live)
            draw(live, above, text)

        area.draw = spied
        self.live = 0

    def again(self) -> None:
        window = self.world.window
        scrolled = window.scrolled
        assert scrolled[: len(self._scrolled)] == self._scrolled, "the scrollback was rewritten"
        self._scrolled = scrolled
        screen = [*scrolled, *window.shown]
        top = len(self.committed)
        assert screen[:top] == self.committed, "what was committed does not stand as it was"
        assert not any(screen[top + self.live :]), "a ghost below the live area"
        assert sum(row.startswith("Thinking ") for row in screen[top:]) <= 1


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_in_a_pipe(world, name) -> None:
    stream = STREAMS[name]
    w = world(out=False, err=False)
    w.play(stream.events, Output(), plan(stream.name))
    expected = fold(stream.events).answer
    whole = stream.events[-1].complete
    assert w.stdout.getvalue() == (expected + "\n" if whole else "")
    assert w.stderr.getvalue() == ""


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_on_a_terminal_that_cannot_be_drawn_over(world, name) -> None:
    stream = STREAMS[name]
    for environ in ({"TERM": "dumb"}, {"TERM": "xterm", "CI": "true"}):
        w = world()
        w.environ = environ
        w.play(stream.events, Output(), plan(stream.name), step_s=0.001)
        written = w.stdout.getvalue()
        assert "\x1b" not in written
        assert not LEAST.search(written)
        if stream.events[-1].complete and name != "hostile":
            answer = spoken_rows(fold(stream.events).answer.strip(), 80)
            assert written.endswith("".join(f"{row.plain}\n" for row in answer))


@pytest.mark.parametrize("tty", [True, False])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_as_json_lines(world, name, tty) -> None:
    stream = STREAMS[name]
    w = world(out=tty and len(stream.events) < 5000, err=False)  # a window is slow to read
    w.play(stream.events, Output(OutputForm.JSONL), plan(stream.name))
    written = w.stdout.getvalue()
    head, *lines = written.splitlines()
    assert json.loads(head)["images"][0]["path"] == stream.name
    assert tuple(event_from_json(json.loads(line)) for line in lines) == stream.events
    assert not LEAST.search(written)


def test_force_color_keeps_the_styles_where_nothing_is_drawn_over(world) -> None:
    for force, styled in (("1", True), ("", False), ("0", False)):
        w = world()
        w.environ = {"TERM": "dumb", "FORCE_COLOR": force}
        w.play(STREAMS["short"].events)
        assert ("\x1b[2m" in w.stdout.getvalue()) is styled
