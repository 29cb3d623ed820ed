"""One run on the screen: events to the renderer, Ctrl-C to the control, `Done` to an exit code."""

from __future__ import annotations

from qvq_mlx import ask as straight_line
from qvq_mlx import render
from qvq_mlx.cli.interrupts import Interrupts, handled
from qvq_mlx.config import Settings
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ExitCode, NoAnswerError, SchemaError, StoppedError
from qvq_mlx.core.events import Done, StopReason
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.request import Output, Request
from qvq_mlx.core.tokens import Control


def run(request: Request, output: Output, env: Env, settings: Settings) -> ExitCode:
    """Ask, show, and judge how it ended. Raises a QvqError where there is no whole answer."""
    control = Control()
    renderer = render.renderer(
        env, output, saved=settings.save, answer_now=control.conclude, stop=control.stop
    )
    plan = straight_line.plan(request, env, settings)
    watched = env.stdout.isatty() or env.stderr.isatty()
    interrupts = Interrupts(control, can_conclude=watched and bool(plan.card.thinking.closing))
    done: Done | None = None
    try:
        with handled(interrupts):
            renderer.begin(plan)
            for event in straight_line.ask(plan, env, settings, control):
                interrupts.saw(event)
                renderer.feed(event)
                if isinstance(event, Done):
                    done = event
    except BaseException:
        renderer.abort()
        raise
    assert done is not None, "the stream ended without Done"
    return _verdict(done, plan, settings)


def _verdict(done: Done, plan: Plan, settings: Settings) -> ExitCode:
    """0 for a whole answer; otherwise the error that says why there is none."""
    if done.complete:
        return ExitCode.OK
    generated = done.stats.generated_tokens
    kept = "qvq last --thinking" if settings.save and generated else ""
    if done.schema_met is False and done.stop_reason is not StopReason.INTERRUPT:
        raise SchemaError("there is no answer that satisfies the schema (--schema)", kept)
    match done.stop_reason:
        case StopReason.INTERRUPT:
            raise StoppedError(f"stopped after {generated:,} tokens", kept)
        case StopReason.LENGTH:
            raise NoAnswerError(
                f"no final answer within {plan.max_tokens:,} tokens (--max-tokens)", kept
            )
        case StopReason.BUDGET:
            raise NoAnswerError(
                f"no whole answer within {plan.answer_tokens:,} tokens (--answer-tokens)"
                f" after {plan.budget_tokens or 0:,} of thinking (--budget)",
                kept,
            )
        case StopReason.LOOP:
            raise NoAnswerError(
                f"the model repeated itself and was stopped after {generated:,} tokens", kept
            )
        case StopReason.END:
            raise NoAnswerError(f"the model ended after {generated:,} tokens with no answer", kept)
