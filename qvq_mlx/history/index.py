"""Index the words of saved runs, so that a search reads few of them.

    .index.sqlite             blocks of runs, each with its words and an FTS5 table
    .index.sqlite-journal     SQLite's, while it writes
    .index.lock               there while a process reads or writes the index

Law: the runs' files are the truth. The index only says which runs do not hold a word, and a run is
read before it is shown. A run that is not in the index may hold every word; so may one whose size
or time of change is another one than the index notes. Those are compared for the newest 10,000
runs: nothing of ours writes a whole run again, so this is for files that were edited by hand.

A missing index is made; so is one of another version or other Unicode tables, one that SQLite
finds broken, and one that somebody else wrote to: qvq sets the file's time of change and notes it
inside, and another time is not believed. A process that is killed leaves the index as it was, or
one that is not believed. Where the index cannot be written or is in use, all runs are read.

A block holds at most 2,000 runs. Where one of them is gone its block is dropped, with zeros in its
place, and the next search reads the others again: no word of an erased run stays.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

from qvq_mlx.history.files import WHOLE, names_in
from qvq_mlx.history.word_blocks import SCHEMA, current, holding, transaction, up_to_date
from qvq_mlx.system.locks import LockFile

_NAME, _LOCK = ".index.sqlite", ".index.lock"
_STAMP = f"2 {unicodedata.unidata_version}"
"""The layout's version, and that of the tables that say what a letter is."""
_MOMENT_S, _ERASING_S = 0.01, 5.0
_SCHEMA = f"CREATE TABLE seal(stamp TEXT, changed_ns INTEGER);{SCHEMA}"


def index_files(folder: Path) -> tuple[Path, ...]:
    """Every file that the index may have in the history's folder. All of them can be removed."""
    return tuple(folder / name for name in (_NAME, f"{_NAME}-journal", _LOCK))


def may_hold(
    folder: Path, names: Sequence[str], needles: Sequence[str], is_reading: Callable[[int], None]
) -> list[str]:
    """Those of the folder's `names` whose runs may hold every needle, which are case-folded.

    Brings the index up to date; `is_reading` hears before that how many runs are read. All names
    where there can be no index. Raises nothing of its own.
    """
    for _ in range(2):  # a broken index is removed, and made again
        try:
            with _opened(folder, 0.0) as database:
                if database is None:
                    return list(names)
                seal = partial(_seal, database, folder / _NAME)
                blocks, others = up_to_date(database, folder, names, is_reading, seal)
                return [*holding(database, blocks, needles), *others]
        except (sqlite3.Error, OSError, ValueError):
            _remove(folder)
    return list(names)


def forget_erased(folder: Path) -> None:
    """Remove the words of runs whose files are gone. Raises nothing.

    It comes after the files went, so that a search which still reads them is corrected too.
    """
    if not (folder / _NAME).exists():
        return
    with suppress(sqlite3.Error, OSError, ValueError), _opened(folder, _ERASING_S) as database:
        names = names_in(folder)
        if database is not None and any(name.endswith(WHOLE) for name in names):
            current(database, folder, names)
            return
    _remove(folder)


@contextmanager
def _opened(folder: Path, wait_s: float) -> Iterator[sqlite3.Connection | None]:
    """Lock the index and open it; seal it at the end where it was changed.

    None where another process holds the lock for `wait_s`. Raises sqlite3.Error, OSError.
    """
    lock = LockFile(folder / _LOCK)
    last_try_s = time.monotonic() + wait_s
    while not lock.try_take().may_go_on:
        if time.monotonic() >= last_try_s:
            yield None
            return
        time.sleep(_MOMENT_S)
    path = folder / _NAME
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0.0)) as database:
            _check(database, path)
            changes = database.total_changes
            try:
                yield database
            finally:  # whole blocks are kept, whatever ended the reading
                if database.total_changes != changes:
                    _seal(database, path)
    finally:
        lock.release(remove=True)


def _check(database: sqlite3.Connection, path: Path) -> None:
    """Give a new index its tables. Raises sqlite3.Error for one that is not believed."""
    database.execute("PRAGMA secure_delete = ON")
    if not path.stat().st_size:
        database.executescript(_SCHEMA)
        _seal(database, path)
    sealed = database.execute("SELECT stamp, changed_ns FROM seal").fetchone()
    if sealed != (_STAMP, path.stat().st_mtime_ns):
        raise sqlite3.DatabaseError("another version made it, or somebody else wrote to it")


def _seal(database: sqlite3.Connection, path: Path) -> None:
    """Note and set a time of change that nobody else causes, and no file system rounds."""
    changed_ns = random.randrange(2**28) * 2 * 10**9  # noqa: S311
    with transaction(database):
        database.execute("DELETE FROM seal")
        database.execute("INSERT INTO seal VALUES (?, ?)", (_STAMP, changed_ns))
    os.utime(path, ns=(changed_ns, changed_ns))


def _remove(folder: Path) -> None:
    for path in index_files(folder)[:-1]:
        with suppress(OSError):
            path.unlink()
