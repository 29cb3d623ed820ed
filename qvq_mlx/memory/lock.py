"""One big model at a time: a lock file that is held while one is loaded.

Two 40 GiB loads at once do not fail, they take the Mac down. The lock is `flock`, so the kernel
frees it when its holder ends, however that happens; the file holds the holder's process id, which
only serves the sentence that is shown, and it stays where it is.

Law: `taken` either holds the lock when it says so, or it raises, or it ends because of Ctrl-C. A
folder that cannot be written locks nothing: a run is not refused for that.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator
from pathlib import Path

from qvq_mlx.core.errors import BigModelBusyError
from qvq_mlx.core.events import Notice
from qvq_mlx.core.tokens import Control

POLL_S = 0.2


class BigModelLock:
    """The lock in `folder`. Create, `take` in a generator, `release` in a `finally`."""

    def __init__(self, folder: Path, sleep: Callable[[float], None]) -> None:
        self._path = folder / "big-model.lock"
        self._sleep = sleep
        self._file: int | None = None
        self._mine = False

    def take(self, control: Control, *, wait: bool) -> Generator[Notice, None, bool]:
        """Say once that another one is waited for, then wait. False where `control` stopped it.

        True at once where this one holds it already. Raises TurnError where another process holds
        it and `wait` is False.
        """
        if self._mine:
            return True
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return True
        said = False
        while not self._locked():
            if control.stopping:
                return False
            holder = self._holder()
            other = f"another qvq (pid {holder})" if holder else "another qvq"
            if not wait:
                raise BigModelBusyError(
                    f"{other} has a big model loaded, and --no-wait was given",
                    f"ps -p {holder}" if holder else "",
                )
            if not said:
                said = True
                yield Notice("waiting", f"waiting for {other} to finish")
            self._sleep(POLL_S)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        self._mine = True
        return True

    def release(self) -> None:
        """May be called at any time, and again."""
        self._mine = False
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _locked(self) -> bool:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # a file system without locks
        return True

    def _holder(self) -> str:
        """Its process id; empty in the moment before it is written."""
        assert self._file is not None
        pid = os.pread(self._file, 20, 0).strip()
        return pid.decode() if pid.isdigit() else ""
