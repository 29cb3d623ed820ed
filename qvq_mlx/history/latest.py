"""Which run was asked last, and whether this terminal's last run was saved.

Law: names of runs sort by the clock, and a clock can be set back. A run whose name is not the
newest is noted in `.asked-last`, together with the newest name of that moment. The note counts
until a run with a newer name is there, and while its own run is there. Without it the newest name
is the run asked last.

A run that could not be saved leaves a mark with the number of the terminal's session, in the first
folder that takes it. The next run of the session that is saved removes it. A mark older than a day
counts no more: a session's number is used again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from qvq_mlx.history.files import PART, WHOLE, File, names_in, runs_among
from qvq_mlx.system.files import make_private_folder, write_private

_NOTE = ".asked-last"
_MARK = ".unsaved-"
_DAY_S = 86_400.0
_NOTE_BYTES = 1024


def note_asked(folder: Path, stem: str) -> None:
    """Remember that `stem` was asked last, where its name does not say so. Raises nothing."""
    name = max((one for one in names_in(folder) if one[0].isdigit()), default=stem)
    newest = name.removesuffix(WHOLE).removesuffix(PART)
    if newest > stem:
        with suppress(OSError):  # a full disk must not end a run that is under way
            write_private(folder / _NOTE, f"{stem}\n{newest}\n".encode())


def by_asking(folder: Path, names: Sequence[str]) -> Iterator[File]:
    """The runs whose files have these names, the one asked last first."""
    found = runs_among(names, folder)
    try:
        with (folder / _NOTE).open("rb") as note:
            asked, newest = note.read(_NOTE_BYTES).decode().split()
    except (OSError, ValueError):
        yield from found
        return
    first = next(found, None)
    if first is None:
        return
    if first.stem > newest:
        yield first
        yield from found
        return
    others = [first, *found]
    others.sort(key=lambda file: file.stem != asked)  # stable: the others stay in order
    yield from others


def forget_asked(folder: Path) -> None:
    """Remove the note: no run is left. Raises OSError."""
    (folder / _NOTE).unlink(missing_ok=True)


def forget_unsaved(folder: Path) -> None:
    """Remove the marks of every terminal in `folder`. Raises OSError."""
    for mark in folder.glob(f"{_MARK}*"):
        mark.unlink(missing_ok=True)


def mark_unsaved(folders: Iterable[Path]) -> None:
    """Remember that the last run of this terminal is not in the history."""
    for folder in folders:
        with suppress(OSError):
            make_private_folder(folder)
            mark = folder / _mark()
            mark.touch(mode=0o600)
            return


def clear_unsaved(folders: Iterable[Path]) -> None:
    """Remember that it is."""
    for folder in folders:
        with suppress(OSError):
            (folder / _mark()).unlink()


def is_unsaved(folders: Iterable[Path]) -> bool:
    """True if the last run of this terminal could not be saved."""
    for folder in folders:
        with suppress(OSError):
            if abs(time.time() - (folder / _mark()).stat().st_mtime) < _DAY_S:
                return True
    return False


def _mark() -> str:
    return f"{_MARK}{os.getsid(0)}"
