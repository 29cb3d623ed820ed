"""The output file of a batch: what is done, and one line more for every item.

Law: a line is written with one call and is on the disk before the next item begins, so a crash
costs at most the item in flight. Half a line, NULs and garbage that a crash left behind the
last record are cut off when the file is opened again, and blank lines are taken out. One process
at a time writes to it.
"""

from __future__ import annotations

import os
import stat
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Protocol, TextIO

from qvq_mlx.batch.record import BatchRecord, Status, line
from qvq_mlx.core.errors import BusyError, OutputError
from qvq_mlx.core.remedies import BatchAgain, Field, RunProgram
from qvq_mlx.records.runs import Json
from qvq_mlx.system.files import PendingFile
from qvq_mlx.system.locks import try_lock
from qvq_mlx.system.outputs import output_place
from qvq_mlx.system.reading import parse_json

_BEGINNING = b'{"version": '  # of every line
_PART_BYTES = 2**20

_Done = dict[str, Status | deque[Status]]
"""By key; of copies of an item how each of them ended. Most have none, and need no list."""

_Place = tuple[int, int]
"""Where a line begins, and its bytes with the newline."""


class Ledger(Protocol):
    """A place for the records."""

    def take(self, keys: Iterable[str]) -> Status | None:
        """Return how an item with one of `keys` ended in an earlier run; None: it has to be asked.

        Each record of an earlier run stands for one item: two copies of a picture are two.
        """

    def write(self, record: BatchRecord, number: int) -> None:
        """Add the record of item `number`."""

    def arrange(self) -> None:
        """Put the records that were written in the order of their items, where that can be."""

    def close(self) -> None:
        """The last one is written."""


@dataclass(slots=True)
class StreamLedger:
    """stdout, or nothing (a person reads the answers as they come): nothing was there before."""

    stream: TextIO | None

    def take(self, keys: Iterable[str]) -> Status | None:  # noqa: ARG002
        """There was none."""
        return None

    def write(self, record: BatchRecord, number: int) -> None:
        """One line, at once. Raises BrokenPipeError where nobody reads."""
        del number
        if self.stream is not None:
            self.stream.write(line(record))
            self.stream.flush()

    def arrange(self) -> None:
        """Leave the records in the order in which they were printed."""

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass(slots=True)
class FileLedger:
    """The file of `-o`. `open_ledger` makes it."""

    path: Path
    descriptor: int
    _done: _Done = field(default_factory=dict)
    _numbers: array[int] = field(default_factory=lambda: array("Q"))  # of what was written, in turn

    def take(self, keys: Iterable[str]) -> Status | None:
        """As found in the file when it was opened. Keys are pulled as far as they are needed."""
        if not self._done:
            return None
        key = next((key for key in keys if key in self._done), None)
        if key is None:
            return None
        ended = self._done[key]
        if isinstance(ended, Status):
            del self._done[key]
            return ended
        first = ended.popleft()
        if not ended:
            del self._done[key]
        return first

    def write(self, record: BatchRecord, number: int) -> None:
        """Append, and wait for the disk."""
        content = line(record).encode("utf-8", errors="backslashreplace")
        try:
            written = os.write(self.descriptor, content)
            if written != len(content):
                raise OSError(28, "No space left on device")
            os.fsync(self.descriptor)
        except OSError as error:
            raise _failed(self.path, error) from error
        self._numbers.append(number)

    def arrange(self) -> None:
        """All or nothing; what earlier runs had written stays in front."""
        order = sorted(range(len(self._numbers)), key=self._numbers.__getitem__)
        if order == list(range(len(order))):
            return
        lines = _Places()
        for place, _ in _records(self.path, self.descriptor):
            lines.add(place)
        before = len(lines) - len(order)
        places = chain(range(before), (before + place for place in order))
        _replace(self.path, self.descriptor, map(lines.__getitem__, places))
        self._numbers = array("Q", sorted(self._numbers))

    def records(self) -> Iterator[Json]:
        """Yield all that is in the file, of earlier runs too, while it is open."""
        for _, record in _records(self.path, self.descriptor):
            yield record

    def close(self) -> None:
        """Let go of the file. May be called once."""
        os.close(self.descriptor)


def open_ledger(path: Path, is_stale: Callable[[Json], bool]) -> FileLedger:
    """The file at `path`, made if it is missing, repaired if a crash left half a line.

    Records that `is_stale` says are taken out: they will be asked anew. Raises OutputError, and
    BusyError where another process writes to it.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(output_place(path), flags, 0o600)
    except OSError as error:
        raise _failed(path, error) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OutputError(
                (Field.OUTPUT, f" {path} is no file: what is done could not be read from it"),
                BatchAgain("out.jsonl", piped=True),
            )
        _lock(path, descriptor)
        kept, any_is_stale = _Places(), False
        done: _Done = {}
        for place, record in _records(path, descriptor):
            if is_stale(record):
                any_is_stale = True
                continue
            kept.add(place)
            _add(done, record["key"], Status(record["status"]))
        if any_is_stale or kept.size_bytes < os.fstat(descriptor).st_size:  # or blank lines
            # what stays is written first, in the very file that is locked
            _replace(path, descriptor, map(kept.__getitem__, range(len(kept))))
        return FileLedger(path, descriptor, done)
    except BaseException:
        os.close(descriptor)
        raise


def is_error(record: Json) -> bool:
    """True if this record says that its item could not be asked."""
    return record.get("status") == Status.ERROR


def asked_of(record: Json) -> tuple[str, tuple[str, ...], str]:
    """Model, paths and question of a record."""
    return str(record.get("model")), tuple(record.get("paths", ())), str(record.get("question"))


def _lock(path: Path, descriptor: int) -> None:
    if not try_lock(descriptor).may_go_on:
        raise BusyError(f"another process writes to {path}", RunProgram(("fuser", str(path))))


class _Places:
    """The lines of a file by where they begin and how many bytes they have, newlines included."""

    def __init__(self) -> None:
        self._offsets = array("Q")
        self._sizes = array("Q")

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, number: int) -> _Place:
        return self._offsets[number], self._sizes[number]

    @property
    def size_bytes(self) -> int:
        return sum(self._sizes)

    def add(self, place: _Place) -> None:
        offset, size = place
        self._offsets.append(offset)
        self._sizes.append(size)


def _add(done: _Done, key: str, status: Status) -> None:
    before = done.get(key)
    if before is None:
        done[key] = status
    elif isinstance(before, Status):
        done[key] = deque((before, status))
    else:
        before.append(status)


def _records(path: Path, descriptor: int) -> Iterator[tuple[_Place, Json]]:
    """Yield the records and where they stand, one line in memory at a time.

    What a crash left of a line is cut off in the end. Raises OutputError, and touches nothing,
    where the file holds anything else.
    """
    offset, found = 0, False
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        for number, text in enumerate(file, 1):
            if not text.endswith(b"\n"):
                if not _is_torn(text, ours=found):
                    raise _foreign(path, number)
                break
            if text.strip():
                if (record := _record(text)) is not None:
                    found = True
                    yield (offset, len(text)), record
                elif found and not _is_text(text) and _is_last(rest := file.readline()):
                    # a newline among the bytes that a crash left
                    if rest and not _is_torn(rest, ours=True):
                        raise _foreign(path, number + 1)
                    break
                else:
                    raise _foreign(path, number)
            offset += len(text)
        else:
            return
    os.ftruncate(descriptor, offset)


def _is_last(rest: bytes) -> bool:
    """True if what follows a line is no whole one."""
    return not rest.endswith(b"\n")


def _record(text: bytes) -> Json | None:
    """The record in a line; None for anything else."""
    try:
        record = parse_json(text)
    except ValueError:
        return None
    if not isinstance(record, dict) or record.get("type") != "item":
        return None
    is_ours = isinstance(record.get("key"), str) and record.get("status") in set(Status)
    return record if is_ours else None


def _is_torn(rest: bytes, *, ours: bool) -> bool:
    """True if bytes without a newline are what a crash leaves: half a record, or, where the file is
    `ours`, blocks that were never written: NULs or what lay there before.
    """
    if rest[: len(_BEGINNING)] == _BEGINNING[: len(rest)] or not rest.strip(b"\0"):
        return True
    return ours and not _is_text(rest)


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def _replace(path: Path, descriptor: int, places: Iterable[_Place]) -> None:
    """Only these lines under the same name, and `descriptor` now writes to it; all or nothing."""
    mode = os.fstat(descriptor).st_mode & 0o777
    try:
        place = output_place(path)
        with PendingFile(place, mode=mode, sync=True, flags=os.O_APPEND) as pending:
            for part in _joined(os.pread(descriptor, size, offset) for offset, size in places):
                pending.write(part)
            fresh = os.dup(pending.descriptor)  # it shares the lock, which outlives the commit
            try:
                pending.commit()
                os.dup2(fresh, descriptor, inheritable=False)
            finally:
                os.close(fresh)
    except OSError as error:
        raise _failed(path, error) from error


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines, many at a time: a call of the system for each would take its time."""
    part = bytearray()
    for text in lines:
        part += text
        if len(part) >= _PART_BYTES:
            yield bytes(part)
            part.clear()
    yield bytes(part)


def _foreign(path: Path, number: int) -> OutputError:
    return OutputError(
        f"{path}: line {number} is no record of qvq batch; the file is left as it is",
        BatchAgain("other.jsonl"),
    )


def _failed(path: Path, error: OSError) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(
        (Field.OUTPUT, f" {path} cannot be written: {reason}"),
        RunProgram(("ls", "-ld", str(path.parent))),
    )
