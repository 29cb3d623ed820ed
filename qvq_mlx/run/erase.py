"""Erases saved runs and the pictures kept for them, and says how much room that gave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import BusyError, InputError, StoppedError, UsageError
from qvq_mlx.core.remedies import Remedy, Show
from qvq_mlx.core.sizes import size
from qvq_mlx.history import File, erasing
from qvq_mlx.render.prompt import confirmed, watched


def erase(found: Sequence[File], folder: Path, env: Env) -> None:
    """Erase the runs of `found`, which lie in `folder`.

    Raises BusyError for a run that is being written, after the others went, and InputError where
    one cannot be erased.
    """
    try:
        gone = erasing.erase(dict.fromkeys(found))
    except OSError as error:
        raise InputError(f"{error.filename} cannot be erased: {error.strerror}") from error
    freed_bytes = gone.freed_bytes + erasing.drop_pictures(folder)
    env.stdout.write(f"erased {counted(gone.runs)}, {size(freed_bytes)}\n")
    if gone.busy:
        busy = ", ".join(file.id for file in gone.busy)
        raise BusyError(f"{busy} is being written", Show.RUNS)


def prune(found: Sequence[File], folder: Path, env: Env, *, yes: bool, remedy: Remedy) -> None:
    """Erase old runs after a yes. `remedy`: how to say it beforehand.

    Raises UsageError where nobody can be asked, StoppedError after a no, and what `erase` raises.
    """
    what = described(found)
    if not yes:
        if not watched(env):
            raise UsageError(
                f"{what}: nothing is erased without a yes, and nobody is here to say it", remedy
            )
        if not confirmed(f"Erase {what}?", env):
            raise StoppedError("nothing was erased")
    erase(found, folder, env)


def described(found: Sequence[File]) -> str:
    """`3 runs, 20261121 to 20261123, 1.2 MiB`. `found` holds one at least."""
    size_bytes = sum(file.path.stat().st_size for file in found if file.path.exists())
    days = f"{found[0].stem[:8]} to {found[-1].stem[:8]}"
    return f"{counted(len(found))}, {days}, {size(size_bytes)}"


def counted(runs: int) -> str:
    """`1 run`, `2 runs`."""
    return "1 run" if runs == 1 else f"{runs:,} runs"
