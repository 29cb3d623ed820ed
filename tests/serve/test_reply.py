"""Thinking never stands in an answer, whatever a model marks it with."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qvq_mlx.core.card import Thinking, ThinkingStyle
from qvq_mlx.core.events import StopReason, Transcript
from qvq_mlx.core.tokens import Finished, Token
from qvq_mlx.reply.thinking import split
from qvq_mlx.serve.reply import Answer, End, Finish, Piece, Reply
from qvq_mlx.serve.reply import Thinking as Thought

MARKER = Thinking(ThinkingStyle.MARKER, ("**Final Answer**",), ("**Final Answer**",))
TAG = Thinking(ThinkingStyle.TAG)
PREOPENED = Thinking(ThinkingStyle.PREOPENED)
PLAIN = Thinking()


def replied(text: str, thinking: Thinking, *stop: str, size: int = 3) -> list[Piece]:
    """What goes out for a text that comes in tokens of `size` characters."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    steps = [*(Token(index, piece) for index, piece in enumerate(pieces))]
    end = Finished(StopReason.END, "", 3, 0, 0, False)
    reply = Reply(stop, live=thinking.style is ThinkingStyle.NONE)
    return [piece for event in split([*steps, end], thinking) for piece in reply.feed(event)]


def content(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Answer))


@pytest.mark.parametrize(
    ("text", "thinking"),
    [
        ("I see two.\n\n**Final Answer**\n\nthree", MARKER),
        ("<think>I see two.</think>three", TAG),
        ("I see two.</think>three", PREOPENED),
        ("I see.\n\n**Final Answer**\n\ntwo\n\nNo, wait.\n\n**Final Answer**\n\nthree", MARKER),
        ("<think>I see</think>two, no, wait</think>three", TAG),
    ],
)
def test_only_the_answer_that_stands_goes_out_as_content(text: str, thinking: Thinking) -> None:
    for size in (1, 4, len(text)):
        pieces = replied(text, thinking, size=size)
        end = pieces[-1]
        assert isinstance(end, End)
        assert (content(pieces), end.answer, end.finish) == ("three", "three", Finish.STOP)
        thoughts = "".join(piece.text for piece in pieces if isinstance(piece, Thought))
        assert "I see" in thoughts
        assert "I see" in end.thinking


def test_the_answer_of_a_model_that_does_not_think_goes_out_as_it_comes() -> None:
    pieces = replied("one two three", PLAIN)
    assert len([piece for piece in pieces if isinstance(piece, Answer)]) > 2
    assert content(pieces) == "one two three"


@example("baa", ["a", "baa"], 1)
@example("baa", ["a", "baa"], 3)
@given(
    st.text("ab\n", max_size=24), st.lists(st.text("ab", min_size=1), max_size=2), st.integers(1, 5)
)
def test_a_stop_text_ends_the_answer_however_tokens_are_cut(
    text: str, stop: list[str], size: int
) -> None:
    whole = content(replied(text, PLAIN, size=1))
    ends = [(at + len(word), at) for word in stop if (at := whole.find(word)) >= 0]
    end_at = min(ends)[1] if ends else len(whole)  # the one that is complete first
    pieces = replied(text, PLAIN, *stop, size=size)
    # white space at the very end is no part of an answer, and may be held back
    assert content(pieces).rstrip() == whole[:end_at].rstrip()
    end = pieces[-1]
    assert isinstance(end, End)
    assert bool(end.stopped_at) is bool(ends)


def test_a_stop_text_in_the_thinking_means_nothing() -> None:
    pieces = replied("I see two.\n\n**Final Answer**\n\nthree", MARKER, "two")
    assert content(pieces) == "three"


def test_a_token_of_a_long_answer_costs_what_one_of_a_short_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_together = []
    whole = Transcript.answer.fget
    assert whole is not None
    monkeypatch.setattr(
        Transcript, "answer", property(lambda it: put_together.append(1) or whole(it))
    )
    for thinking in (PLAIN, MARKER):
        text = "**Final Answer**\n\n" + "one two three " * 300
        put_together.clear()
        assert content(replied(text, thinking, "\nfour", size=3)).startswith(
            "**" if thinking is PLAIN else "one"
        )
        assert len(put_together) < 8  # at the end, and not with each of the 1,400 tokens


def test_a_retracted_answer_leaves_nothing_of_its_end_before_the_next() -> None:
    text = "I see.\n\n**Final Answer**\n\ntwo ab\n\nNo, wait.\n\n**Final Answer**\n\nc"
    pieces = replied(text, MARKER, "abc", size=1)
    assert content(pieces) == "c"
    assert isinstance(pieces[-1], End)
    assert not pieces[-1].stopped_at
