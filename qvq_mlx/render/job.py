"""Ctrl-Z and `fg`; the signal SIGQUIT (Ctrl and backslash), which ends the process at once.

Law: a signal handler only sets a flag; the screen acts on it at the next event, between two
frames, so that the terminal is whole while the process is stopped. SIGQUIT is for a process that
does not listen any more: the terminal is put back, and the signal does what it does.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType


class Job:
    """The process under a shell's job control."""

    def __init__(self, put_back: Callable[[], None]) -> None:
        """`put_back` gives the terminal back before SIGQUIT ends the process."""
        self._put_back = put_back
        self.stop_wanted = False
        self.resumed = False
        self._before: dict[signal.Signals, signal.Handlers] = {}

    def open(self) -> None:
        """Listen, unless the shell has no job control."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python delivers signals to the main thread only
        if signal.getsignal(signal.SIGQUIT) is signal.SIG_DFL:
            signal.signal(signal.SIGQUIT, self._on_quit)
            self._before[signal.SIGQUIT] = signal.SIG_DFL
        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
            return
        signal.signal(signal.SIGTSTP, self._on_stop)
        signal.signal(signal.SIGCONT, self._on_continue)
        self._before |= dict.fromkeys((signal.SIGTSTP, signal.SIGCONT), signal.SIG_DFL)

    def stop(self) -> None:
        """Stop as Ctrl-Z does; returns after `fg`."""
        self.stop_wanted = False
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._on_stop)
        self.resumed = False

    def close(self) -> None:
        """Leave the signals as they were."""
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_wanted = True

    def _on_quit(self, number: int, _frame: FrameType | None) -> None:
        self._put_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _on_continue(self, _number: int, _frame: FrameType | None) -> None:
        self.resumed = True
