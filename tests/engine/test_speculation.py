"""The account: drafting goes on while it pays, and ends where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.engine.costs import believable
from qvq_mlx.engine.speculation import (
    LEAST_GAIN,
    MOST_DRAFTS,
    Costs,
    Past,
    Speculation,
    best_length,
    expected_tokens,
    hopeless,
)

FREE = Costs(1.0, tuple(1.0 + 0.01 * n for n in range(8)))  # verifying costs next to nothing
DEAR = Costs(1.0, tuple(1.0 * n for n in range(1, 9)))  # as much as single steps
PENDING = mx.array([1])


class Fixed:
    """Always proposes as much as it is asked for."""

    name = "fixed"

    def propose(self, sequence: Sequence[int], pending: mx.array, most: int) -> mx.array:
        return mx.zeros(most, dtype=mx.int32)


def test_expected_tokens() -> None:
    assert expected_tokens(0.0, 5) == 1.0
    assert expected_tokens(1.0, 5) == 6.0
    assert expected_tokens(0.5, 2) == 1.75


@given(st.floats(0, 1), st.floats(0, 2))
def test_the_best_length_has_the_most_tokens_a_second(acceptance: float, draft_s: float) -> None:
    best = best_length(FREE, draft_s, acceptance)

    def speed(drafts: int) -> float:
        cost = FREE.pass_s[drafts] + drafts * draft_s if drafts else FREE.plain_s
        return expected_tokens(acceptance, drafts) / cost * (1 if drafts else LEAST_GAIN)

    assert 0 <= best <= MOST_DRAFTS
    assert all(speed(best) >= speed(other) for other in range(MOST_DRAFTS + 1))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5))
def test_better_guesses_never_mean_shorter_blocks(a: float, b: float, draft_s: float) -> None:
    low, high = sorted((a, b))
    assert best_length(FREE, draft_s, low) <= best_length(FREE, draft_s, high)


def test_where_verifying_costs_as_much_as_single_steps_it_is_off_at_once() -> None:
    assert "2.00 single steps" in hopeless(DEAR, 0.0, Past())
    speculation = Speculation(Fixed(), DEAR)
    assert not speculation.on
    assert speculation.effort.off
    assert Speculation(Fixed(), FREE).on


class Machine:
    """Passes that cost what `real` says, on a clock of their own."""

    def __init__(self, real: Costs, draft_s: float = 0.3) -> None:
        self._real, self._draft_s = real, draft_s
        self.now_s = self.tokens = 0.0

    def speculation(self, said: Costs, draft_s: float = 0.3, **given: Any) -> Speculation:
        return Speculation(Fixed(), said, draft_s, clock=lambda: self.now_s, **given)

    def play(self, speculation: Speculation, accept: Sequence[int], passes: int = 400) -> float:
        """Seconds per token of `passes` passes in which `accept[i]` drafts are right, in turn."""
        began_s, before = self.now_s, self.tokens
        for turn in range(passes):
            drafted = accepted = 0
            spent_s = self._real.plain_s
            if speculation.ready:
                drafted = speculation.propose([], PENDING, 100).size
                accepted = min(accept[turn % len(accept)], drafted)
                spent_s = self._real.pass_s[drafted] + drafted * self._draft_s
            self.now_s += spent_s
            speculation.judged(drafted, accepted)
            self.tokens += accepted + 1
        return (self.now_s - began_s) / (self.tokens - before)


@pytest.mark.parametrize("accept", [[0], [0, 0, 0, 1], [7, 0, 0, 0, 0, 0, 0, 0, 0]])
def test_it_never_costs_more_than_two_percent_of_a_run(accept: list[int]) -> None:
    machine = Machine(FREE)
    assert machine.play(machine.speculation(FREE), accept) <= 1.02 * FREE.plain_s


def test_a_drafter_that_is_never_right_is_not_tried_for_long_where_verifying_is_free() -> None:
    free = Costs(1.0, (1.0,) * 8)
    machine = Machine(free, draft_s=0.0)
    speculation = machine.speculation(free, 0.0)
    machine.play(speculation, [0])
    assert not speculation.on
    assert speculation.effort.drafted_tokens < 300
    assert hopeless(free, 0.0, Past(rate=0.03))


def test_costs_lose_what_other_work_added_to_them() -> None:
    """As measured on a machine that did other work: a plain step longer than a pass, and passes
    over two tokens longer than passes over five.
    """
    found = believable(9.1, [7.2, 8.4, 13.8, 13.5, 19.1, 25.3, 26.9, 32.7])
    assert found == Costs(7.2, (7.2, 8.4, 13.5, 13.5, 19.1, 25.3, 26.9, 32.7))
    found = believable(2.7, [2.4, 8.8, 33.1, 45.9, 16.3, 7.7, 7.8, 9.5])
    assert found == Costs(2.4, (2.4, *(7.7,) * 5, 7.8, 9.5))


def test_good_drafts_go_on_and_are_worth_it() -> None:
    machine = Machine(FREE, draft_s=0.05)
    speculation = machine.speculation(FREE, 0.05)
    assert machine.play(speculation, [7]) < 0.4
    assert speculation.on
    assert speculation.effort.accepted_tokens > 1000


@pytest.mark.parametrize("slower", [0.25, 1.0, 4.0])
def test_costs_of_a_busier_or_an_idler_moment_change_nothing(slower: float) -> None:
    machine = Machine(FREE.times(slower), draft_s=0.05 * slower)
    speculation = machine.speculation(FREE, 0.05)
    assert machine.play(speculation, [7]) < 0.4 * slower
    assert speculation.effort.accepted_tokens > 1000


def test_costs_that_were_measured_wrong_lose_no_more_than_others() -> None:
    """They promise that verifying is free. It is not, and the clock tells after one block."""
    machine = Machine(DEAR)
    speculation = machine.speculation(FREE)
    assert machine.play(speculation, [2]) <= 1.02 * DEAR.plain_s
    assert "would lose time" in speculation.effort.off
    assert speculation.effort.drafted_tokens < 20
    assert speculation.overrun > 1.5
    assert hopeless(FREE, 0.3, Past(overrun=speculation.overrun))


def test_a_pause_of_the_reader_is_no_reason_to_stop_drafting() -> None:
    machine = Machine(FREE, draft_s=0.05)
    speculation = machine.speculation(FREE, 0.05)
    machine.play(speculation, [7], 50)
    machine.now_s += 3600.0
    machine.play(speculation, [7], 50)
    assert speculation.on


def test_forced_tokens_say_nothing_of_plain_decoding() -> None:
    """A block of them takes as long as one of drafts."""
    machine = Machine(FREE, draft_s=0.05)
    speculation = machine.speculation(FREE, 0.05)
    for _ in range(20):
        machine.now_s += 5.0
        speculation.judged(0, 7)
    assert not speculation.ready
    assert machine.play(speculation, [7]) < 0.4


def test_what_is_wanted_always_is_never_off() -> None:
    machine = Machine(DEAR)
    speculation = machine.speculation(DEAR, always=4)
    machine.play(speculation, [0])
    assert speculation.on
    assert speculation.effort.drafted_tokens == 1600


def test_without_a_drafter_it_counts_passes() -> None:
    speculation = Speculation()
    assert not speculation.on
    Machine(FREE).play(speculation, [0], 5)
    assert speculation.effort.passes == 5
    assert speculation.effort.drafter == "none"
