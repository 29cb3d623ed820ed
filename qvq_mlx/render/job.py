"""Ctrl-Z and `fg`.

Law: a signal handler only sets a flag; the screen acts on it at the next event, between two
frames, so that the terminal is whole while the process is stopped.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType


class Job:
    """The process under a shell's job control."""

    def __init__(self) -> None:
        self.stop_wanted = False
        self.resumed = False
        self._before: dict[signal.Signals, signal.Handlers] = {}

    def open(self) -> None:
        """Listen, unless the shell has no job control."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python delivers signals to the main thread only
        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
            return
        signal.signal(signal.SIGTSTP, self._on_stop)
        signal.signal(signal.SIGCONT, self._on_continue)
        self._before = dict.fromkeys((signal.SIGTSTP, signal.SIGCONT), signal.SIG_DFL)

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

    def _on_continue(self, _number: int, _frame: FrameType | None) -> None:
        self.resumed = True
