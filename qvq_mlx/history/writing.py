"""Saves a run as it passes, and makes whole what a killed process left behind.

Law: a line is on the disk when it happens, thinking at the latest after 80 characters, so a crash
loses no more than that. At the end everything is written once more, in one go, with consecutive
deltas of a kind merged. Progress is not kept. A run that an exception ended says so in its last
notice.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TextIO

from qvq_mlx.core.events import (
    UNSAVED,
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    ThinkingDelta,
)
from qvq_mlx.history.files import MAX_BYTES, NEW, PART, WHOLE, names_in, take
from qvq_mlx.history.reading import interrupted, whole_records
from qvq_mlx.records.runs import Json, RequestRecord, event_to_json
from qvq_mlx.system.files import make_private_folder, remove_leftovers, write_private
from qvq_mlx.system.locks import lock_new
from qvq_mlx.system.reading import why

_MERGED_CHARACTERS = 80
_YOUNG_S = 60.0
"""An empty part that is younger may belong to a process that is about to lock it."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # no UTF-8 stands for it


def record(
    events: Iterable[Event], request: RequestRecord, folder: Path, now: datetime
) -> Iterator[Event]:
    """The same events, saved as they pass. `Done` comes out when the run is committed."""
    settle(folder)
    try:
        draft = _Draft(folder, request, now)
    except OSError as error:
        yield Notice(UNSAVED, f"this run is not saved in {folder}: {why(error)}")
        yield from events
        return
    try:
        for event in events:
            if isinstance(event, Done) and not draft.end(event):
                yield Notice(UNSAVED, "this run is not saved whole: the disk is full")
            elif not isinstance(event, Done):
                draft.add(event)
            yield event
    except BaseException as error:
        draft.fail(error)
        raise
    finally:
        draft.close()


def settle(folder: Path) -> None:
    """Make a whole file of every run that a killed process left behind, as far as it can be."""
    for name in names_in(folder):
        if name.endswith(PART) and (held := take(folder / name)) is not None:
            try:
                with suppress(OSError):  # it is still listed, and the next run tries again
                    _settle(folder / name, held)
            finally:
                os.close(held)


class _Draft:
    """A run's `.part`, locked for as long as it is open, and what it will say in the end."""

    def __init__(self, folder: Path, request: RequestRecord, now: datetime) -> None:
        from qvq_mlx.history.latest import note_asked

        self._stem, self._file = _created(folder, now)
        note_asked(folder, self._stem)
        self._folder = folder
        began = now.isoformat(timespec="seconds")
        head = {**asdict(request), "time": began}
        self._head = _line(head)
        self._events: list[Event] = []
        self._held: ThinkingDelta | AnswerDelta | None = None
        self._failed = False
        try:
            self._put(self._head)
        except BaseException:
            self._file.close()
            raise

    def add(self, event: Event) -> None:
        """Keep one event, on the disk as soon as it is worth a line."""
        match event:
            case Progress():
                return
            case ThinkingDelta() | AnswerDelta():
                if self._held is not None and type(self._held) is not type(event):
                    self._flush()
                self._held = event if self._held is None else _joined(self._held, event)
                if len(self._held.text) >= _MERGED_CHARACTERS:
                    self._flush()
            case AnswerRetracted() | Looked() | Notice() | Done():
                self._flush()
                self._save(event)

    def end(self, event: Event | None) -> bool:
        """Commit the run, with its last event where there is one. False where that failed."""
        self._flush()
        if event is not None:
            self._save(event)
        if self._failed:
            return False
        try:
            _publish(self._folder, self._stem, [self._head, *_lines(self._events)])
        except OSError:
            return False
        return True

    def fail(self, error: BaseException) -> None:
        """An exception ended the run, or whoever read it went away: say so, and commit the rest.

        What the user or the system stopped was interrupted; anything else failed, and has no end.
        """
        if self._events and isinstance(self._events[-1], Done):
            return
        cause = error.__context__ if isinstance(error, GeneratorExit) else error
        said = Notice("ended", _named(cause))
        if cause is None or isinstance(cause, KeyboardInterrupt | SystemExit | BrokenPipeError):
            self.add(said)
            self.end(interrupted(self._events))
        else:
            self.end(said)

    def close(self) -> None:
        """Let go of the part. May be called again."""
        with suppress(OSError):
            self._file.close()

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._save(held)

    def _save(self, event: Event) -> None:
        self._events.append(event)
        if not self._failed:
            try:
                self._put(_line(event_to_json(event)))
            except OSError:
                self._failed = True  # a full disk must not end a run that is under way

    def _put(self, line: str) -> None:
        self._file.write(line)
        self._file.flush()


def _named(cause: BaseException | None) -> str:
    """`SIGTERM`, `MemoryError: no room`."""
    if cause is None:
        return "nobody read on"
    if isinstance(cause, SystemExit) and isinstance(cause.code, int) and cause.code > 128:
        with suppress(ValueError):
            return signal.Signals(cause.code - 128).name
    return f"{type(cause).__name__}: {cause}".removesuffix(": ")


def _created(folder: Path, now: datetime) -> tuple[str, TextIO]:
    """A new part, locked, and its name without the ending."""
    make_private_folder(folder)
    began = now.astimezone(UTC)
    while True:
        stem = f"{began:%Y%m%d-%H%M%S-%f}-{os.urandom(4).hex()}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(folder / (stem + PART), flags, 0o600)
        except FileExistsError:
            continue
        lock_new(descriptor)  # a file system without locks: the run is saved all the same
        return stem, os.fdopen(descriptor, "w", encoding="utf-8")


def _settle(part: Path, held: int) -> None:
    """Publish what is whole of a part that is ours now; a part without a head says nothing."""
    stem = part.name.removesuffix(PART)
    with os.fdopen(os.dup(held), "rb") as file:
        lines = whole_records(file.read(MAX_BYTES))
        age_s = time.time() - os.fstat(held).st_mtime
    remove_leftovers(part.with_name(stem + WHOLE))
    part.with_name(stem + NEW).unlink(missing_ok=True)
    if lines:
        if not part.with_name(stem + WHOLE).exists():
            _publish(part.parent, stem, lines)  # and the part goes
        else:
            part.unlink(missing_ok=True)
    elif age_s > _YOUNG_S:
        part.unlink(missing_ok=True)


def _publish(folder: Path, stem: str, lines: Sequence[str]) -> None:
    """The whole file, under its name in one step, and the part gone. Raises OSError."""
    write_private(folder / (stem + WHOLE), "".join(lines).encode(), sync=True)
    (folder / (stem + PART)).unlink(missing_ok=True)


def _lines(events: Iterable[Event]) -> Iterator[str]:
    """One line each; deltas that follow each other are one."""
    for kind, group in groupby(events, type):
        if kind is ThinkingDelta or kind is AnswerDelta:
            deltas = [one for one in group if isinstance(one, ThinkingDelta | AnswerDelta)]
            text = "".join(delta.text for delta in deltas)
            whole = kind(text, sum(delta.tokens for delta in deltas))
            yield _line(event_to_json(whole))
        else:
            yield from (_line(event_to_json(event)) for event in group)


def _joined(
    first: ThinkingDelta | AnswerDelta, second: ThinkingDelta | AnswerDelta
) -> ThinkingDelta | AnswerDelta:
    return type(first)(first.text + second.text, first.tokens + second.tokens)


def _line(entry: Json) -> str:
    text = json.dumps(entry, ensure_ascii=False)
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"
