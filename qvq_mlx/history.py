"""Every run as one JSON Lines file: the request, the events, `Done`.

Law: a line is written when it happens, so that a crash loses at most the text of the line in
flight; a file without `done` is a run that was killed. Files are readable by their owner only.
Consecutive deltas of a kind are merged; progress is not kept. Failing to save never costs the
answer: it is a notice.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

from qvq_mlx.core.errors import InputError
from qvq_mlx.core.events import AnswerDelta, Done, Event, Notice, Progress, ThinkingDelta
from qvq_mlx.core.records import Json, RequestRecord, event_from_json, event_to_json

_MERGED_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Run:
    """One saved run. The last event is `Done` unless the run was killed."""

    path: Path
    request: Json
    events: tuple[Event, ...]


def record(
    events: Iterable[Event], request: RequestRecord, folder: Path, now: datetime
) -> Iterator[Event]:
    """The same events, saved as they pass."""
    try:
        file = _create(folder, now)
        _write(file, {**asdict(request), "time": now.isoformat(timespec="seconds")})
    except OSError as error:
        yield Notice("history", f"this run is not saved: {error}")
        yield from events
        return
    with file:
        yield from _saved(events, file)


def last(folder: Path) -> Run:
    """The newest run. Raises InputError where there is none."""
    paths = sorted(folder.glob("*.jsonl"))
    if not paths:
        raise InputError(f"no run is saved in {folder}", 'qvq ask IMAGE "question"')
    return load(paths[-1])


def load(path: Path) -> Run:
    """A saved run. A torn last line, left by a crash, is passed over. Raises InputError."""
    records: list[Json] = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                break
        request, *events = records
        return Run(path, request, tuple(event_from_json(entry) for entry in events))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no saved run: {error}", f"head -n 1 {path}") from error


def _create(folder: Path, now: datetime) -> TextIO:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{now:%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}.jsonl"
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8")


def _write(file: TextIO, entry: Json) -> None:
    file.write(json.dumps(entry, ensure_ascii=False) + "\n")
    file.flush()


def _saved(events: Iterable[Event], file: TextIO) -> Iterator[Event]:
    held: ThinkingDelta | AnswerDelta | None = None
    failed = False

    def save(entry: Event | None) -> None:
        nonlocal failed
        if entry is not None and not failed:
            try:
                _write(file, event_to_json(entry))
            except OSError:
                failed = True  # a full disk must not end a run that is under way

    try:
        for event in events:
            match event:
                case ThinkingDelta() | AnswerDelta():
                    if held is not None and type(held) is type(event):
                        held = type(event)(held.text + event.text, held.tokens + event.tokens)
                    else:
                        save(held)
                        held = event
                    if len(held.text) >= _MERGED_CHARACTERS:
                        save(held)
                        held = None
                case Progress():
                    pass
                case _:
                    save(held)
                    held = None
                    if failed and isinstance(event, Done):
                        yield Notice("history", "this run is not saved whole: the disk is full")
                    save(event)
            yield event
    finally:
        save(held)
