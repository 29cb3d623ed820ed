"""One line of a batch's output."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from qvq_mlx.batch.items import Item
from qvq_mlx.core.errors import QvqError
from qvq_mlx.core.events import (
    AnswerSource,
    ConcludedBy,
    DoubleCheck,
    Looked,
    Notice,
    Stats,
    StopReason,
    Vote,
)
from qvq_mlx.core.remedies import Spelling
from qvq_mlx.images.folders import LeftOut
from qvq_mlx.records.runs import VERSION, ImageRecord, ResultRecord


class Status(StrEnum):
    """The ways in which an item ends."""

    ANSWERED = "answered"
    NO_ANSWER = "no-answer"
    """The model ran, and no whole answer came: `stop_reason` says why."""
    ERROR = "error"
    """The model did not run: `error` says why."""


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """The error of an item as `qvq ask` would print it, and its exit code."""

    code: str
    message: str
    hint: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One item of `qvq batch`, on a line of its own.

    `key` is a hash of the pictures' contents, the question and everything that bears on the text;
    the pictures' names do not. `paths` are as given. What comes after `error` is as in `--json`,
    and null where the model did not run.
    """

    version: int
    type: str
    key: str
    id: str | int | None
    paths: tuple[str, ...]
    question: str
    model: str
    status: Status
    error: ErrorRecord | None
    answer: str | None = None
    boxed: str | None = None
    partial_answer: str | None = None
    thinking: str | None = None
    answer_source: AnswerSource | None = None
    stop_reason: StopReason | None = None
    concluded: bool | None = None
    concluded_by: ConcludedBy | None = None
    notices: tuple[Notice, ...] = ()
    images: tuple[ImageRecord, ...] = ()
    stats: Stats | None = None
    vote: Vote | None = None
    double_check: DoubleCheck | None = None
    evidence: tuple[Looked, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """The last line of `qvq batch --json`. `before`: items that an earlier run had done, counted in
    the others too; `left_out`: what lies in the given folders and is not asked about.
    """

    version: int
    type: str
    total: int
    answered: int
    unanswered: int
    errors: int
    before: int
    stopped: bool
    left_out: tuple[LeftOut, ...]


def answered(key: str, item: Item, result: ResultRecord) -> BatchRecord:
    """The record of an item that the model ran for."""
    return BatchRecord(
        version=VERSION,
        type="item",
        key=key,
        id=item.id,
        paths=item.images,
        question=item.question,
        model=result.model,
        status=Status.NO_ANSWER if result.answer is None else Status.ANSWERED,
        error=None,
        answer=result.answer,
        boxed=result.boxed,
        partial_answer=result.partial_answer,
        thinking=result.thinking,
        answer_source=result.answer_source,
        stop_reason=result.stop_reason,
        concluded=result.concluded,
        concluded_by=result.concluded_by,
        notices=result.notices,
        images=result.images,
        stats=result.stats,
        vote=result.vote,
        double_check=result.double_check,
        evidence=result.evidence,
    )


def failed(key: str, item: Item, model: str, error: QvqError, spelling: Spelling) -> BatchRecord:
    """The record of an item that could not be asked."""
    message, hint = spelling.sentence(error.parts), spelling.remedy(error.remedy)
    what = ErrorRecord(error.code, message, hint, int(error.exit_code))
    return BatchRecord(
        VERSION, "item", key, item.id, item.images, item.question, model, Status.ERROR, what
    )


def line(record: BatchRecord | BatchEnd) -> str:
    """One line of JSON with its newline."""
    return json.dumps(asdict(record), ensure_ascii=False) + "\n"
