"""Runs a batch: opens the output, asks what is not done, writes the table, and counts how it ended.

Law: that the table can be written is known before the first item is asked. What a person sees is
the screen's business; whether the batch succeeded is a value, `failure`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qvq_mlx.batch import Batch, Began, Ended
from qvq_mlx.batch.items import Item
from qvq_mlx.batch.ledger import FileLedger, Ledger, StreamLedger, asked_of, is_error, open_ledger
from qvq_mlx.batch.record import BatchEnd, BatchRecord, Status
from qvq_mlx.batch.table import as_csv
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import NoAnswerError, QvqError
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    ThinkingDelta,
)
from qvq_mlx.core.remedies import BatchAgain, Field, RunProgram
from qvq_mlx.core.tokens import Control
from qvq_mlx.images.folders import LeftOut
from qvq_mlx.records.runs import VERSION, Json
from qvq_mlx.render.sink import FileSink
from qvq_mlx.run.outputs import check_outputs, outputs_of
from qvq_mlx.run.signals import Interrupts, ending, handled
from qvq_mlx.system.awake import awake


@dataclass(frozen=True, slots=True)
class Target:
    """The files of a batch: records and table. `retry_errors`: ask again about items that failed.

    `file` None: stdout, and on a terminal nowhere.
    """

    file: Path | None = None
    table: Path | None = None
    retry_errors: bool = False


class BatchScreen(Protocol):
    """A screen that follows a batch."""

    def began(self, number: int, images: tuple[str, ...]) -> None:
        """Item `number`, counted from 1, is taken up."""

    def saw(self, event: Event) -> None:
        """The item's run yielded this."""

    def ended(self, number: int, outcome: str, *, answered: bool, took_s: float) -> None:
        """The item is done; `outcome` is its answer, or what went wrong, in one line."""

    def skipped(self, number: int) -> None:
        """The item was done before."""

    def close(self) -> None:
        """Nothing more comes, also where an exception ended the batch."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of items by how they ended. `before`: those that an earlier run had done, counted too.

    `stopped`: by the user, or by the signal `ended_by`.
    """

    total: int
    answered: int
    unanswered: int
    errors: int
    before: int = 0
    stopped: bool = False
    ended_by: int = 0

    @property
    def done(self) -> int:
        """Items that have a record."""
        return self.answered + self.unanswered + self.errors


def run(
    work: Batch, items: Sequence[Item], target: Target, env: Env, screen: BatchScreen
) -> Counts:
    """Ask what is not done. Raises a QvqError that concerns every item."""
    outputs = outputs_of(((Field.OUTPUT, target.file), (Field.CSV, target.table)))
    check_outputs(outputs, (image for item in items for image in item.images), env, work.files)
    table = FileSink(target.table, Field.CSV) if target.table is not None else None
    if table is not None:
        table.open()
    try:
        ledger = _ledger(env, work, items, target)
        try:
            try:
                counts = _asked(work, items, ledger, screen, env)
            finally:
                ledger.arrange()
            if table is not None and isinstance(ledger, FileLedger):
                table.write(as_csv(ledger.records()))
                table.finish()
        finally:
            ledger.close()
    finally:
        if table is not None:
            table.discard()
    return counts


def outcomes(counts: Counts) -> tuple[tuple[str, int], ...]:
    """Return how many items ended how: rows of a table, those of no item left out.

    What an earlier run had done comes last: these items are counted above, too.
    """
    rows = (
        ("answered", counts.answered),
        ("no answer", counts.unanswered),
        ("error", counts.errors),
        ("not asked", counts.total - counts.done),
        ("of these done before", counts.before),
    )
    return tuple((name, count) for name, count in rows if count)


def end_of(counts: Counts, left_out: tuple[LeftOut, ...]) -> BatchEnd:
    """The same as a record."""
    return BatchEnd(
        version=VERSION,
        type="batch",
        total=counts.total,
        answered=counts.answered,
        unanswered=counts.unanswered,
        errors=counts.errors,
        before=counts.before,
        stopped=counts.stopped,
        left_out=left_out,
    )


def failure(counts: Counts, file: Path | None) -> QvqError | None:
    """The error that says which items have no answer; None where every item has one."""
    if counts.stopped and counts.done < counts.total:
        again = BatchAgain(str(file)) if file else None
        text = f"stopped; {counts.done:,} of {counts.total:,} items are done"
        return ending(counts.ended_by, text, again)
    if counts.answered == counts.total:
        return None
    why = ((counts.unanswered, "ended without one"), (counts.errors, "could not be asked"))
    spelt = ", ".join(f"{count:,} {what}" for count, what in why if count)
    missing = counts.total - counts.answered
    verb = "has" if missing == 1 else "have"
    return NoAnswerError(
        f"{missing:,} of {counts.total:,} items {verb} no answer: {spelt}",
        RunProgram(("grep", "-v", '"status": "answered"', str(file))) if file else None,
    )


def _ledger(env: Env, work: Batch, items: Sequence[Item], target: Target) -> Ledger:
    """Open the output. An earlier error is asked anew where the picture has changed since."""
    if target.file is None:
        return StreamLedger(None if env.stdout.isatty() else env.stdout)
    wanted: dict[tuple[str, tuple[str, ...], str], Item] = {}

    def is_stale(record: Json) -> bool:
        if not is_error(record):
            return False
        if not wanted:  # most files hold no error
            wanted.update({(work.model, item.images, item.question): item for item in items})
        item = wanted.get(asked_of(record))
        if item is None:
            return False
        return target.retry_errors or record["key"] not in work.keys_for(item)

    return open_ledger(target.file.expanduser(), is_stale)


def _asked(
    work: Batch, items: Sequence[Item], ledger: Ledger, screen: BatchScreen, env: Env
) -> Counts:
    """Ask all, and show how far it is."""
    ended: Counter[Status] = Counter()
    before, control = 0, Control()
    interrupts = Interrupts(control, can_conclude=False)
    try:
        with handled(interrupts), awake(env.environ):
            for step in work.ask_all(items, ledger, control):
                match step:
                    case Began(number, item):
                        screen.began(number, item.images)
                    case Ended(number, _, status, record, took_s):
                        ended[status] += 1
                        if record is None:
                            before += 1
                            screen.skipped(number)
                        else:
                            whole = status is Status.ANSWERED
                            screen.ended(number, _outcome(record), answered=whole, took_s=took_s)
                    case (
                        Progress()
                        | ThinkingDelta()
                        | AnswerDelta()
                        | AnswerRetracted()
                        | Looked()
                        | Notice()
                        | Done()
                    ):
                        screen.saw(step)
    finally:
        screen.close()
    return Counts(
        total=len(items),
        answered=ended[Status.ANSWERED],
        unanswered=ended[Status.NO_ANSWER],
        errors=ended[Status.ERROR],
        before=before,
        stopped=control.stopping,
        ended_by=interrupts.ended_by,
    )


def _outcome(record: BatchRecord) -> str:
    """The answer in a line, or why there is none."""
    if record.error is not None:
        return f"error[{record.error.code}]: {record.error.message}"
    if record.answer is None:
        return f"no answer ({record.stop_reason})"
    return " ".join((record.boxed or record.answer).split())
