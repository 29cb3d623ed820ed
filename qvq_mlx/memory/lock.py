"""One big model at a time: a lock file that is held while one is loaded.

Two 40 GiB loads at once do not fail, they take the Mac down. The lock is `flock`, so the kernel
frees it when its holder ends, however that happens; the file holds the holder's process id, which
only serves the sentence that is shown, and it stays where it is.

Law: `taken` either holds the lock when it says so, or it raises, or it ends because of Ctrl-C. A
folder that cannot be written locks nothing: a run is not refused for that.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

from qvq_mlx.core.errors import BigModelBusyError
from qvq_mlx.core.events import Notice
from qvq_mlx.core.remedies import Field, RunProgram
from qvq_mlx.core.tokens import Control
from qvq_mlx.system.files import make_private_folder
from qvq_mlx.system.locks import LockFile, Locking

POLL_S = 0.2
_NAME = "big-model.lock"


class BigModelLock:
    """The lock in `folder`. Create, `take` in a generator, `release` in a `finally`."""

    def __init__(self, folder: Path, sleep: Callable[[float], None]) -> None:
        self._folder = folder
        self._file = LockFile(folder / _NAME)
        self._sleep = sleep
        self._mine = False

    def take(self, control: Control, *, wait: bool) -> Generator[Notice, None, bool]:
        """Say once that another one is waited for, then wait. False where `control` stopped it.

        True at once where this one holds it already. Raises TurnError where another process holds
        it and `wait` is False.
        """
        if self._mine:
            return True
        said = False
        while not self._may_go_on():
            if control.stopping:
                return False
            holder = self._file.holder()
            other = f"another qvq (pid {holder})" if holder else "another qvq"
            if not wait:
                raise BigModelBusyError(
                    (f"{other} has a big model loaded, and ", Field.NO_WAIT, " was given"),
                    RunProgram(("ps", "-p", str(holder))) if holder else None,
                )
            if not said:
                said = True
                yield Notice("waiting", f"waiting for {other} to finish")
            self._sleep(POLL_S)
        self._mine = True
        return True

    def release(self) -> None:
        """May be called at any time, and again."""
        self._mine = False
        self._file.release()

    def _may_go_on(self) -> bool:
        """False while another process holds the lock."""
        try:
            make_private_folder(self._folder)
            return self._file.try_take().may_go_on
        except OSError:  # a folder that cannot be written locks nothing
            return True


def remove_lock_file(folder: Path) -> None:
    """Remove the file, which names its last holder, unless a process holds it. Never raises."""
    file = LockFile(folder / _NAME)
    with suppress(OSError):
        if (folder / _NAME).exists() and file.try_take() is Locking.TAKEN:
            file.release(remove=True)
    file.release()
