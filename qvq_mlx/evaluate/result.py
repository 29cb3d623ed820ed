"""The result of one question: a line of `scores.jsonl`, and how it is read from a batch's record.

Law: nothing in a result depends on the clock or the machine's speed, so two runs that wrote the
same texts have the same results, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from qvq_mlx.batch.record import Status
from qvq_mlx.core.events import AnswerSource, StopReason
from qvq_mlx.evaluate.gold import Reading, Score, Verdict
from qvq_mlx.evaluate.question import Strata
from qvq_mlx.records.typed import typed

VERSION = 1
_LOOP_NOTICES = ("loop", "loop-stop")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one question.

    `strict` and `canonical` are the two readings of the answer. `looped`: the model repeated
    itself. `thinking_budget_tokens` is the budget that the question was asked with, null for none;
    under a smaller one of a curve it may be larger, where the thinking ended by itself before.
    Token counts are null for an answer that was made elsewhere.
    """

    version: int
    id: str
    strata: Strata
    status: Status
    strict: Reading
    canonical: Reading
    stop_reason: StopReason | None = None
    answer_source: AnswerSource | None = None
    looped: bool = False
    thinking_budget_tokens: int | None = None
    prompt_tokens: int | None = None
    thinking_tokens: int | None = None
    generated_tokens: int | None = None

    @property
    def correct(self) -> bool:
        """Tell whether the canonical reading is correct."""
        return self.canonical.verdict is Verdict.CORRECT


@dataclass(frozen=True, slots=True)
class Answered:
    """What a result takes from a batch's record. Other fields of the record are ignored."""

    id: str
    status: Status
    answer: str | None = None
    stop_reason: StopReason | None = None
    answer_source: AnswerSource | None = None
    notices: tuple[_Notice, ...] = ()
    stats: _Stats | None = None

    @property
    def thinking_tokens(self) -> int | None:
        """Return how long the model thought, as a budget counts: with no marker, all of it."""
        if self.stats is None:
            return None
        if self.answer_source in (AnswerSource.MARKER, AnswerSource.TAG):
            return self.stats.thinking_tokens
        return self.stats.generated_tokens

    def is_within(self, budget_tokens: int) -> bool:
        """Tell whether a thinking budget would not have changed a single token of this run."""
        spent = self.thinking_tokens
        return spent is not None and spent < budget_tokens


@dataclass(frozen=True, slots=True)
class _Notice:
    code: str


@dataclass(frozen=True, slots=True)
class _Stats:
    prompt_tokens: int = 0
    thinking_tokens: int = 0
    generated_tokens: int = 0
    first_token_s: float = 0.0
    decode_s: float = 0.0


def answered(record: Mapping[str, object]) -> Answered:
    """Return what a batch's record says. Raises ValueError where it is none."""
    return typed(Answered, dict(record))


def result_of(said: Answered, strata: Strata, score: Score, budget_tokens: int | None) -> Result:
    """Return the result of a question that was asked with this thinking budget."""
    stats = said.stats
    looped = said.stop_reason is StopReason.LOOP or any(
        notice.code in _LOOP_NOTICES for notice in said.notices
    )
    return Result(
        version=VERSION,
        id=said.id,
        strata=strata,
        status=said.status,
        strict=score.strict,
        canonical=score.canonical,
        stop_reason=said.stop_reason,
        answer_source=said.answer_source,
        looped=looped,
        thinking_budget_tokens=budget_tokens,
        prompt_tokens=stats.prompt_tokens if stats else None,
        thinking_tokens=stats.thinking_tokens if stats else None,
        generated_tokens=stats.generated_tokens if stats else None,
    )


def line(result: Result) -> str:
    """Return a result as one line of JSON with its newline."""
    return json.dumps(asdict(result), ensure_ascii=False) + "\n"


def from_line(text: str) -> Result:
    """Return the result on a line. Raises ValueError."""
    return typed(Result, json.loads(text))
