"""What a follow-up brings along: what is kept where room is short, and how it is retold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.core.rounds import Round, kept, retold

rounds = st.lists(
    st.builds(Round, st.text(max_size=60), st.text(max_size=400), st.integers(0, 3)), max_size=8
)


@given(rounds, st.integers(-100, 3000))
def test_the_newest_stay_within_the_room_and_no_picture_is_lost(
    past: list[Round], room_bytes: int
) -> None:
    found = kept(past, room_bytes)
    assert sum(r.pictures for r in found) == sum(r.pictures for r in past)
    assert len(found) <= len(past)
    assert bool(found) == bool(past)
    assert [r.question for r in found[1:]] == [r.question for r in past[-len(found) :][1:]]
    if sum(r.size_bytes for r in past) <= room_bytes:
        assert list(found) == past
    assert sum(r.size_bytes for r in found) <= max(room_bytes, 256)
    # one more would have been too many
    if 1 <= len(found) < len(past):
        more = past[-len(found) - 1].size_bytes + sum(r.size_bytes for r in past[-len(found) :])
        assert more > max(room_bytes, 256)


def test_without_a_bound_all_stay() -> None:
    past = [Round("q" * 10_000, "a" * 10_000, 1)] * 3
    assert kept(past, None) == tuple(past)
    assert kept([], 100) == ()


def test_a_long_answer_is_cut_and_says_so() -> None:
    [only] = kept([Round("How many?", "中" * 1000, 1)], 600)
    assert only.question == "How many?"
    assert only.answer.endswith("…")
    assert 590 <= only.size_bytes <= 600


def test_the_wording() -> None:
    assert retold("How many?", []) == "How many?"
    past = [Round("How many?", "\\boxed{3}\n", 1), Round(" Red ones? ", "2")]
    assert retold("And blue?", past) == (
        "Earlier questions about the same subject, with your answers:\n\n"
        "Question: How many?\nAnswer: \\boxed{3}\n\n"
        "Question: Red ones?\nAnswer: 2\n\n"
        "Now: And blue?"
    )
