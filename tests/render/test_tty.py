"""What a person sees, read back through a terminal emulator."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from qvq_mlx import render
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Notice,
    Progress,
    Stage,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.request import Output, ThinkingView
from tests.render.conftest import ANSWER, PLAN, RECORDED, STAGES, done, plan, words

SIZES = [(80, 24), (40, 12), (20, 6)]
THOUGHT = [ThinkingDelta(f"t{n:03} ", 1) for n in range(200)]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", ThinkingView)
def test_every_answer_word_stands_once_at_the_end(world, size, view) -> None:
    w = world(*size)
    answer = [AnswerDelta(f"a{n:03}" + ("\n\n" if n % 5 == 4 else " "), 1) for n in range(120)]
    w.play([*STAGES, *THOUGHT, *answer, done()], Output(view=view))
    text = w.window.text
    for n in range(120):
        assert text.count(f"a{n:03}") == 1
    for n in range(200):
        assert text.count(f"t{n:03}") == (1 if view is ThinkingView.FULL else 0)
    row, column, hidden = w.window.cursor
    assert (column, hidden) == (0, False)
    assert w.window.shown[row] == ""


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_doubled_at_any_time(world, size) -> None:
    w = world(*size)

    def check() -> None:
        text = w.window.text
        assert text.count("Thinking ") <= 1
        assert text.count("load") <= 1
        assert text.count("Thought for") <= 1
        assert len([word for word in set(text.split()) if text.split().count(word) > 1]) < 6

    answer = [AnswerDelta(f"a{n:03}\n\n", 1) for n in range(40)]
    w.play([*STAGES, *THOUGHT, *answer, done()], each=check)


def test_the_screen_at_80_by_24(world) -> None:
    w = world()
    w.play(RECORDED)
    assert w.window.text.split("\n") == [
        "cat.heic 5712×4284 → 1148×868 · 1,271 tokens",
        "▸ Thought for 18 s · 180 tokens · qvq last --thinking",
        "",
        "The cat has four legs.",
        "",
        " • two in front",
        " • two behind",
        "",
        "legs = 2 + 2",
        "",
        "So the result is 8/2 = 4",
    ]


def test_status_names_the_stage_and_the_numbers(world) -> None:
    w = world()
    renderer = w.start()
    seen = []
    for event in STAGES:
        w.now += 1
        renderer.feed(event)
        seen.append(w.window.text.split("\n")[-1])
    assert seen == [
        "load · encode · prefill",
        "load 62 % · encode · prefill",
        "load 100 % · encode · prefill",
        "encode · prefill",
        "encode · prefill",
        "prefill 812/1,310",
        "prefill 1,310/1,310",
    ]
    renderer.abort()
    assert w.window.text == PLAN.pictures[0].receipt
    assert not w.window.cursor[2]


def test_the_tail_is_six_rows_above_a_header(world) -> None:
    w = world()
    renderer = w.start()
    for n in range(100):
        w.now += 0.5
        renderer.feed(ThinkingDelta(f"line {n}\n", 20))
    shown = w.window.text.split("\n")[1:]
    assert shown[-1] == "Thinking 49s · 2,000 tok · 40 tok/s"
    assert shown[:-1] == [f"line {n}" for n in range(94, 100)]
    renderer.abort()


def test_a_minute_reads_as_one(world) -> None:
    w = world()
    w.play([ThinkingDelta("a ", 1), ThinkingDelta("b", 1), AnswerDelta("c", 1), done()], step_s=36)
    assert "▸ Thought for 1 min 12 s · 2 tokens" in w.window.text


def test_a_retraction_leaves_no_ghost(world) -> None:
    w = world()
    renderer = w.start()
    for event in (*THOUGHT[:20], *(AnswerDelta(word, 1) for word in words("It is 7. No."))):
        w.now += 0.2
        renderer.feed(event)
    assert "Thought for" in w.window.text
    assert "It is 7." in w.window.text
    w.now += 0.2
    renderer.feed(AnswerRetracted("\n\n**Final Answer**\n\nIt is 7. No."))
    text = w.window.text
    assert "Thought for" not in text
    assert text.count("It is 7.") == 1  # in the thinking, where it belongs
    assert "Thinking " in text
    for event in (ThinkingDelta(" Again.", 1), AnswerDelta("It is 8.", 1), done()):
        w.now += 0.2
        renderer.feed(event)
    text = w.window.text
    assert text.count("Thought for") == 1
    assert "It is 7." not in text
    assert text.endswith("\n\nIt is 8.")


def test_a_retraction_of_what_is_in_the_scrollback_says_so(world) -> None:
    w = world(40, 12)
    answer = [AnswerDelta(f"old{n}\n\n", 1) for n in range(30)]
    after = [AnswerRetracted("**Final Answer**\n\nold"), AnswerDelta("new", 1), done()]
    w.play([*THOUGHT, *answer, *after])
    text = w.window.text
    line = "the model took that answer back and\ngoes on thinking"
    assert text.count(line) == 1
    assert text.count("new") == 1
    assert text.index("old0") < text.index(line) < text.rindex("Thought for") < text.index("new")


def test_a_whole_text_is_the_answer_and_not_thinking(world) -> None:
    w = world()
    w.play([ThinkingDelta("It **is** ", 1), ThinkingDelta("7.", 1), done(AnswerSource.WHOLE)])
    assert w.window.text.split("\n")[1:] == ["It is 7."]


def test_an_unfinished_answer_does_not_look_final(world) -> None:
    w = world()
    w.play([*THOUGHT, AnswerDelta("It is", 2), done(complete=False, reason=StopReason.LENGTH)])
    assert w.window.text.split("\n")[-2:] == ["unfinished answer:", "It is"]


def test_no_answer_leaves_the_line_about_the_thinking(world) -> None:
    w = world()
    end = done(AnswerSource.NONE, complete=False, reason=StopReason.INTERRUPT)
    w.play([*STAGES, *THOUGHT, end])
    assert w.window.text.split("\n")[1:] == [
        "▸ Thought for 20 s · 200 tokens · qvq last --thinking"
    ]


def test_interrupted_while_loading_leaves_nothing(world) -> None:
    w = world()
    w.play([*STAGES[:2], done(AnswerSource.NONE, complete=False, reason=StopReason.INTERRUPT)])
    assert w.window.text == PLAN.pictures[0].receipt


def test_no_mention_of_thinking_with_view_none(world) -> None:
    w = world()
    seen = []
    w.play(
        RECORDED, Output(view=ThinkingView.NONE), each=lambda: seen.append(w.window.text.lower())
    )
    assert any("working 12s" in text for text in seen)
    assert not any("think" in text or "thought" in text for text in seen)


def test_quiet_shows_the_answer_alone(world) -> None:
    w = world()
    seen = []
    events = [*STAGES, Notice("a", "b"), *THOUGHT, AnswerDelta("It is 7.", 1), done()]
    w.play(events, Output(quiet=True), each=lambda: seen.append(w.window.text))
    assert set(seen) == {"", "It is 7."}


def test_a_box_alone_is_its_content(world) -> None:
    for answer in ("\\[ \\boxed{7} \\]", "\\boxed{7}", "$$\n\\boxed{7}\n$$"):
        w = world()
        w.play([AnswerDelta(answer, 5), done()])
        assert w.window.text.split("\n")[-1] == "7"


def test_boxed_only_shows_the_last_box(world) -> None:
    w = world()
    w.play([*THOUGHT, AnswerDelta(ANSWER, 5), done()], Output(boxed_only=True))
    assert w.window.text.split("\n")[-2:] == ["", "4"]


def test_notices_stand_above_the_live_area(world) -> None:
    w = world()
    w.play([*THOUGHT[:50], Notice("loop", "it repeats itself"), *THOUGHT[50:], *RECORDED[-1:]])
    lines = w.window.text.split("\n")
    assert lines[1] == "note[loop]: it repeats itself"
    assert "Thought for" in lines[2]


def test_notices_go_to_stderr_where_that_is_a_file(world) -> None:
    w = world(err=False)
    w.play([Notice("loop", "it repeats\x1b[31m itself"), *RECORDED])
    assert w.stderr.getvalue() == "note[loop]: it repeats␛[31m itself\n"
    assert "note" not in w.window.text


def test_verbose_says_what_each_stage_took(world) -> None:
    w = world()
    w.play(RECORDED, Output(verbose=True), step_s=1)
    text = w.window.text
    assert "load 25.0 GiB in 3.0 s" in text
    assert "encode 1,271 tokens in 2.0 s" in text
    assert "prefill 1,310 tokens in 2.0 s" in text
    assert "thinking 400 · answer 100" in text.split("= 4")[1]


@pytest.mark.parametrize("view", ThinkingView)
def test_no_control_sequence_reaches_the_screen(world, view) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\x9b31m\x1bc\r\x08\x7f"
    pieces = ["a", "\x1b", "[2", "J", evil, "b\n\n", "\x1b]0;own", "ed", "\x1b\\", "c"]
    w = world()
    w.play(
        [
            Notice("evil", f"n{evil}m"),
            *(ThinkingDelta(piece, 1) for piece in pieces),
            *(AnswerDelta(piece, 1) for piece in pieces),
            AnswerDelta(f"\n\n```\n{evil}code\n```\n\n[l{evil}](http://x{evil})", 1),
            AnswerRetracted(f"r{evil}"),
            *(AnswerDelta(piece, 1) for piece in pieces),
            done(),
        ],
        Output(view=view, verbose=True),
        plan(f"cat{evil}.png", "\udcff.png"),
    )
    written = w.stdout.getvalue()
    for bad in ("\x1b]", "\x9b", "\x1bc", "\x08", "\x7f", "\x1b[2J", "\x07"):
        assert bad not in written
    assert "cat␛[2J␛]0;owned␇<U+009B>31m␛c␍␈␡.png 5712" in w.window.text
    assert "\ufffd.png" in w.window.text
    assert "␛]0;owned␛\\c" in w.window.text.split("\n\n")[-1]


def test_a_dumb_terminal_gets_plain_lines(world) -> None:
    for environ in ({}, {"TERM": "dumb"}):
        w = world()
        w.environ = environ
        w.play(RECORDED)
        assert w.stdout.getvalue() == (
            "cat.heic 5712×4284 → 1148×868 · 1,271 tokens\n"
            "load\nencode\nprefill\nThinking\nAnswering\n"
            "Thought for 18 s · 180 tokens · qvq last --thinking\n\nThe cat has four legs.\n\n"
            " • two in front\n • two behind\n\nlegs = 2 + 2\n\nSo the result is 8/2 = 4\n"
        )


def test_plain_lines_speak_formulas_boxes_and_tables(world) -> None:
    w = world()
    w.environ = {"TERM": "dumb"}
    table = "| row | share |\n|---|---|\n| 1 | $\\frac{1}{2}$ |\n| 2 | **3** |"
    w.play(
        [AnswerDelta(f"{table}\n\n---\n\n```python\nx = 1\n```\n\nSo $\\boxed{{7}}$.", 1), done()]
    )
    answer = "row: 1; share: 1/2\nrow: 2; share: 3\n\nx = 1\n\nSo 7.\n"
    assert w.stdout.getvalue().endswith(answer)
    boxed = world()
    boxed.environ = {"TERM": "dumb"}
    boxed.play([AnswerDelta("\\[ \\boxed{7\\pi} \\]", 1), done()])
    assert boxed.stdout.getvalue().endswith("\n7π\n")


def test_no_color_leaves_no_colour(world) -> None:
    w = world()
    w.environ = {"TERM": "xterm", "NO_COLOR": "1"}
    w.play(RECORDED)
    assert not re.search(r"\x1b\[[0-9;]*(3[0-8]|4[0-8]|9[0-7])(;|m)", w.stdout.getvalue())
    assert "\x1b[2m" in w.stdout.getvalue()


@pytest.mark.sampled(8)
@pytest.mark.parametrize(
    ("columns", "lines"), [(40, 24), (50, 30), (100, 30), (40, 12), (20, 6), (80, 8)]
)
@pytest.mark.parametrize("when", [30, 100, 215, 260])
def test_a_resize_in_the_middle_doubles_nothing(world, columns, lines, when) -> None:
    w = world()
    count = 0
    words = [AnswerDelta(f"a{n:03}" + ("\n\n" if n % 7 == 6 else " "), 1) for n in range(80)]

    def each() -> None:
        nonlocal count
        count += 1
        if count == when:
            w.window.resize(columns, lines)
        if count == when + 9:
            w.window.resize(80, 24)

    w.play([*THOUGHT, *words, done()], each=each)
    text = w.window.text
    assert [n for n in range(80) if f"a{n:03}" not in text] == []
    # in a smaller window, or with a full one, rows leave it before they can be wiped
    if lines >= 24 and when < 230:
        assert [n for n in range(80) if text.count(f"a{n:03}") != 1] == []
        assert text.count("Thought for") == 1
        assert "Thinking" not in text


def test_wide_characters_and_long_words_fit(world) -> None:
    w = world(20, 8)
    texts = ["这是一只猫，它有四条腿。" * 8, "🐈" * 30, "x" * 70, "\n", "a\tb", "e\u0301" * 30]
    events = [ThinkingDelta(text, 9) for text in texts] + [AnswerDelta(text, 9) for text in texts]
    for view in ThinkingView:
        w = world(20, 8)
        w.play([*events, done()], Output(view=view))
        flat = w.window.text.replace("\n", "").replace(" ", "")
        assert flat.count("猫") == (16 if view is ThinkingView.FULL else 8)


def test_redraws_are_bounded(world) -> None:
    w = world()
    renderer = w.start()
    writes = 0
    before = len(w.stdout.getvalue())
    for n in range(1000):  # a thousand tokens in one second
        w.now += 0.001
        renderer.feed(ThinkingDelta(f"w{n} ", 1))
        after = len(w.stdout.getvalue())
        writes += after > before
        before = after
    assert 8 <= writes <= 13
    renderer.abort()


def test_progress_while_answering_does_not_disturb(world) -> None:
    w = world()
    w.play([AnswerDelta("a", 1), Progress(Stage.PREFILL, 1, 2), AnswerDelta("b", 1), done()])
    assert w.window.text.endswith("\nab")


def test_a_broken_pipe_is_passed_on_and_the_terminal_restored(world) -> None:
    w = world()
    renderer = w.start()
    renderer.feed(STAGES[0])

    def broken(text: str) -> int:
        raise BrokenPipeError

    w.stdout.write = broken
    w.now += 1
    with pytest.raises(BrokenPipeError):
        renderer.feed(STAGES[3])
    renderer.abort()


def test_a_stage_that_has_just_begun_is_shown_at_once(world) -> None:
    w = world()
    renderer = w.start()
    for event in STAGES[:4]:  # no time passes, and then nothing comes for long
        renderer.feed(event)
    assert w.window.text.endswith("\nencode · prefill")
    renderer.abort()


def test_a_hint_is_given_only_for_what_is_saved(world) -> None:
    w = world()
    renderer = render.renderer(w.env, Output(), saved=False)
    renderer.begin(PLAN)
    for event in RECORDED:
        w.now += 0.1
        renderer.feed(event)
    assert "qvq last" not in w.window.text
    assert "▸ Thought for" in w.window.text


def test_choosing_a_renderer_loads_rich_only_when_one_is_needed() -> None:
    code = (
        "import sys, qvq_mlx.render, qvq_mlx.render.clean; "
        "sys.exit(any(name.partition('.')[0] == 'rich' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_double_check_is_told_below_the_answer_and_leaves_nothing(world) -> None:
    w = world()
    seen: list[str] = []
    looks = [Progress(Stage.DOUBLE_CHECK, tokens, 0) for tokens in range(40)]
    said = Notice("double-check", "the double check agrees")
    w.play([*RECORDED[:-1], *looks, said, done()], each=lambda: seen.append(w.window.text))
    checking = [text for text in seen if "Checking" in text]
    assert all("So the result is" in text for text in checking)
    assert re.search(r"Checking 4s · \d+ tok$", checking[-1])
    assert "Checking" not in w.window.text
    assert w.window.text.count("note[double-check]: the double check agrees") == 1


def test_a_pipe_shows_a_double_check_on_its_status_line(world) -> None:
    w = world(out=False)
    seen: list[str] = []
    looks = [Progress(Stage.DOUBLE_CHECK, tokens, 0) for tokens in range(40)]
    w.play([*RECORDED[:-1], *looks, done()], each=lambda: seen.append(w.window.text))
    assert any(re.fullmatch(r"Checking 3s · \d+ tok", text.strip()) for text in seen)
    assert w.window.text == ""


def test_a_vote_counts_its_samples_and_its_time(world) -> None:
    w = world()
    seen: list[str] = []
    drawn = [Progress(Stage.VOTE, ended, 5) for ended in range(6) for _ in range(10)]
    w.play([*STAGES, *drawn, *RECORDED[len(STAGES) :]], each=lambda: seen.append(w.window.text))
    assert any(re.search(r"vote 2/5 · \ds$", text) for text in seen)
    assert "Thought for 24 s · 180 tokens" in w.window.text
