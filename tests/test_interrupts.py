"""What Ctrl-C means, press by press."""

from __future__ import annotations

import os
import signal

import pytest

from qvq_mlx.cli.interrupts import Interrupts, handled
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Progress,
    Stage,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.tokens import Control

THINKING = ThinkingDelta("So", 1)
ANSWERING = AnswerDelta("2", 1)


def pressed(*happenings: object, can_conclude: bool = True) -> Control:
    """A control after some events and presses ("press")."""
    control = Control()
    interrupts = Interrupts(control, can_conclude=can_conclude)
    for happening in happenings:
        if happening == "press":
            interrupts.press()
        else:
            interrupts.saw(happening)  # type: ignore[arg-type]
    return control


def test_the_first_press_concludes_and_the_second_stops() -> None:
    control = pressed(THINKING, "press")
    assert (control.concluding, control.stopping) == (True, False)
    assert pressed(THINKING, "press", "press").stopping


@pytest.mark.parametrize(
    ("happenings", "can_conclude"),
    [
        (["press"], True),  # nothing is thought yet
        ([THINKING, ANSWERING, "press"], True),  # it answers already
        ([THINKING, "press"], False),  # nobody watches, or the model has no closing text
        ([THINKING, "press", ANSWERING, "press"], True),
        ([THINKING, ANSWERING, Progress(Stage.VERIFY, 1, 0), "press"], True),  # it stands already
        ([THINKING, Progress(Stage.VERIFY, 1, 0), "press"], True),  # as one without a marker does
    ],
)
def test_where_there_is_nothing_to_conclude_it_stops(
    happenings: list[object], can_conclude: bool
) -> None:
    assert pressed(*happenings, can_conclude=can_conclude).stopping


def test_after_a_retraction_there_is_something_to_conclude_again() -> None:
    control = pressed(THINKING, ANSWERING, AnswerRetracted("2"), "press")
    assert (control.concluding, control.stopping) == (True, False)


def test_a_vote_can_be_concluded() -> None:
    control = pressed(Progress(Stage.VOTE, 0, 3), "press")
    assert (control.concluding, control.stopping) == (True, False)


def test_what_is_asked_above_holds_below_and_not_the_other_way_round() -> None:
    user = Control()
    one, other = Control(user), Control(user)
    one.conclude(StopReason.BUDGET)
    other.stop(StopReason.LOOP)
    assert (one.concluding, one.stopping, one.conclusion) == (True, False, StopReason.BUDGET)
    assert (user.concluding, user.stopping) == (False, False)
    user.conclude()
    user.stop()
    assert (one.stopping, one.reason, one.conclusion) == (
        True,
        StopReason.INTERRUPT,
        StopReason.BUDGET,
    )
    assert (other.concluding, other.conclusion, other.reason) == (True, None, StopReason.INTERRUPT)
    other.conclude(StopReason.BUDGET)
    assert other.conclusion is None  # the user was first


def test_a_press_that_the_loop_does_not_see_interrupts() -> None:
    with pytest.raises(KeyboardInterrupt):
        pressed("press", "press")


def test_handlers_come_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    control = Control()
    with handled(Interrupts(control, can_conclude=True)):
        os.kill(os.getpid(), signal.SIGINT)
    assert control.stopping
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_kill_ends_with_its_number() -> None:
    with (
        pytest.raises(SystemExit) as ended,
        handled(Interrupts(Control(), can_conclude=True)),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM
