"""The files of the history: their names, ids and locks.

Law: a run has one file here, its `.jsonl` where there is one, else its `.part`. An id is the random
digits at the end of a name; any beginning of it that no other run's id has names the run, and so
does the file's name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nlargest
from pathlib import Path

from qvq_mlx.core.errors import InputError
from qvq_mlx.core.remedies import Ask, Show
from qvq_mlx.system.locks import Locking, try_lock

WHOLE, PART = ".jsonl", ".part"
NEW = ".new"
"""A file that an earlier version was killed on before it was whole."""
TYPED = "chat-input"
"""Name of the file with the lines that were typed in chats."""
SHORT = 4
"""Digits of an id that are shown at least."""
_ID_AT = 23
"""Where the id begins in a name: behind the time."""
_FEW = 64
"""Names that are found without sorting all: a list shows 20 runs as a rule."""
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
    return list(newest_first(folder))[::-1]


def newest_first(folder: Path) -> Iterator[File]:
    """Every run's file, made as they are asked for."""
    return runs_among(names_in(folder), folder)


def runs_among(names: Sequence[str], folder: Path) -> Iterator[File]:
    """The runs whose files have these names, the newest first. Quick for the first of many."""
    known: set[str] | None = None
    for name in _descending(names):
        if name.endswith(WHOLE):
            yield File(name.removesuffix(WHOLE), folder, True)
        elif name.endswith(PART):
            stem = name.removesuffix(PART)
            known = set(names) if known is None else known
            if stem + WHOLE not in known:
                yield File(stem, folder, False)


def names_in(folder: Path) -> list[str]:
    """List a folder, but for hidden files; nothing where there is none."""
    try:
        return [name for name in os.listdir(folder) if name[0] != "."]  # noqa: PTH208
    except OSError:
        return []


def find_file(folder: Path, prefix: str) -> File:
    """The run that `prefix` names. Raises InputError where it is none, or several."""
    names = names_in(folder)
    given = prefix.strip().lower()
    name = Path(given).name.removesuffix(WHOLE).removesuffix(PART)
    found = [
        file
        for file in runs_among([one for one in names if given and name in one], folder)
        if file.id.startswith(given) or ("-" in name and file.stem.startswith(name))
    ]
    if len(found) == 1:
        return found[0]
    if not found and next(runs_among(names, folder), None) is None:
        raise no_run(folder)
    if not found:
        raise InputError(f"no saved run has the id {prefix!r}", Show.RUNS)
    shown = ", ".join(file.id for file in found[2::-1])
    more = ", ..." if len(found) > 3 else ""
    raise InputError(f"{len(found)} saved runs begin with {prefix!r}: {shown}{more}", Show.ALL_RUNS)


def no_run(folder: Path) -> InputError:
    """Return the error of commands that find no saved run."""
    return InputError(f"no run is saved in {folder}", Ask())


def short_ids(names: Iterable[str], shown: Collection[File]) -> dict[str, str]:
    """By stem, the shortest beginning of each id of `shown` that is no other run's.

    `names` are those of the files of all runs.
    """
    begun = {f"-{file.id[:SHORT]}" for file in shown}
    ids = {file.stem: file.id for file in shown}
    # an id stands in a fixed place of our names; others, without `-` there, are all looked at
    place = slice(_ID_AT - 1, _ID_AT + SHORT)
    near = [name for name in names if (at := name[place]) in begun or not "-" <= at < "."]
    for name in near:
        stem = name.removesuffix(WHOLE).removesuffix(PART)
        ids[stem] = stem.rpartition("-")[2]
    in_order = sorted(ids.values())
    needed: dict[str, int] = {}
    for index, one in enumerate(in_order):
        others = in_order[max(0, index - 1) : index] + in_order[index + 1 : index + 2]
        shared = max((_shared(one, other) for other in others), default=0)
        needed[one] = max(SHORT, shared + 1)
    return {file.stem: file.id[: needed[file.id]] for file in shown}


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


def _descending(names: Sequence[str]) -> Iterator[str]:
    """Sort names, but no more of them than are asked for at first."""
    yield from nlargest(_FEW, names)
    if len(names) > _FEW:
        yield from sorted(names, reverse=True)[_FEW:]


def _shared(one: str, other: str) -> int:
    """Count the characters that both begin with."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
