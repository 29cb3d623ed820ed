"""What Ctrl-C means, press by press."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from qvq_mlx.core.errors import StoppedError
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    Progress,
    Stage,
    Stats,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.tokens import Control
from qvq_mlx.run.signals import Interrupts, handled, stoppable


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """A test runner in the background ignores Ctrl-C, and what is ignored stays so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


THINKING = ThinkingDelta("So", 1)
ANSWERING = AnswerDelta("2", 1)
CHECKING = Progress(Stage.DOUBLE_CHECK, 1, 0)


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
        ([THINKING, ANSWERING, CHECKING, "press"], True),  # it stands already
        ([THINKING, CHECKING, "press"], True),  # as one without a marker does
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_kill_stops_and_the_second_one_ends(number: int) -> None:
    control = Control()
    interrupts = Interrupts(control, can_conclude=True)
    with handled(interrupts):
        os.kill(os.getpid(), number)
        assert control.stopping
        assert control.reason is StopReason.INTERRUPT
        assert interrupts.ended_by == number
        with pytest.raises(SystemExit) as ended:
            os.kill(os.getpid(), number)
    assert ended.value.code == 128 + number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_work_without_a_loop_ends_at_the_first_kill(number: int) -> None:
    with pytest.raises(SystemExit) as ended, stoppable("nothing was changed", "qvq verify"):
        os.kill(os.getpid(), number)
    assert ended.value.code == 128 + number


def test_work_without_a_loop_says_what_is_kept_at_ctrl_c() -> None:
    with (
        pytest.raises(StoppedError, match="nothing was changed"),
        stoppable("nothing was changed", ""),
    ):
        os.kill(os.getpid(), signal.SIGINT)


def test_nothing_is_raised_while_the_terminal_is_put_back() -> None:
    interrupts = Interrupts(Control(), can_conclude=False, at_once=True)
    with handled(interrupts), interrupts.held():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert interrupts.ended_by == signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_our_parent_ignores_stays_ignored(number: int) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    control = Control()
    try:
        with handled(Interrupts(control, can_conclude=True)):
            os.kill(os.getpid(), number)
            assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
    assert not control.stopping


@pytest.mark.parametrize("presses", [1, 2, 3])
def test_presses_within_one_call_of_c_are_all_counted(presses: int) -> None:
    """A forward pass does not come back to Python: no handler runs until it is over."""
    press = f"time.sleep(0.05); os.kill({os.getpid()}, 2)\n"
    code = f"import os, time\n{press * presses}"
    control = Control()
    interrupts = Interrupts(control, can_conclude=True)
    interrupts.saw(THINKING)
    outcome = pytest.raises(KeyboardInterrupt) if presses == 3 else nullcontext()
    with handled(interrupts):
        presser = subprocess.Popen([sys.executable, "-c", code])
        with outcome:
            while presser.poll() is None or not control.concluding:
                hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000)  # half a second
        presser.wait()
    assert (control.concluding, control.stopping) == (True, presses > 1)


def test_nothing_is_raised_while_what_has_ended_is_saved() -> None:
    control = Control()
    interrupts = Interrupts(control, can_conclude=True)
    control.over = True
    interrupts.press()
    assert control.stopping  # of several runs the next one does not begin
    interrupts.press()
    interrupts.end(signal.SIGTERM)
    interrupts.end(signal.SIGTERM)
    interrupts.saw(Done(StopReason.INTERRUPT, AnswerSource.NONE, False, False, Stats()))
    with pytest.raises(KeyboardInterrupt):
        interrupts.press()  # it is being shown, and a pipe may not take it
