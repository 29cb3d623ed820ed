"""The files of the history: their names, ids and locks.

Law: a run has one file here, its `.jsonl` where there is one, else its `.part`. An id is the random
digits at the end of a name; any beginning of it that no other run's id has names the run, and so
does the file's name.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from qvq_mlx.core.errors import InputError
from qvq_mlx.core.remedies import Ask, Show
from qvq_mlx.system.locks import Locking, try_lock

WHOLE, PART = ".jsonl", ".part"
NEW = ".new"
"""A file that an earlier version was killed on before it was whole."""
SHORT = 4
"""Digits of an id that are shown at least."""
MAX_BYTES = 2**26
"""Of a run's file: a hundred times the longest answer. What is larger is none of ours."""


@dataclass(frozen=True, slots=True, order=True)
class File:
    """A run on the disk. They sort by time."""

    stem: str
    folder: Path
    is_whole: bool

    @property
    def path(self) -> Path:
        """Return the path of the run."""
        return Path(self.place)

    @property
    def place(self) -> str:
        """The same as text: a path object costs more than the file's first line."""
        return f"{self.folder}{os.sep}{self.stem}{WHOLE if self.is_whole else PART}"

    @property
    def id(self) -> str:
        """Eight hexadecimal digits; four in files of an earlier version."""
        return self.stem.rpartition("-")[2]

    @property
    def time(self) -> datetime | None:
        """Read the run's time from its name; None for a name that is none of ours."""
        try:
            found = datetime.strptime(self.stem[:22], "%Y%m%d-%H%M%S-%f")
        except ValueError:
            return None
        return found.replace(tzinfo=UTC)


def files(folder: Path) -> list[File]:
    """Every run's file, oldest first; none where there is no folder."""
    names = names_in(folder)
    whole = {name.removesuffix(WHOLE) for name in names if name.endswith(WHOLE)}
    parts = {name.removesuffix(PART) for name in names if name.endswith(PART)} - whole
    found = [File(stem, folder, True) for stem in whole]
    found += [File(stem, folder, False) for stem in parts]
    found.sort(key=lambda file: file.stem)
    return found


def names_in(folder: Path) -> list[str]:
    """List a folder, but for hidden files; nothing where there is none."""
    try:
        with os.scandir(folder) as found:
            return [entry.name for entry in found if not entry.name.startswith(".")]
    except OSError:
        return []


def find_file(folder: Path, prefix: str) -> File:
    """The run that `prefix` names. Raises InputError where it is none, or several."""
    if not (known := files(folder)):
        raise no_run(folder)
    given = prefix.strip().lower()
    name = Path(given).name.removesuffix(WHOLE).removesuffix(PART)
    found = [
        file
        for file in known
        if given and (file.id.startswith(given) or ("-" in name and file.stem.startswith(name)))
    ]
    if not found:
        raise InputError(f"no saved run has the id {prefix!r}", Show.RUNS)
    if len(found) > 1:
        shown = ", ".join(file.id for file in found[-3:])
        more = ", ..." if len(found) > 3 else ""
        raise InputError(
            f"{len(found)} saved runs begin with {prefix!r}: {shown}{more}", Show.ALL_RUNS
        )
    return found[0]


def no_run(folder: Path) -> InputError:
    """Return the error of commands that find no saved run."""
    return InputError(f"no run is saved in {folder}", Ask())


def short_ids(known: list[File]) -> dict[str, str]:
    """By stem, the shortest beginning of each id that names no other run."""
    ids = sorted(file.id for file in known)
    needed: dict[str, int] = {}
    for index, own in enumerate(ids):
        others = ids[max(0, index - 1) : index] + ids[index + 1 : index + 2]
        shared = max((_shared(own, other) for other in others), default=0)
        needed[own] = max(SHORT, shared + 1)
    return {file.stem: file.id[: needed[file.id]] for file in known}


def being_written(path: Path) -> bool:
    """True if a process may be writing this `.part`, as far as its file system can say.

    False where it is gone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return try_lock(descriptor, shared=True) is not Locking.TAKEN
    finally:
        os.close(descriptor)


def take(path: Path) -> int | None:
    """Lock a `.part` that nobody writes, until the descriptor is closed; None where one may."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with suppress(OSError):
        locked = try_lock(descriptor) is Locking.TAKEN
        facts = os.fstat(descriptor)
        if locked and stat.S_ISREG(facts.st_mode) and facts.st_ino == path.stat().st_ino:
            return descriptor
    os.close(descriptor)
    return None


def _shared(one: str, other: str) -> int:
    """Count the characters that both begin with."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
