"""The run behind `qvq batch`: items from the command line, records to the file, one verdict."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qvq_mlx.batch import Batch, Began, Ended
from qvq_mlx.batch.awake import awake
from qvq_mlx.batch.items import Item, from_lines, from_paths, grouped
from qvq_mlx.batch.ledger import FileLedger, StreamLedger, asked_of, is_error, open_ledger
from qvq_mlx.batch.record import BatchRecord, Status
from qvq_mlx.batch.table import as_csv
from qvq_mlx.cli.interrupts import Interrupts, ending, handled
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ExitCode, InputError, NoAnswerError, UsageError
from qvq_mlx.core.tokens import Control
from qvq_mlx.images.folders import pictures_in
from qvq_mlx.records.runs import Json
from qvq_mlx.render.batched import BatchProgress
from qvq_mlx.render.clean import clean_line
from qvq_mlx.render.sink import FileSink

_HINT = 'qvq batch IMAGE... -Q "question" -o out.jsonl'


@dataclass(frozen=True, slots=True)
class Place:
    """Where the records go, and the table of them; `retry_errors`: what failed is asked anew."""

    file: Path | None
    table: Path | None
    retry_errors: bool


def items_of(env: Env, paths: list[str], questions: list[str], lines: str | None) -> list[Item]:
    """What to ask, in order. Raises UsageError or InputError."""
    if any(not question.strip() for question in questions):
        raise UsageError("the question is empty", _HINT)
    found = from_paths(pictures_in(paths), questions)
    if lines is not None:
        name, text, folder = _read_lines(env, lines)
        found += from_lines(name, text, folder, questions)
    if not found:
        what = "no image is given" if lines is None else f"{lines} has no line"
        raise UsageError(what, _HINT)
    return grouped(found)


def _read_lines(env: Env, given: str) -> tuple[str, str, Path]:
    """The file's name for errors, its text, and the folder that its paths begin at."""
    try:
        if given == "-":
            content, folder = env.stdin.buffer.read(), Path()
        else:
            path = Path(given).expanduser()
            content, folder = path.read_bytes(), path.parent
        return given, content.decode("utf-8-sig"), folder
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(f"{given} cannot be read: {why}", "qvq batch --help") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{given} is no UTF-8 text", f"file {shlex.quote(given)}") from error


def run(
    work: Batch, items: Sequence[Item], place: Place, env: Env, *, quiet: bool, verbose: bool
) -> ExitCode:
    """Ask what is not done. Raises a QvqError where an item has no answer in the end."""
    table = FileSink(place.table, "--csv") if place.table is not None else None
    if table is not None:
        table.open()  # that it can be written is known before the night, not after
    try:
        counts = _recorded(work, items, place, env, table, quiet=quiet, verbose=verbose)
    finally:
        if table is not None:
            table.discard()
    if place.file is not None and env.stderr.isatty() and not quiet:
        env.stderr.write(_summary(counts, place.file) + "\n")
    return _verdict(counts, len(items), place.file)


def _recorded(
    work: Batch,
    items: Sequence[Item],
    place: Place,
    env: Env,
    table: FileSink | None,
    *,
    quiet: bool,
    verbose: bool,
) -> _Counts:
    """Ask, with the file open; in the end the table is written from it."""
    ledger = _ledger(env, work, items, place)
    try:
        lines = verbose or (place.file is None and env.stdout.isatty())
        shown = BatchProgress(env, len(items), quiet=quiet, lines=lines)
        counts = _asked(work, items, ledger, shown, env)
        if table is not None and isinstance(ledger, FileLedger):
            table.write(as_csv(ledger.records()))
            table.finish()
    finally:
        ledger.close()
    return counts


@dataclass(slots=True)
class _Counts:
    """How the items ended so far; `before`: those of them that an earlier run had done.

    `stopped`: by the user, or by the signal `ended_by`.
    """

    ended: Counter[Status] = field(default_factory=Counter)
    before: int = 0
    stopped: bool = False
    ended_by: int = 0


def _ledger(
    env: Env, work: Batch, items: Sequence[Item], place: Place
) -> FileLedger | StreamLedger:
    """Where the records go. An error of before is asked anew where the picture is another now."""
    if place.file is None:
        return StreamLedger(None if env.stdout.isatty() else env.stdout)
    wanted = {(work.model, item.images, item.question): item for item in items}

    def is_stale(record: Json) -> bool:
        item = wanted.get(asked_of(record))
        if item is None or not is_error(record):
            return False
        return place.retry_errors or work.key_for(item) != record["key"]

    return open_ledger(place.file.expanduser(), is_stale)


def _asked(
    work: Batch,
    items: Sequence[Item],
    ledger: FileLedger | StreamLedger,
    shown: BatchProgress,
    env: Env,
) -> _Counts:
    """Ask all, and show how far it is."""
    counts, control = _Counts(), Control()
    interrupts = Interrupts(control, can_conclude=False)
    try:
        with handled(interrupts), awake(env.environ):
            for step in work.ask_all(items, ledger, control):
                match step:
                    case Began(number, item):
                        shown.began(number, item.images)
                    case Ended(number, _, status, record, took_s):
                        counts.ended[status] += 1
                        if record is None:
                            counts.before += 1
                            shown.skipped(number)
                        else:
                            whole = status is Status.ANSWERED
                            shown.ended(number, _outcome(record), answered=whole, took_s=took_s)
                    case _:
                        shown.saw(step)
    finally:
        shown.close()
    counts.stopped, counts.ended_by = control.stopping, interrupts.ended_by
    return counts


def _outcome(record: BatchRecord) -> str:
    """The answer in a line, or why there is none."""
    if record.error is not None:
        return f"error[{record.error.code}]: {record.error.message}"
    if record.answer is None:
        return f"no answer ({record.stop_reason})"
    return " ".join((record.boxed or record.answer).split())


def _summary(counts: _Counts, file: Path) -> str:
    """`out.jsonl: 198 answered, 2 errors; 120 of them were done before`."""
    words = {
        Status.ANSWERED: "answered",
        Status.NO_ANSWER: "without answer",
        Status.ERROR: "errors",
    }
    ends = [f"{counts.ended[status]:,} {words[status]}" for status in words if counts.ended[status]]
    before = f"; {counts.before:,} of them were done before" if counts.before else ""
    return f"{clean_line(str(file))}: {', '.join(ends) or 'nothing done'}{before}"


def _verdict(counts: _Counts, total: int, file: Path | None) -> ExitCode:
    """0 where every item has an answer. Raises the error that says what is missing."""
    where = shlex.quote(str(file)) if file else ""
    done, answered = counts.ended.total(), counts.ended[Status.ANSWERED]
    if counts.stopped and done < total:
        again = f"qvq batch ... -o {where}" if where else ""
        text = f"stopped; {done:,} of {total:,} items are done"
        raise ending(counts.ended_by, text, again)
    if answered < total:
        why = (
            (counts.ended[Status.NO_ANSWER], "ended without one"),
            (counts.ended[Status.ERROR], "could not be asked"),
        )
        spelt = ", ".join(f"{count:,} {what}" for count, what in why if count)
        raise NoAnswerError(
            f"{total - answered:,} of {total:,} items have no answer: {spelt}",
            f'grep -v \'"status": "answered"\' {where}' if where else "",
        )
    return ExitCode.OK
