"""Thinking aloud that ends without a marker: its concluding paragraph is the answer."""

from __future__ import annotations

import pytest

from qvq_mlx.core.card import Thinking, ThinkingStyle
from qvq_mlx.core.events import AnswerSource, Done, StopReason, fold
from qvq_mlx.core.tokens import Finished, Step, Token
from qvq_mlx.guards.saved import examine, has_answer
from qvq_mlx.reply.conclusion import concluding_paragraph, thinks_aloud
from qvq_mlx.reply.thinking import split
from qvq_mlx.store.styles import voice

ALOUD = (
    "Let's see. The picture shows two rows of shapes, and one of them has a gap that I fill."
    " The first row has a star, a circle and a square.\n\nWait, maybe the rows are shifted by one."
    " Then the gap is the star."
)
CONCLUSION = "So the shape that is missing in the second row is the star, option 2."
MARKER = voice("qvq")
PREOPENED = voice("qwq-32b")
assert MARKER is not None
assert PREOPENED is not None


def done(text: str, thinking: Thinking, reason: StopReason = StopReason.END, size: int = 5):
    steps: list[Step] = [Token(0, text[at : at + size]) for at in range(0, len(text), size)]
    events = list(split([*steps, Finished(reason, "", 0, 0, 0, False)], thinking))
    assert isinstance(events[-1], Done)
    transcript = fold(events)
    return transcript.thinking, transcript.answer, events[-1]


@pytest.mark.parametrize("thinking", [MARKER, PREOPENED])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_concluding_paragraph_is_the_answer(thinking: Thinking, size: int) -> None:
    thought, answer, end = done(f"{ALOUD}\n\n{CONCLUSION}", thinking, size=size)
    assert (thought, answer) == (ALOUD, CONCLUSION)
    assert (end.answer_source, end.complete) == (AnswerSource.CONCLUSION, True)


def test_what_something_else_ended_has_no_conclusion() -> None:
    _, answer, end = done(f"{ALOUD}\n\n{CONCLUSION}", MARKER, StopReason.LENGTH)
    assert (answer, end.answer_source, end.complete) == ("", AnswerSource.NONE, False)


def test_a_text_that_does_not_think_aloud_is_the_answer_as_a_whole() -> None:
    text = "The picture shows a cat.\n\n" + "It sleeps on a red sofa beside two cushions. " * 9
    _, answer, end = done(text, MARKER)
    assert (answer, end.answer_source) == (text.strip(), AnswerSource.WHOLE)


@pytest.mark.parametrize(
    ("text", "conclusion"),
    [
        ("One.\n\nTwo.", "Two."),
        ("One.\n \nTwo.\nThree.\n", "Two.\nThree."),
        ("One.\n\nSo it is:\n\n\\[ \\boxed{7} \\]", "So it is:\n\n\\[ \\boxed{7} \\]"),
        ("One.\n\n\\[ x = 7 \\]", "\\[ x = 7 \\]"),
        ("One.\n\nThese:\n\n- a\n\n- b", "- b"),
        ("One paragraph alone.", ""),
        ("So:\n\n1. a", ""),
    ],
)
def test_a_formula_keeps_the_sentence_that_announces_it(text: str, conclusion: str) -> None:
    assert concluding_paragraph(text) == conclusion


def test_a_short_text_is_an_answer_however_it_begins() -> None:
    assert not thinks_aloud("So there are three circles.")
    assert thinks_aloud(ALOUD)


@pytest.mark.parametrize("style", [MARKER, PREOPENED])
def test_a_budget_that_ends_inside_the_marker_leaves_none_of_it_in_the_thinking(
    style: Thinking,
) -> None:
    begun = "**Final" if style.style is ThinkingStyle.MARKER else "</thi"
    steps = [
        *(Token(0, text) for text in ("I see ", "two.\n\n", begun)),
        *(Token(0, text, forced=True) for text in (style.closing,)),
        Token(0, "2"),
        Finished(StopReason.END, "", 0, 0, 0, concluded=True),
    ]
    events = list(split(steps, style))
    transcript = fold(events)
    assert (transcript.thinking, transcript.answer) == ("I see two.", "2")
    assert isinstance(events[-1], Done)
    assert events[-1].stats.thinking_tokens == 2


PARAGRAPH = (
    "Wait, maybe it is the blue star. But the blue star is there, so that can't be right.\n\n"
)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("qvq", "Let me look at the picture: four shapes in a row.\n\n" + PARAGRAPH * 120),
        ("deepseek-r1", "Okay, so I need to find the shape that is missing.\n\n" + ALOUD + " Yes."),
        ("qwq-32b", "Okay, so I need to find the shape that is missing.\n\n" + ALOUD + " Yes."),
        ("qvq", f"{ALOUD}\n\n**Final Answer**\n\n\\[ \\box"),
        ("qvq", f"{ALOUD}\n\n**Final Answer**\n\n\\[ x = 3"),
        ("qvq", f"{ALOUD}\n\nSo the answer is \\bo"),
    ],
)
def test_an_endless_or_cut_saved_text_is_not_whole(model: str, text: str) -> None:
    style = voice(model)
    assert style is not None
    assert not has_answer(examine(text, style))


def test_an_answer_without_its_thinking_is_whole_for_a_model_with_tags() -> None:
    text = "To find the area, multiply the sides: 3 times 4 is 12.\n\n\\[ \\boxed{12} \\]"
    found = examine(text, PREOPENED)
    assert has_answer(found)
    assert found.transcript.answer == text


@pytest.mark.parametrize("size", [1, 50, 10_000])
def test_a_passage_said_twice_is_told_however_the_text_was_cut(size: int) -> None:
    passage = " ".join(f"word{number}" for number in range(60)) + ". "
    text = f"So. {passage}Hmm, is that right? Once more. {passage}\n\n**Final Answer**\n\n25\n"
    from qvq_mlx.core.tokens import Control
    from qvq_mlx.guards.supervise import GuardLimits, supervise

    steps: list[Step] = [Token(0, text[at : at + size]) for at in range(0, len(text), size)]
    steps.append(Finished(StopReason.END, "", 0, 0, 0, False))
    events = list(supervise(steps, MARKER, Control(), GuardLimits()))
    assert [event.code for event in events if hasattr(event, "code")] == ["repetition"]
    assert fold(events).answer == "25"
