"""Ctrl-C, twice: the first asks for the answer now, the second stops. SIGTERM and SIGHUP stop.

Law: a signal handler only writes to `Control`; the decode loop acts between two commits, so that
the run ends with `Done` and is saved with its reason. Where there is nothing to conclude (nobody
watches, nothing is thought yet, the answer is being written or checked, the model has no closing
text) the first press stops. A third press, or one that the loop cannot see because a library does
not come back, raises KeyboardInterrupt; a second SIGTERM or SIGHUP raises SystemExit. A signal
that whoever started us ignores (`nohup`, a script's `&`) stays ignored.

Python runs a handler once for all signals of a kind that came while C code ran, a forward pass of
a big model for one. Its wake-up descriptor gets a byte for each of them all the same, so the bytes
are what is counted: two presses within one token are two presses, without a thread.
"""

from __future__ import annotations

import os
import signal
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from qvq_mlx.core.errors import HungUpError, QvqError, StoppedError, TerminatedError
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    Stage,
    ThinkingDelta,
)
from qvq_mlx.core.remedies import Remedy
from qvq_mlx.core.tokens import Control


class Interrupts:
    """The meaning of a signal right now. `ended_by` is the SIGTERM or SIGHUP that came, or 0."""

    def __init__(self, control: Control, *, can_conclude: bool, at_once: bool = False) -> None:
        """`at_once`: nothing reads `control`, so the first signal raises."""
        self.ended_by = 0
        self._control = control
        self._can_conclude = can_conclude
        self._at_once = at_once
        self._thinking = False
        self._held = False
        self._arrived = False

    def saw(self, event: Event) -> None:
        """Keep in step with the stream."""
        match event:
            case ThinkingDelta() | AnswerRetracted() | Progress(stage=Stage.VOTE):
                self._thinking = True
            case AnswerDelta() | Progress(stage=Stage.DOUBLE_CHECK):
                self._thinking = False
            case Done():
                self._arrived = True
            case Progress() | Looked() | Notice():
                pass

    def press(self) -> None:
        """One Ctrl-C."""
        if self._held:
            return
        if self._at_once or (self._control.stopping and not self._saving):
            raise KeyboardInterrupt
        if self._can_conclude and self._thinking and not self._control.concluding:
            self._control.conclude()
        else:
            self._control.stop()

    def end(self, number: int) -> None:
        """One SIGTERM or SIGHUP."""
        again, self.ended_by = bool(self.ended_by), number
        if self._held:
            return
        if self._at_once or (again and not self._saving):
            raise SystemExit(128 + number)
        self._control.stop()

    @property
    def _saving(self) -> bool:
        """The run has ended and is being saved: a second signal would tear it."""
        return self._control.over and not self._arrived

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is raised within: the terminal is being put back."""
        self._held = True
        try:
            yield
        finally:
            self._held = False


def ending(number: int, message: str, remedy: Remedy | None) -> QvqError:
    """The error that says which signal ended a run; 0 is Ctrl-C."""
    match number:
        case signal.SIGTERM:
            return TerminatedError(f"{message} (SIGTERM)", remedy)
        case signal.SIGHUP:
            return HungUpError(f"{message} (SIGHUP)", remedy)
        case _:
            return StoppedError(message, remedy)


@contextmanager
def stoppable(kept: str, remedy: Remedy | None) -> Iterator[None]:
    """For work without a decode loop: Ctrl-C ends it at once, with what is kept and how to go on.

    SIGTERM and SIGHUP end it too, after the screen was cleaned.
    """
    try:
        with handled(Interrupts(Control(), can_conclude=False, at_once=True)):
            yield
    except KeyboardInterrupt:
        raise StoppedError(f"stopped; {kept}", remedy) from None


@contextmanager
def handled(interrupts: Interrupts) -> Iterator[None]:
    """SIGINT presses, SIGTERM and SIGHUP stop; the handlers of before come back afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only
        return
    presses = _Presses()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            for _ in range(presses.new()):
                interrupts.press()
            return
        _resume_output()
        interrupts.end(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    presses.open()
    before = {number: signal.signal(number, on_signal) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        presses.close()


class _Presses:
    """Count the SIGINTs, by the bytes of the wake-up descriptor."""

    def __init__(self) -> None:
        self._ends = (-1, -1)
        self._before = -1
        self._owed = 0  # presses that were taken before their byte was there
        self._ahead = 0  # bytes that were taken before the handler ran for them

    def open(self) -> None:
        """Count from now on."""
        self._ends = os.pipe()
        for end in self._ends:
            os.set_blocking(end, False)
        self._before = signal.set_wakeup_fd(self._ends[1], warn_on_full_buffer=False)

    def new(self) -> int:
        """Presses since the last call, which the handler makes once per call of its own."""
        count = 0
        with suppress(BlockingIOError):
            while data := os.read(self._ends[0], 4096):
                count += data.count(signal.SIGINT)
        if count:
            fresh = max(0, count - self._owed)
            self._owed = max(0, self._owed - count)
            self._ahead = max(0, fresh - 1)
            return fresh
        if self._ahead:
            self._ahead -= 1
            return 0
        self._owed += 1
        return 1

    def close(self) -> None:
        """Give the descriptor back to whoever had it."""
        signal.set_wakeup_fd(self._before)
        for end in self._ends:
            os.close(end)


def _resume_output() -> None:
    """After Ctrl-S a write to the terminal waits for Ctrl-Q, and whoever sent SIGTERM for both."""
    for descriptor in (1, 2):
        with suppress(OSError, termios.error):
            if os.tcgetpgrp(descriptor) == os.getpgrp():  # elsewhere this would stop us
                # Linux starts only what it was told to stop, and Ctrl-S is not that
                termios.tcflow(descriptor, termios.TCOOFF)
                termios.tcflow(descriptor, termios.TCOON)
