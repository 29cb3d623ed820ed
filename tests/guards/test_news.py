"""Thinking that goes in circles in other words is noticed; thinking that gets on is not."""

from __future__ import annotations

import random

import pytest

from qvq_mlx.guards.loop import LoopDetector, Repetition, Severity


def stale(text: str, step: int = 40) -> list[Repetition]:
    detector = LoopDetector()
    found: list[Repetition] = []
    for start in range(0, len(text), step):
        found += detector.feed(text[start : start + step])
    return [one for one in found + detector.close() if one.severity is Severity.STALE]


def in_any_order(sentences: list[str], times: int, seed: int) -> str:
    draw = random.Random(seed)
    return "Let me see. " + " ".join(draw.choice(sentences) for _ in range(times))


NEAR_EQUAL = [f"Wait, let me check option {letter} again." for letter in "ABCD"]
PARAPHRASES = [
    f"{opening} {doing} {what}."
    for opening in (
        "Wait, let me",
        "Hold on, I should",
        "Hmm, I had better",
        "Alternatively, I could",
    )
    for doing in ("re-check", "look once more at", "go back to")
    for what in ("the second row", "the shape in the corner", "whether it is a star")
]


@pytest.mark.parametrize("seed", range(30))
def test_near_equal_sentences_in_any_order_are_noticed(seed: int) -> None:
    (found,) = stale(in_any_order(NEAR_EQUAL, 300, seed))
    assert found.at_char < 5_000


@pytest.mark.parametrize("seed", range(10))
def test_a_cycle_of_paraphrases_is_noticed(seed: int) -> None:
    (found,) = stale(in_any_order(PARAPHRASES, 600, seed))
    assert found.at_char < 14_000


def test_a_long_passage_said_again_is_noticed_before_the_third_time() -> None:
    draw = random.Random(1)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(2, 8))) for _ in range(900)]
    passage = " ".join(draw.choice(words) for _ in range(3_012)) + " "
    (found,) = stale(passage * 3)
    assert len(passage) < found.at_char < 1.3 * len(passage)


def test_where_the_text_was_cut_changes_nothing() -> None:
    text = in_any_order(PARAPHRASES, 600, 3)
    assert stale(text, 1) == stale(text, 7) == stale(text, len(text)) != []


HONEST = {
    "grids": "\n\n".join(
        f"Generation {n}:\n" + "\n".join("0 1 0 0 1 0 0 0 1 0 0 0" for _ in range(12))
        for n in range(20)
    ),
    "cases": " ".join(
        f"If n is {n}, then n squared is {n * n}, which is too small." for n in range(300)
    ),
    "table": "\n".join(f"| {n} | {n * n} | {n**3} |" for n in range(400)),
    "a recap": (recap := " ".join(f"Step {n} moves the piece by {n} fields." for n in range(60)))
    + " Let me check this once more. "
    + recap,
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_work_is_not_stale(name: str) -> None:
    assert stale(HONEST[name]) == []
