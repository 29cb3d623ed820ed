"""A saved run as values.

Law: what is handed out was whole on the disk: reading stops at the first line that is not. Files
of every earlier version are read; a key that they lack has its default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from qvq_mlx.core.errors import InputError
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerSource,
    Done,
    Event,
    Notice,
    Stats,
    StopReason,
    ThinkingDelta,
    Transcript,
    fold,
)
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.history.files import (
    MAX_BYTES,
    PART,
    WHOLE,
    File,
    being_written,
    find_file,
    names_in,
    no_run,
)
from qvq_mlx.records.history import Ending
from qvq_mlx.records.runs import VERSION, Json, RequestRecord, event_from_json
from qvq_mlx.records.typed import typed
from qvq_mlx.system.reading import parse_json, read_bytes, why


@dataclass(frozen=True, slots=True)
class Run:
    """One saved run. The last event is `Done`, unless it was killed, failed, or is running."""

    path: Path
    id: str
    time: datetime | None
    request: RequestRecord
    events: tuple[Event, ...]
    ending: Ending

    @property
    def transcript(self) -> Transcript:
        """Thinking and answer. Of a run that did not end, the answer is what there was of it."""
        return fold(self.events)

    @property
    def done(self) -> Done | None:
        """The end, where there is one."""
        end = self.events[-1] if self.events else None
        return end if isinstance(end, Done) else None

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Everything that was said aside."""
        return tuple(event for event in self.events if isinstance(event, Notice))


def last(folder: Path) -> Run:
    """The run asked last of those that have ended. Raises InputError where there is none."""
    return newest(folder)[0]


def newest(folder: Path) -> tuple[Run, tuple[InputError, ...]]:
    """The run asked last of those that ended, and why newer files are none. Raises InputError."""
    from qvq_mlx.history.latest import by_asking

    skipped: list[InputError] = []
    for file in by_asking(folder, names_in(folder)):
        try:
            run = load(file.path)
        except InputError as error:
            if file.is_whole:  # else killed before its first line was written, or settled just now
                skipped.append(error)
            continue
        if run.ending is not Ending.RUNNING:
            return run, tuple(skipped)
    raise skipped[0] if skipped else no_run(folder)


def find(folder: Path, prefix: str) -> Run:
    """The run whose id or file name begins so. Raises InputError where it is none, or several."""
    return load(find_file(folder, prefix).path)


def load(path: Path) -> Run:
    """A saved run. Raises InputError."""
    if path.suffix == PART and not path.exists():
        path = path.with_suffix(WHOLE)  # it was settled since it was listed
    file = File(path.stem, path.parent, path.suffix != PART)
    try:
        head, events, last_line = _read(path)
        from qvq_mlx.records.version_1 import upgraded_request

        request = typed(RequestRecord, upgraded_request(head))
        began = head.get("time")
        time = datetime.fromisoformat(began) if isinstance(began, str) else file.time
    except (OSError, ValueError, TypeError) as error:
        raise _no_run(path, error) from error
    return Run(path, file.id, time, request, events, _ending(file, last_line))


def spoken(path: Path) -> tuple[str, str, str]:
    """Read the question, the answer and the thinking of a run alone. Raises InputError."""
    try:
        head, events, _ = _read(path)
    except (OSError, ValueError, TypeError) as error:
        raise _no_run(path, error) from error
    transcript = fold(events)
    return str(head.get("question", "")), transcript.answer, transcript.thinking


def interrupted(events: Sequence[Event]) -> Done:
    """An end for a run that has none, with the tokens that were counted."""
    thinking = sum(event.tokens for event in events if isinstance(event, ThinkingDelta))
    answer = sum(event.tokens for event in events if isinstance(event, AnswerDelta))
    stats = Stats(
        generated_tokens=thinking + answer, thinking_tokens=thinking, answer_tokens=answer
    )
    return Done(StopReason.INTERRUPT, AnswerSource.NONE, False, False, stats)


def whole_records(data: bytes) -> list[str]:
    """The lines up to the first that is torn or no record, each with its newline."""
    return [text + "\n" for text, _ in _parsed(data)]


def _read(path: Path) -> tuple[Json, tuple[Event, ...], str]:
    """Read a run's first line, its events and its last line. Raises OSError, ValueError."""
    lines = _parsed(read_bytes(path, MAX_BYTES))
    if not lines:
        raise ValueError("it holds no whole line")
    (_, head), *entries = lines
    if head.get("version", VERSION) > VERSION:
        raise ValueError(f"a newer qvq wrote it (version {head['version']})")
    return head, tuple(event_from_json(entry) for _, entry in entries), lines[-1][0]


def _no_run(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is no saved run: {why(error)}", RunProgram(("head", "-n", "1", str(path)))
    )


def _parsed(data: bytes) -> list[tuple[str, Json]]:
    """Parse the lines up to the first that is torn or no record."""
    found: list[tuple[str, Json]] = []
    for line in data.split(b"\n")[:-1] if b"\n" in data else []:
        try:
            text = line.decode()
            found.append((text, _object(text)))
        except ValueError:
            break
    return found


def _object(line: str | bytes) -> Json:
    """The object in a line. Raises ValueError."""
    entry = parse_json(line)
    if not isinstance(entry, dict):
        raise ValueError("it is no JSON object")
    return entry


def _ending(file: File, line: str) -> Ending:
    return ending(line) or (
        Ending.RUNNING if not file.is_whole and being_written(file.path) else Ending.KILLED
    )


def ending(line: str | bytes) -> Ending | None:
    """Read the ending from a last line; None for a line that states none."""
    try:
        entry = _object(line)
        if entry["type"] == "done":
            return Ending.ANSWER if entry["complete"] else Ending(entry["stop_reason"])
        if entry["type"] == "notice" and entry["code"] == "ended":
            return Ending.FAILED
    except (ValueError, KeyError, TypeError):
        pass
    return None
