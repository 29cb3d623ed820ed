"""The split of what a model writes into thinking and answer."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.core.card import Thinking, ThinkingStyle
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    Event,
    StopReason,
    ThinkingDelta,
    checked,
    fold,
)
from qvq_mlx.core.tokens import Finished, Token
from qvq_mlx.reply.box import boxed
from qvq_mlx.reply.thinking import split

MARKER = Thinking(
    ThinkingStyle.MARKER,
    ("**Final Answer**", "**答案**", "**最终答案**"),
    ("**Final Answer**", "**最终答案**"),
)
TAG = Thinking(ThinkingStyle.TAG)
ANSWER_TAGS = Thinking(ThinkingStyle.TAG, answer_tags=("<answer>", "</answer>"))
LITERAL = Thinking(ThinkingStyle.MARKER, ("Final:",), ("Final:",))
PREOPENED = Thinking(ThinkingStyle.PREOPENED)
PLAIN = Thinking(ThinkingStyle.NONE)


def events(
    pieces: list[str], thinking: Thinking = MARKER, reason: StopReason = StopReason.END
) -> list[Event]:
    steps = [Token(index, piece) for index, piece in enumerate(pieces)]
    return list(checked(split([*steps, Finished(reason, "", 0, 0, 0, False)], thinking)))


def result(
    text: str, thinking: Thinking = MARKER, reason: StopReason = StopReason.END
) -> tuple[str, str, AnswerSource, bool]:
    stream = events([text], thinking, reason)
    transcript, done = fold(stream), stream[-1]
    assert isinstance(done, Done)
    return transcript.thinking, transcript.answer, done.answer_source, done.complete


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("I see two.\n\n**Final Answer**\n\n\\boxed{2}", "I see two.", "\\boxed{2}"),
        (
            "I see two.\n\n**Final Answer**\n\n\\[ \\boxed{2} \\]\n",
            "I see two.",
            "\\[ \\boxed{2} \\]",
        ),
        ("Hm.\n**Final Answer** \\[ \\boxed{D} \\]", "Hm.", "\\[ \\boxed{D} \\]"),
        ("Hm.\n**Final Answer**: $7$", "Hm.", "$7$"),
        ("嗯。\n\n**答案**\n\n\\boxed{5}", "嗯。", "\\boxed{5}"),
        ("嗯。\n**最终答案**\n一\n二", "嗯。", "一\n二"),
        ("**Final Answer**\n\n4", "", "4"),
        ("a\r\n**Final Answer**\r\n4", "a", "4"),
        ("Hm.\n**Final Answer:**\n\n4", "Hm.", "4"),
        ("Hm.\n**Final Answer:** It is four.", "Hm.", "It is four."),
        ("Hm.\n**Final Answer**: It is four.", "Hm.", "It is four."),
        ("Hm.\n**FINAL ANSWER**\nB", "Hm.", "B"),
        ("Hm.\n### Final Answer\nB", "Hm.", "B"),
        ("Hm.\n## **Final Answer:**\nB", "Hm.", "B"),
        ("Hm.\n**Final Answer** 42", "Hm.", "42"),
        ("Hm.\n**Final Answer** (B)\n", "Hm.", "(B)"),
        ("Hm.\n**Final Answer** **42 cm**\nas said", "Hm.", "**42 cm**\nas said"),
        ("嗯。\n**答案：**\n五", "嗯。", "五"),
        ("嗯。\n**最终答案**：五个", "嗯。", "五个"),
        ("嗯。\n**答案**：$5$", "嗯。", "$5$"),
    ],
)
def test_a_marker_line_begins_the_answer(text: str, thinking: str, answer: str) -> None:
    assert result(text) == (thinking, answer, AnswerSource.MARKER, True)


@pytest.mark.parametrize(
    "text",
    [
        "I will write **Final Answer** at the end.",
        "**Final Answer** is what I shall write.",
        "**Final thoughts**\nnone",
        "**Final",
        "**Final Answer** B is what he chose.",
        "**Final Answer** a cat",
        "### Final Answers of the class\n1, 2",
        "My **Final Answer:**\n4",
        "# Finally\nall is well",
        "* Final Answer\n* none",
        "**问题**：几个？\n**答案**：五个。\n**问题**：谁？",
    ],
)
def test_a_marker_within_a_line_is_text(text: str) -> None:
    assert result(text) == ("", text, AnswerSource.WHOLE, True)


def test_no_marker_makes_the_whole_text_the_answer() -> None:
    assert result("A cat.\n\nIt sleeps.") == ("", "A cat.\n\nIt sleeps.", AnswerSource.WHOLE, True)


def test_a_cut_text_without_marker_is_no_answer() -> None:
    assert result("So I count", reason=StopReason.LENGTH) == (
        "So I count",
        "",
        AnswerSource.NONE,
        False,
    )


def test_a_cut_answer_is_not_complete() -> None:
    text = "So.\n**Final Answer**\nThe num"
    assert result(text, reason=StopReason.LENGTH) == ("So.", "The num", AnswerSource.MARKER, False)


def test_a_later_marker_takes_the_earlier_answer_back() -> None:
    first, second = (
        "**Final Answer**\n\n\\boxed{2}\n\nWait, no.",
        "\n\n**Final Answer**\n\n\\boxed{3}",
    )
    thinking, answer, source, complete = result("So.\n\n" + first + second)
    assert (answer, source, complete) == ("\\boxed{3}", AnswerSource.MARKER, True)
    assert thinking.startswith("So.\n\n" + first)


def test_of_several_blocks_the_last_whole_one_stands() -> None:
    text = "So.\n**Final Answer**\n\\boxed{2}\nHm.\n**Final Answer**\n\\boxed{"
    _, answer, _, complete = result(text, reason=StopReason.LENGTH)
    assert (answer, complete) == ("\\boxed{2}", True)


@pytest.mark.parametrize("cut", ["**Final Answer**\n", "**Final Answer**\n\\boxed{"])
def test_a_block_that_is_cut_before_its_box_gives_way_to_the_whole_one(cut: str) -> None:
    text = f"So.\n**Final Answer**\n\\boxed{{2}}\nHm.\n{cut}"
    thinking, answer, _, complete = result(text, reason=StopReason.LENGTH)
    assert (answer, complete) == ("\\boxed{2}", True)
    assert thinking.endswith(cut.strip())


def test_a_stop_of_the_users_brings_no_earlier_answer_back() -> None:
    text = "So.\n**Final Answer**\n\\boxed{2}\nHm.\n**Final Answer**\n\\boxed{"
    assert not result(text, reason=StopReason.INTERRUPT)[3]


@pytest.mark.parametrize("reason", [StopReason.LENGTH, StopReason.BUDGET, StopReason.LOOP])
def test_a_closed_box_stands_whatever_was_cut_after_it(reason: StopReason) -> None:
    box = "**Final Answer**\n\\[\n\\boxed{2}\n\\]\n"
    assert result(f"So.\n{box}", reason=reason)[1:] == (
        "\\[\n\\boxed{2}\n\\]",
        AnswerSource.MARKER,
        True,
    )
    thinking, answer, _, complete = result(f"So.\n{box}\nWait, let me", reason=reason)
    assert (answer, complete) == ("\\[\n\\boxed{2}\n\\]", True)
    assert thinking.endswith("Wait, let me")


def test_a_block_that_was_written_twice_is_whole_and_a_third_that_is_cut_gives_way() -> None:
    block = "**Final Answer**\nThere are two circles, and both are red.\n"
    _, answer, _, complete = result(f"So.\n{block}{block}{block[:-20]}", reason=StopReason.LOOP)
    assert (answer, complete) == ("There are two circles, and both are red.", True)


def test_nothing_at_all_is_no_answer() -> None:
    for style in (MARKER, TAG, PREOPENED, PLAIN):
        assert result("", style) == ("", "", AnswerSource.NONE, False)
    assert result(" \n ") == ("", "", AnswerSource.NONE, False)


def test_thinking_shows_before_its_line_ends() -> None:
    stream = events(["So", " I", " count"], reason=StopReason.LENGTH)
    assert [e for e in stream if isinstance(e, ThinkingDelta)] == [
        ThinkingDelta("So", 1),
        ThinkingDelta(" I", 1),
        ThinkingDelta(" count", 1),
    ]


def test_a_line_that_may_be_a_marker_is_held_back() -> None:
    deltas = [
        e for e in events(["So.\n", "**", "Final", " hour**", "."]) if isinstance(e, ThinkingDelta)
    ]
    assert deltas == [
        ThinkingDelta("So.", 1),
        ThinkingDelta("\n**Final hour**", 3),
        ThinkingDelta(".", 1),
    ]


@pytest.mark.parametrize(
    ("style", "text", "expected"),
    [
        (TAG, "<think>Hm.</think>4", ("Hm.", "4", AnswerSource.TAG, True)),
        (TAG, "\n<think>\nHm.\n</think>\n\n4\n", ("Hm.", "4", AnswerSource.TAG, True)),
        (TAG, "Just 4.", ("", "Just 4.", AnswerSource.WHOLE, True)),
        (TAG, "<thin", ("", "<thin", AnswerSource.WHOLE, True)),
        (TAG, "<think>Hm.", ("Hm.", "", AnswerSource.NONE, False)),
        (TAG, "Hm.\n</think>\n4", ("Hm.", "4", AnswerSource.TAG, True)),
        (TAG, "<think>Hm.</think>\n", ("Hm.", "", AnswerSource.NONE, False)),
        (PREOPENED, "<think>Hm.</think>4", ("Hm.", "4", AnswerSource.TAG, True)),
        (PREOPENED, "Hm.", ("Hm.", "", AnswerSource.NONE, False)),
        (
            ANSWER_TAGS,
            "<think>No <answer> yet.</think><answer>4</answer>\n",
            ("No <answer> yet.", "4", AnswerSource.TAG, True),
        ),
        (LITERAL, "Hm.\nFinal: 4", ("Hm.", "4", AnswerSource.MARKER, True)),
        (PREOPENED, "Hm.\n</think>\n\n4", ("Hm.", "4", AnswerSource.TAG, True)),
        (PREOPENED, "Hm, a < b.</think>4", ("Hm, a < b.", "4", AnswerSource.TAG, True)),
        (PREOPENED, "a</think>b</think>c", ("a</think>b", "c", AnswerSource.TAG, True)),
        (PLAIN, "4 < 5", ("", "4 < 5", AnswerSource.WHOLE, True)),
    ],
)
def test_tags(style: Thinking, text: str, expected: tuple[str, str, AnswerSource, bool]) -> None:
    assert result(text, style) == expected


def test_tokens_are_counted_where_their_text_came_out() -> None:
    stream = events(["I", " see", ".\n", "**Final", " Answer**", "\n", "\\boxed{", "2}"])
    done = stream[-1]
    assert isinstance(done, Done)
    assert done.stats.generated_tokens == 8
    assert done.stats.thinking_tokens + done.stats.answer_tokens == 8
    assert sum(e.tokens for e in stream if isinstance(e, ThinkingDelta | AnswerDelta)) == 8


PIECES = [
    "**Final Answer**",
    "**答案**",
    "\n",
    " ",
    "\\boxed{1}",
    "\\",
    "**",
    "F",
    "a",
    ":",
    "$",
    "\r",
    "### Final Answer",
    "**Final Answer:**",
    "#",
    "*",
    "4",
    "**4**",
    "：",
]
TAGS = ["<think>", "</think>", "<answer>", "</answer>", "<", "/think", ">", "a", "\n", " "]
MARKERS = re.compile(r"FinalAnswer|答案|[*#:：]")
REASONS = st.sampled_from(list(StopReason))


def _cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in pairwise(edges)]


@given(st.lists(st.sampled_from(PIECES)).map("".join), st.lists(st.integers(0, 999)), REASONS)
def test_the_marker_split_does_not_depend_on_the_cut(
    text: str, places: list[int], reason: StopReason
) -> None:
    _assert_same(text, places, MARKER, reason)


@given(
    st.lists(st.sampled_from(TAGS)).map("".join),
    st.lists(st.integers(0, 999)),
    st.sampled_from([TAG, PREOPENED, PLAIN, ANSWER_TAGS]),
    REASONS,
)
def test_the_tag_split_does_not_depend_on_the_cut(
    text: str, places: list[int], style: Thinking, reason: StopReason
) -> None:
    _assert_same(text, places, style, reason)


def _assert_same(text: str, places: list[int], style: Thinking, reason: StopReason) -> None:
    whole, cut = events([text], style, reason), events(_cut(text, places), style, reason)
    assert fold(whole) == fold(cut)
    end, cut_end = whole[-1], cut[-1]
    assert isinstance(end, Done)
    assert isinstance(cut_end, Done)
    assert (end.answer_source, end.complete) == (cut_end.answer_source, cut_end.complete)
    retractions = [e for e in whole if isinstance(e, AnswerRetracted)]
    assert retractions == [e for e in cut if isinstance(e, AnswerRetracted)]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_nothing_that_the_model_wrote_is_lost(text: str) -> None:
    transcript = fold(events([text]))
    kept = "".join((transcript.thinking + transcript.answer).split())
    written = "".join(text.split())
    assert len(kept) <= len(written)
    assert MARKERS.sub("", kept) == MARKERS.sub("", written)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("\\boxed{7}", "7"),
        ("\\[ \\boxed{\\dfrac{1}{5}} \\]", "\\dfrac{1}{5}"),
        ("first \\boxed{1}, then \\boxed{2}", "2"),
        ("\\boxed{ \\text{a \\} b} }", "\\text{a \\} b}"),
        ("\\boxed{1} and \\boxed{2", "1"),
        ("\\boxed{1 and \\boxed{2}", "2"),
        ("{ \\boxed{1} } }", "1"),
        ("It is <|begin_of_box|>4<|end_of_box|>.", "4"),
        ("<|begin_of_box|>4", None),
        ("seven", None),
    ],
)
def test_boxed(answer: str, expected: str | None) -> None:
    assert boxed(answer) == expected
