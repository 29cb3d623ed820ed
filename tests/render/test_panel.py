"""The keys, the status with its estimate, plain lines, and hostile names in every listing."""

from __future__ import annotations

import os
import pty
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx import render
from qvq_mlx.core.env import Env
from qvq_mlx.core.events import Looked, Progress, Stage, ThinkingDelta
from qvq_mlx.core.plan import STAGES, Rates
from qvq_mlx.core.request import Output, ThinkingView
from qvq_mlx.render import Wishes
from qvq_mlx.render.forecast import Forecast
from qvq_mlx.render.header import admission, header_row, key_notes, status_row
from qvq_mlx.render.meter import Meter
from qvq_mlx.render.opening import Manner, Opening
from qvq_mlx.render.rows import cells
from qvq_mlx.render.tty import STOP_QUESTION, Screen
from qvq_mlx.render.type_ahead import TypeAhead
from qvq_mlx.run import rates
from tests.render.conftest import RECORDED, THINKING, done, words

GIB = 1 << 30


class Keyboard:
    """A world whose stdin is a real terminal."""

    def __init__(self, w, **wishes) -> None:
        self.person, self.program = pty.openpty()
        w.stdin = os.fdopen(self.program, "r")
        self.world = w
        # the screen itself, without what spells tokens for people
        self.renderer = render.renderer(w.env, Output(), wishes=Wishes(**wishes))._screen

    def press(self, keys: bytes) -> None:
        """Type, and then nothing for a second."""
        os.write(self.person, keys)
        for _ in range(5):
            self.world.now += 0.2
            self.renderer.feed(ThinkingDelta("on ", 1))

    def close(self) -> None:
        self.renderer.abort()
        self.world.stdin.close()
        os.close(self.person)


@pytest.fixture
def keyed(world):
    opened: list[Keyboard] = []

    def build(columns: int = 80, lines: int = 24, **wishes) -> Keyboard:
        keyboard = Keyboard(world(columns, lines), **wishes)
        opened.append(keyboard)
        keyboard.renderer.open(Opening(can_conclude=True, budget_tokens=4096))
        keyboard.renderer.feed(ThinkingDelta("So ", 1))
        return keyboard

    yield build
    for keyboard in opened:
        keyboard.close()


def test_q_stops_and_a_answers(keyed) -> None:
    asked: list[str] = []
    board = keyed(stop=lambda: asked.append("stop"), answer_now=lambda: asked.append("answer"))
    board.press(b"\x1b[A")
    assert asked == []
    board.press(b"a")
    board.press(b"q")
    assert STOP_QUESTION in board.world.window.text
    assert asked == ["answer"]
    board.press(b"q")
    assert asked == ["answer", "stop"]


def test_q_asks_and_another_key_goes_on(keyed) -> None:
    asked: list[str] = []
    board = keyed(stop=lambda: asked.append("stop"))
    board.press(b"q")
    board.press(b"t")
    assert STOP_QUESTION not in board.world.window.text
    board.press(b"q")
    assert asked == []


@pytest.mark.parametrize("text", ["cat x\r", "a cat", "qq", "aa", "q", "\x1b[200~a\x1b[201~", "ta"])
def test_what_is_typed_ahead_is_no_key(keyed, text) -> None:
    asked: list[str] = []
    ahead = TypeAhead(kept=True)
    board = keyed(
        stop=lambda: asked.append("stop"), answer_now=lambda: asked.append("answer"), ahead=ahead
    )
    before = board.world.window.text
    board.press(b"wh")
    for byte in text.encode():
        os.write(board.person, bytes([byte]))
        board.world.now += 0.1
        board.renderer.feed(ThinkingDelta("on ", 1))
    board.press(b"y")
    assert asked == []
    assert "t expands" in before
    assert "t collapses" not in board.world.window.text
    plain = text.replace("\x1b[200~", "").replace("\x1b[201~", "")
    assert "\r".join([*ahead.lines, ahead.line]) == f"wh{plain}y"


def test_a_pasted_command_stops_nothing(keyed) -> None:
    asked: list[str] = []
    board = keyed(stop=lambda: asked.append("stop"))
    board.press(b"qvq ask -m x cat.png\n")
    board.press(b"\x1b[1;5q")
    assert asked == []


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (20, 8), (12, 5)])
def test_the_keys_stay_on_show_until_they_are_hidden(keyed, size) -> None:
    board = keyed(*size)
    window = board.world.window
    assert "q stops" not in window.text
    board.press(b"?")
    for _ in range(40):
        board.press(b"")
        assert window.text.count("? hides") == (size[1] > 5)
        assert "Thinking" in window.text
        assert not window.scrolled
    for name in ("t expands", "a answers", "q stops") if size[1] > 5 else ():
        assert name in window.text.replace("\n", " ")
    board.press(b"?")
    assert "? hides" not in window.text


def test_the_header_says_time_tokens_budget_and_rate() -> None:
    now = [0.0]
    meter = Meter(lambda: now[0], thinking_tokens=480)
    now[0] = 60.8
    variants = meter.headers("Thinking", meter.thinking_tokens, 0.0, 4096)
    assert variants[0] == "Thinking 1m 0s · 480/4,096 tok · 7.9 tok/s"
    assert admission(variants, 36) == "Thinking 1m 0s · 480/4,096 · 7.9/s"
    assert admission(variants, 20) == "Thinking 1m 0s · 480"
    notes = key_notes(view=ThinkingView.TAIL, can_answer=True, expanded=False)
    assert notes == ["t expands · a answers · ? keys", "t expands · ? keys", "? keys"]
    assert header_row(variants, notes, 80).plain.endswith(f"7.9 tok/s{' ' * 8}{notes[0]}")
    for width in range(1, 100):
        assert cells(header_row(variants, notes, width).plain) <= width


def test_the_status_tells_what_comes_and_how_long() -> None:
    load = Progress(Stage.LOAD, 62, 100)
    assert status_row(load, STAGES, 9.2, 80).plain == "load 62 % · encode · prefill · 9 s left"
    assert status_row(load, STAGES, 75.0, 80).plain.endswith("1m 15s left")
    assert status_row(load, STAGES, 9.2, 25).plain == "load 62 % · 9 s left"
    prefill = Progress(Stage.PREFILL, 812, 1310)
    assert status_row(prefill, STAGES, None, 80).plain == "prefill 812/1,310"
    assert status_row(prefill, STAGES, 9.2, 12).plain == "prefill 812/"


def forecast(rates_: Rates, clock) -> Forecast:
    amounts = {Stage.LOAD: 0.0, Stage.ENCODE: 1000.0, Stage.PREFILL: 1100.0}
    return Forecast(clock, rates_, amounts)


def test_an_estimate_from_this_machines_past() -> None:
    now = [0.0]
    told = forecast(Rates(load=GIB, encode=500.0, prefill=100.0), lambda: now[0])
    told.saw(Progress(Stage.LOAD, 0, 10 * GIB))
    assert told.left_s == pytest.approx(10 + 2 + 11)
    left = []
    for second in range(1, 11):
        now[0] = float(second)
        told.saw(Progress(Stage.LOAD, second * GIB, 10 * GIB))
        left.append(told.left_s)
    assert left == pytest.approx([23.0 - second for second in range(1, 11)])


def test_without_a_past_the_present_stage_is_told() -> None:
    now = [0.0]
    told = forecast(Rates(), lambda: now[0])
    told.saw(Progress(Stage.LOAD, 0, 0))
    assert told.left_s is None
    told.saw(Progress(Stage.LOAD, 0, 100))
    now[0] = 2.0
    told.saw(Progress(Stage.LOAD, 20, 100))
    assert told.left_s == pytest.approx(8.0)
    told.saw(Progress(Stage.ENCODE, 0, 1000))
    assert told.left_s is None


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 100)), max_size=30),
    st.builds(Rates, *[st.sampled_from([0.0, 0.5, 30.0, 1e9])] * 3),
)
def test_an_estimate_is_never_negative_and_never_jumps(steps, known) -> None:
    now = [0.0]
    told = forecast(known, lambda: now[0])
    before, at = None, 0.0
    done_ = 0
    for passed, more in steps:
        now[0] += passed
        done_ = min(100, done_ + more)
        told.saw(Progress(Stage.LOAD, done_, 100))
        left = told.left_s
        if left is not None:
            assert left > 0
            if before is not None:
                assert left <= before + (now[0] - at) + 1e-6
                assert left >= before - 4 * (now[0] - at) - 1e-6
            before, at = left, now[0]
        else:
            before = None


def test_rates_are_kept_and_read(tmp_path: Path) -> None:
    now = [0.0]
    model = tmp_path / "model"

    def run(load_s: float) -> None:
        events = [
            *(Progress(Stage.LOAD, n * GIB, 10 * GIB) for n in range(11)),
            Progress(Stage.ENCODE, 0, 100),
            Progress(Stage.ENCODE, 100, 100),
            ThinkingDelta("a", 1),
            Progress(Stage.ENCODE, 100, 100),
            done(),
        ]
        passed = rates.remembered(iter(events), tmp_path, model, lambda: now[0])
        for event in passed:
            now[0] += load_s / 10
            assert event in events

    run(10.0)
    first = rates.known(tmp_path, model)
    assert first.load == pytest.approx(GIB)
    assert first.encode == pytest.approx(100.0)
    assert first.prefill == 0.0
    run(5.0)
    assert rates.known(tmp_path, model).load == pytest.approx(1.5 * GIB)
    assert rates.known(tmp_path, tmp_path / "other") == Rates()
    [file] = (tmp_path / "rates").iterdir()
    for broken in ("", "[]", '{"load": -1}', '{"load": "x"}', '{"load": NaN}', "\x00"):
        file.write_text(broken)
        assert rates.known(tmp_path, model) == Rates()


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "rates").write_text("no folder")
    events = [Progress(Stage.LOAD, 0, 9), Progress(Stage.LOAD, 9, 9), done()]
    now = iter(range(99))
    passed = rates.remembered(iter(events), tmp_path, tmp_path, lambda: float(next(now)))
    assert list(passed) == events


def test_a_replay_opens_the_screen_without_a_plan(world) -> None:
    w = world()
    screen = Screen(w.env, manner=Manner(ThinkingView.TAIL, answers=True))
    screen.open(Opening(receipts=("cat.png 1×1",)))
    for event in RECORDED:
        w.now += 0.1
        screen.feed(event)
    assert w.window.text.startswith("cat.png 1×1\n▸ Thought for")


def test_a_run_that_is_over_says_nothing_of_what_it_does(world) -> None:
    w = world()
    w.environ = {"TERM": "dumb"}
    screen = Screen(w.env, manner=Manner(ThinkingView.TAIL, answers=True, saved=True))
    screen.open(Opening(receipts=("cat.png 1×1",)))
    for event in RECORDED:
        w.now += 0.1
        screen.feed(event)
    first, second, *rest = w.stdout.getvalue().splitlines()
    assert (first, second[:11]) == ("cat.png 1×1", "Thought for")
    assert not {"Thinking", "Answering", "load", "prefill"} & set(rest)


def test_a_region_is_told_once_in_lines_that_stay(world) -> None:
    w = world()
    w.environ = {"TERM": "dumb"}
    renderer = w.start()
    renderer.feed(ThinkingDelta("So.", 1))
    looked = Looked(0, 1, 2, 3, 4, 28, 28, 1)
    renderer.feed(looked)
    assert w.stdout.getvalue().count(looked.receipt) == 1
    renderer.abort()


def test_lines_that_stay_say_what_goes_on(world) -> None:
    w = world()
    w.environ = {"TERM": "dumb"}
    renderer = w.start()
    for word in words(THINKING):
        w.now += 0.5
        renderer.feed(ThinkingDelta(word, 1))
    lines = w.stdout.getvalue().splitlines()[1:]
    assert lines[0] == "Thinking"
    assert all(re.fullmatch(r"Thinking .*\d+ tok · \S+ tok/s", line) for line in lines[1:])
    assert len(lines) == 1 + len(words(THINKING)) // 60
    renderer.abort()


def test_a_frame_that_is_dear_is_drawn_seldom(world) -> None:
    w = world()
    env: Env = w.env
    screen = Screen(env, manner=Manner(ThinkingView.TAIL, answers=True))
    screen.open(Opening())
    frames = 0
    draw = screen._area.draw

    def slow(live, above=(), text="") -> None:
        nonlocal frames
        frames += 1
        w.now += 0.02
        draw(live, above, text)

    screen._area.draw = slow
    for _ in range(1000):
        w.now += 0.01
        screen.feed(ThinkingDelta("a ", 1))
    assert frames * 0.02 <= w.now / 50
    screen.abort()
