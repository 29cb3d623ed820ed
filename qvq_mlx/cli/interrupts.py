"""Ctrl-C, twice: the first asks for the answer now, the second stops.

Law: a signal handler only writes to `Control`; the decode loop acts between two commits. Where
there is nothing to conclude (nobody watches, nothing is thought yet, the answer is being written
or checked, the model has no closing text) the first press stops. A third press, or one that the
loop cannot see because a library does not come back, raises KeyboardInterrupt.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from qvq_mlx.core.errors import StoppedError
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Event,
    Progress,
    Stage,
    ThinkingDelta,
)
from qvq_mlx.core.tokens import Control


class Interrupts:
    """What a press of Ctrl-C means right now."""

    def __init__(self, control: Control, *, can_conclude: bool) -> None:
        self._control = control
        self._can_conclude = can_conclude
        self._thinking = False

    def saw(self, event: Event) -> None:
        """Keep in step with the stream."""
        match event:
            case ThinkingDelta() | AnswerRetracted() | Progress(stage=Stage.VOTE):
                self._thinking = True
            case AnswerDelta() | Progress(stage=Stage.VERIFY):
                self._thinking = False
            case _:
                pass

    def press(self) -> None:
        """One Ctrl-C."""
        if self._control.stopping:
            raise KeyboardInterrupt
        if self._can_conclude and self._thinking and not self._control.concluding:
            self._control.conclude()
        else:
            self._control.stop()


@contextmanager
def stoppable(kept: str, hint: str) -> Iterator[None]:
    """For work without a decode loop: Ctrl-C ends it at once, with what is kept and how to go on.

    SIGTERM and SIGHUP end it too, after the screen was cleaned.
    """
    quiet = Control()
    quiet.stop()  # so that the first press raises
    try:
        with handled(Interrupts(quiet, can_conclude=False)):
            yield
    except KeyboardInterrupt:
        raise StoppedError(f"stopped; {kept}", hint) from None


@contextmanager
def handled(interrupts: Interrupts) -> Iterator[None]:
    """SIGINT presses, SIGTERM and SIGHUP stop; the handlers of before come back afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only
        return

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGINT:
            raise SystemExit(128 + number)
        interrupts.press()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
