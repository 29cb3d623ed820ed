"""A reply whose parts were told by whoever wrote it: no rule of a style is asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qvq_mlx.core.card import Thinking, ThinkingStyle
from qvq_mlx.core.events import AnswerSource, Done, StopReason, checked, fold
from qvq_mlx.core.tokens import Finished, Part, Step, Token
from qvq_mlx.reply.thinking import split

STYLES = [
    Thinking(),
    Thinking(ThinkingStyle.MARKER, markers=("**Final Answer**",)),
    Thinking(ThinkingStyle.TAG),
    Thinking(ThinkingStyle.PREOPENED),
]
T, A = Part.THINKING, Part.ANSWER


def steps(pieces: list[tuple[Part, str]], reason: StopReason) -> Iterator[Step]:
    for number, (part, text) in enumerate(pieces):
        yield Token(number, text, part=part)
    yield Finished(reason, "", 9, 0, 0, False)


@pytest.mark.parametrize("style", STYLES, ids=[one.style for one in STYLES])
@pytest.mark.parametrize(
    ("pieces", "thinking", "answer"),
    [
        ([(T, "Hm. "), (T, "So."), (A, "\n\n3"), (A, ".")], "Hm. So.", "3."),
        ([(A, "3")], "", "3"),
        ([(T, "**Final Answer**\n\n4</think>5"), (A, "3")], "**Final Answer**\n\n4</think>5", "3"),
        ([(T, "Hm."), (A, "4"), (T, " No."), (A, "3")], "Hm.4 No.", "3"),
        ([(T, "Hm."), (A, " \n")], "Hm.", ""),
    ],
)
def test_what_is_told_counts(
    style: Thinking, pieces: list[tuple[Part, str]], thinking: str, answer: str
) -> None:
    events = list(checked(split(steps(pieces, StopReason.END), style)))
    transcript, done = fold(events), events[-1]
    assert isinstance(done, Done)
    assert (transcript.thinking, transcript.answer) == (thinking, answer)
    assert done.complete is bool(answer)
    assert done.answer_source is (AnswerSource.TAG if answer else AnswerSource.NONE)
    assert done.stats.generated_tokens == len(pieces)


@pytest.mark.parametrize("reason", [StopReason.LENGTH, StopReason.INTERRUPT, StopReason.LOOP])
def test_an_answer_that_was_cut_is_not_whole(reason: StopReason) -> None:
    *_, done = split(steps([(T, "Hm."), (A, "3 or")], reason), Thinking())
    assert isinstance(done, Done)
    assert not done.complete
