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
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
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
    _done: dict[str, list[Status]] = field(default_factory=dict)
    _numbers: array[int] = field(default_factory=lambda: array("Q"))  # of what was written, in turn

    def take(self, keys: Iterable[str]) -> Status | None:
        """As found in the file when it was opened. Keys are pulled as far as they are needed."""
        if not self._done:
            return None
        ended = next((self._done[key] for key in keys if self._done.get(key)), None)
        return ended.pop(0) if ended else None

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
        lines = _read(self.path, self.descriptor)[0]
        before = len(lines) - len(order)
        own = [lines[before + place] for place in order]
        _replace(self.path, self.descriptor, b"".join([*lines[:before], *own]))
        self._numbers = array("Q", sorted(self._numbers))

    def records(self) -> list[Json]:
        """All that is in the file, of earlier runs too."""
        return _read(self.path, self.descriptor)[1]

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
        kept, records = _read(path, descriptor)
        stale = [is_stale(record) for record in records]
        if any(stale) or sum(map(len, kept)) < os.fstat(descriptor).st_size:  # blank lines
            # what stays is written first, in the very file that is locked
            lines = [text for text, old in zip(kept, stale, strict=True) if not old]
            _replace(path, descriptor, b"".join(lines))
        done: dict[str, list[Status]] = {}
        for record, old in zip(records, stale, strict=True):
            if not old:
                done.setdefault(record["key"], []).append(Status(record["status"]))
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


def _read(path: Path, descriptor: int) -> tuple[list[bytes], list[Json]]:
    """The whole lines and their records; what a crash left of a line is cut off.

    Raises OutputError, and touches nothing, where the file holds anything else.
    """
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        content = file.read()
    *whole, rest = content.split(b"\n")
    end = len(content) - len(rest)
    kept: list[bytes] = []
    records: list[Json] = []
    for number, text in enumerate(whole, 1):
        if not text.strip():
            continue
        if (record := _record(text)) is not None:
            kept.append(text + b"\n")
            records.append(record)
        elif number == len(whole) and records and not _is_text(text):
            end -= len(text) + 1  # a newline among the bytes that a crash left
        else:
            raise _foreign(path, number)
    if rest and not _is_torn(rest, ours=bool(records)):
        raise _foreign(path, len(whole) + 1)
    if end < len(content):
        os.ftruncate(descriptor, end)
    return kept, records


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


def _replace(path: Path, descriptor: int, content: bytes) -> None:
    """Other content under the same name, and `descriptor` now writes to it; all or nothing."""
    mode = os.fstat(descriptor).st_mode & 0o777
    try:
        place = output_place(path)
        with PendingFile(place, mode=mode, sync=True, flags=os.O_APPEND) as pending:
            pending.write(content)
            fresh = os.dup(pending.descriptor)  # it shares the lock, which outlives the commit
            try:
                pending.commit()
                os.dup2(fresh, descriptor, inheritable=False)
            finally:
                os.close(fresh)
    except OSError as error:
        raise _failed(path, error) from error


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
