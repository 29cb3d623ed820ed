"""Judges how a run ended: a whole answer, or the error that says why there is none."""

from __future__ import annotations

from typing import assert_never

from qvq_mlx.core.errors import NoAnswerError, QvqError, SchemaError
from qvq_mlx.core.events import Done, StopReason
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.remedies import Field, Show
from qvq_mlx.run.signals import ending


def failure(done: Done, plan: Plan, ended_by: int, *, saved: bool) -> QvqError | None:
    """The error of a run without a whole answer; None for a whole one.

    `ended_by`: the signal that stopped it, 0 for Ctrl-C; `saved`: what there is, is in the history.
    """
    if done.complete:
        return None
    generated = done.stats.generated_tokens
    kept = Show.LAST_THINKING if saved and generated else None
    if done.schema_met is False and done.stop_reason is not StopReason.INTERRUPT:
        text = ("there is no answer that satisfies the schema (", Field.SCHEMA, ")")
        return SchemaError(text, kept)
    match done.stop_reason:
        case StopReason.INTERRUPT:
            return ending(ended_by, f"stopped after {generated:,} tokens", kept)
        case StopReason.LENGTH:
            return NoAnswerError(
                (
                    f"no final answer within {plan.resolved.max_tokens:,} tokens (",
                    Field.MAX_TOKENS,
                    ")",
                ),
                kept,
            )
        case StopReason.BUDGET:
            answer_tokens = plan.request.limits.answer_tokens
            return NoAnswerError(
                (
                    f"no whole answer within {answer_tokens:,} tokens (",
                    Field.ANSWER_TOKENS,
                    f") after {plan.resolved.budget_tokens or 0:,} of thinking (",
                    Field.BUDGET,
                    ")",
                ),
                kept,
            )
        case StopReason.LOOP:
            return NoAnswerError(
                f"the model repeated itself and was stopped after {generated:,} tokens", kept
            )
        case StopReason.END:
            return NoAnswerError(f"the model ended after {generated:,} tokens with no answer", kept)
        case _:
            assert_never(done.stop_reason)
