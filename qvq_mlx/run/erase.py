"""Erases saved runs and what they alone needed, and says how much room that gave."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import BusyError, InputError, StoppedError, UsageError
from qvq_mlx.core.remedies import Remedy, Show
from qvq_mlx.core.rounds import ATTACHMENTS
from qvq_mlx.core.sizes import size
from qvq_mlx.engine.cache_files import KeptFiles, prefixes_in
from qvq_mlx.history import File, erasing, files
from qvq_mlx.memory.lock import remove_lock_file
from qvq_mlx.render.clean import clean_line
from qvq_mlx.render.prompt import confirmed, watched
from qvq_mlx.settings.config import Settings
from qvq_mlx.system.scratch import sweep_scratch

MEASUREMENTS = ("rates", "costs")
"""Folders of the cache with how fast models ran here."""
_REMAINS = (
    "models, settings and accepted licences; files that you had written yourself (answers, batches,"
    " drawn pictures, exports); and what qvq cannot reach: the shell's history, the terminal's"
    " scrollback, backups and snapshots of the disk"
)


def erase(
    found: Sequence[File], settings: Settings, env: Env, about: frozenset[str] = frozenset()
) -> None:
    """Erase the runs of `found`, and the pictures and prefixes that no other run needs.

    `about` are the hashes of more pictures whose prefixes go where no run names them.

    Raises BusyError for a run that is being written, after the others went, and InputError where
    one cannot be erased.
    """
    gone = _erased(found)
    dropped = erasing.drop_pictures(settings.history_folder, gone.sha256s | about)
    freed_bytes = gone.freed_bytes + dropped.freed_bytes
    freed_bytes += _prefixes(settings).drop_about(dropped.sha256s)
    env.stdout.write(f"erased {counted(gone.runs)}, {size(freed_bytes)}\n")
    for folder in gone.folders:
        env.stderr.write(clean_line(f"warning: {folder} is a folder and no run; it stays") + "\n")
    _refuse_busy(gone)


def prune(
    bound: int | timedelta,
    settings: Settings,
    env: Env,
    *,
    dry_run: bool,
    yes: bool,
    remedy: Remedy,
) -> None:
    """Erase after a yes all but the newest `bound` runs, or those that are older than `bound`.

    `dry_run` says what would go; `remedy`: how to say yes beforehand. Raises UsageError where
    nobody can be asked, StoppedError after a no, and what `erase` raises.
    """
    folder = settings.history_folder
    known = files(folder)
    if isinstance(bound, int):
        found = erasing.all_but(known, bound)
    else:
        found = erasing.older_than(known, env.now() - bound)
    if not found:
        freed_bytes = 0 if dry_run else _drop_unnamed(settings)
        of_pictures = f"; pictures that no run needs: {size(freed_bytes)}" if freed_bytes else ""
        env.stdout.write(f"nothing to prune{of_pictures}\n")
    elif dry_run:
        env.stdout.write(f"would erase {described(found)}\n")
    else:
        _ask(described(found), env, yes=yes, remedy=remedy)
        # whoever removed a run by hand left what was computed of its pictures
        erase(found, settings, env, _prefixes(settings).about())


def erase_everything(settings: Settings, env: Env, *, yes: bool, remedy: Remedy) -> None:
    """Erase every trace of every run after a yes, and say what remains.

    That is: runs, kept pictures, what was typed in chats, image prefixes, measurements, and what
    killed processes left in the folder of temporary files. Raises as `prune` does.
    """
    found = files(settings.history_folder)
    prefixes = _prefixes(settings)
    what = f"{counted(len(found))}, all kept pictures, {len(prefixes.entries())} image prefixes"
    _ask(f"{what} and the measurements", env, yes=yes, remedy=remedy)
    gone = _erased(found)
    freed_bytes = gone.freed_bytes + erasing.drop_pictures(settings.history_folder).freed_bytes
    freed_bytes += sum(entry.size_bytes for entry in prefixes.clear())
    for name in MEASUREMENTS:
        freed_bytes += _emptied(settings.cache_folder / name)
    remove_lock_file(settings.cache_folder)
    erasing.drop_notes(settings.cache_folder)
    sweep_scratch()
    for folder in (settings.history_folder / ATTACHMENTS, settings.history_folder):
        _remove_empty(folder)
    for name in ("prefixes", *MEASUREMENTS):
        _remove_empty(settings.cache_folder / name)
    env.stdout.write(f"erased {counted(gone.runs)} and all they left, {size(freed_bytes)}\n")
    env.stdout.write(f"what remains: {_REMAINS}\n")
    _refuse_busy(gone)


def described(found: Sequence[File]) -> str:
    """`3 runs, 20261121 to 20261123, 1.2 MiB`. `found` holds one at least."""
    size_bytes = sum(file.path.stat().st_size for file in found if file.path.exists())
    days = f"{found[0].stem[:8]} to {found[-1].stem[:8]}"
    return f"{counted(len(found))}, {days}, {size(size_bytes)}"


def counted(runs: int) -> str:
    """`1 run`, `2 runs`."""
    return "1 run" if runs == 1 else f"{runs:,} runs"


def _ask(what: str, env: Env, *, yes: bool, remedy: Remedy) -> None:
    if yes:
        return
    if not watched(env):
        raise UsageError(
            f"{what}: nothing is erased without a yes, and nobody is here to say it", remedy
        )
    if not confirmed(f"Erase {what}?", env):
        raise StoppedError("nothing was erased")


def _erased(found: Sequence[File]) -> erasing.Erased:
    try:
        return erasing.erase(dict.fromkeys(found))
    except OSError as error:
        raise InputError(f"{error.filename} cannot be erased: {error.strerror}") from error


def _refuse_busy(gone: erasing.Erased) -> None:
    if gone.busy:
        busy = ", ".join(file.id for file in gone.busy)
        raise BusyError(f"{busy} is being written", Show.RUNS)


def _prefixes(settings: Settings) -> KeptFiles:
    return prefixes_in(settings.cache_folder, settings.cache_max_bytes)


def _drop_unnamed(settings: Settings) -> int:
    """Remove pictures and prefixes of pictures that no run names. Returns the freed bytes."""
    prefixes = _prefixes(settings)
    dropped = erasing.drop_pictures(settings.history_folder, prefixes.about())
    return dropped.freed_bytes + prefixes.drop_about(dropped.sha256s)


def _emptied(folder: Path) -> int:
    """Remove the records of a folder. Returns the freed bytes."""
    freed_bytes = 0
    for path in folder.glob("*.json"):
        with suppress(OSError):
            freed_bytes += path.lstat().st_size
            path.unlink()
    return freed_bytes


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
