"""A window that gets much narrower at once, on a terminal that says where its cursor is."""

from __future__ import annotations

import os
import pty
import re
from collections import Counter

import pytest

from qvq_mlx import render
from qvq_mlx.core.events import ThinkingDelta
from qvq_mlx.core.request import Output, ThinkingView
from qvq_mlx.render import Wishes
from qvq_mlx.render.opening import Opening
from qvq_mlx.render.type_ahead import TypeAhead

TYPED = [(), ("of them, is that red, and " * 20,), tuple(f"line {n} " * 15 for n in range(3))]


class Panel:
    """A panel in a window, with a person before it."""

    def __init__(self, world, size: tuple[int, int], view: ThinkingView, typed=()) -> None:
        self.w = world(*size)
        self.person, program = pty.openpty()
        self.w.window.answered = lambda answer: os.write(self.person, answer.encode())
        self.w.stdin = os.fdopen(program, "r")
        ahead = TypeAhead(kept=True)
        ahead.lines = list(typed)
        wishes = Wishes(lambda: None, lambda: None, ahead)
        self.screen = render.renderer(self.w.env, Output(view=view), wishes=wishes)._screen
        self.screen.open(Opening(can_conclude=True, budget_tokens=4096))
        self.said = 0

    def say(self, count: int) -> None:
        for _ in range(count):
            self.said += 1
            self.w.now += 0.1
            self.screen.feed(ThinkingDelta(f"w{self.said:04} ", 1))

    def press(self, key: bytes) -> None:
        """Press a key, and nothing more for a second."""
        os.write(self.person, key)
        self.say(1)
        self.w.now += 1
        self.say(1)

    def twice(self) -> list[str]:
        """The words, and rows of our own, that stand twice."""
        text = self.w.window.text
        words = Counter(re.findall(r"w\d{4}", text.replace("\n", "")))  # the terminal breaks some
        found = [word for word, count in words.items() if count > 1]
        return found + [one for one in ("Thinking ", "q again", "will be copied") if
                        text.count(one) > 1]  # fmt: skip

    def close(self) -> None:
        self.screen.abort()
        self.w.stdin.close()
        os.close(self.person)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("typed", TYPED, ids=["nothing", "a line", "three lines"])
@pytest.mark.parametrize("keys", [b"", b"?", b"c?", b"cq"])
@pytest.mark.parametrize(("columns", "narrower"), [(120, 30), (80, 30), (80, 20)])
def test_the_header_stands_once_in_a_window_of_12_rows(
    world, typed, keys, columns, narrower
) -> None:
    panel = Panel(world, (columns, 12), ThinkingView.TAIL)
    panel.say(150)
    for key in keys:
        panel.press(bytes([key]))
    panel.screen._ahead.lines = list(typed)
    for _ in range(3):
        for width in (columns, narrower):
            panel.w.window.resize(width, 12)
            panel.say(4)
            assert not panel.twice(), panel.w.window.text
    if typed:
        assert typed[-1].split()[-1] in panel.w.window.text.split()
    panel.close()


@pytest.mark.parametrize("view", [ThinkingView.TAIL, ThinkingView.FULL])
@pytest.mark.parametrize("more", range(1, 40, 6))
def test_a_short_word_at_the_edge_of_the_scrollback_stands_once(world, view, more) -> None:
    panel = Panel(world, (120, 12), view, TYPED[2])
    panel.say(150)
    for width in (30, 40, 30, 120, 30, 80):
        panel.w.window.resize(width, 12)
        panel.say(more)
        assert not panel.twice(), panel.w.window.text
    panel.close()
