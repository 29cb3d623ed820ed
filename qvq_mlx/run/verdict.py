"""Judges how a run ended: a whole answer, or the error that says why there is none."""

from __future__ import annotations

from typing import assert_never

from qvq_mlx.core.errors import NoAnswerError, QvqError, SchemaError
from qvq_mlx.core.events import Done, StopReason
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.remedies import Field, Message, Show
from qvq_mlx.core.sizes import counted
from qvq_mlx.run.signals import ending


def failure(done: Done, plan: Plan, ended_by: int, *, saved: bool) -> QvqError | None:
    """The error of a run without a whole answer; None for a whole one.

    `ended_by`: the signal that stopped it, 0 for Ctrl-C; `saved`: what there is, is in the history.
    """
    if done.complete:
        return None
    generated = done.stats.generated_tokens
    after = counted(generated, "token")
    kept = Show.LAST_THINKING if saved and generated else None
    if done.schema_met is False and done.stop_reason is not StopReason.INTERRUPT:
        return SchemaError(_unmet(done.stop_reason, plan, generated), kept)
    match done.stop_reason:
        case StopReason.INTERRUPT:
            return ending(ended_by, f"stopped after {after}", kept)
        case StopReason.LENGTH:
            return NoAnswerError(
                (
                    f"no final answer within {counted(plan.resolved.max_tokens, 'token')} (",
                    Field.MAX_TOKENS,
                    ")",
                ),
                kept,
            )
        case StopReason.BUDGET:
            answer_tokens = plan.request.limits.answer_tokens
            return NoAnswerError(
                (
                    f"no whole answer within {counted(answer_tokens, 'token')} (",
                    Field.ANSWER_TOKENS,
                    f") after {plan.resolved.budget_tokens or 0:,} of thinking (",
                    Field.BUDGET,
                    ")",
                ),
                kept,
            )
        case StopReason.LOOP:
            return NoAnswerError(
                f"the model repeated itself and was stopped after {after}",
                kept,
            )
        case StopReason.END:
            return NoAnswerError(f"the model ended after {after} with no answer", kept)
        case _:
            assert_never(done.stop_reason)


def _unmet(stop_reason: StopReason, plan: Plan, generated: int) -> Message:
    """Why no answer satisfies the schema: its length, a loop, the end, and what else held it."""
    none = ("there is no answer that satisfies the schema (", Field.SCHEMA, "): ")
    held = plan.constraint.scripts if plan.constraint else None
    language = ("; it was also held to ", Field.LANG, f" {plan.request.method.lang}")
    after = counted(generated, "token")
    cause: tuple[str, ...]
    match stop_reason:
        case StopReason.LENGTH:
            most = f"{plan.resolved.max_tokens:,}"
            cause = (f"it was not complete after {most} tokens (", Field.MAX_TOKENS, ")")
        case StopReason.BUDGET:
            most = f"{plan.request.limits.answer_tokens:,}"
            cause = (f"it was not complete after {most} tokens (", Field.ANSWER_TOKENS, ")")
        case StopReason.LOOP:
            cause = (f"the text repeated itself and was stopped after {after}",)
        case StopReason.END | StopReason.INTERRUPT:
            cause = (f"the model ended after {after}",)
        case _:
            assert_never(stop_reason)
    return (*none, *cause, *(language if held is not None else ()))
