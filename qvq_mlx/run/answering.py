"""Asks a loaded model what a plan asks: its prompt, its generation, and what guards it."""

from __future__ import annotations

from collections.abc import Iterator

from qvq_mlx.core.env import Engine
from qvq_mlx.core.events import Event
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.tokens import Asked, Continuation, Control, Generation, Prompt
from qvq_mlx.guards.language import expected_scripts
from qvq_mlx.guards.supervise import GuardLimits, supervise
from qvq_mlx.run.timing import Pace


def answered(
    engine: Engine,
    plan: Plan,
    prompt: Prompt,
    control: Control,
    pace: Pace,
    continuation: Continuation | None = None,
) -> Iterator[Event]:
    """The events of one run or a vote on `prompt`, which may go on from a `continuation`."""
    generation, limits = generation_of(plan, continuation), limits_of(plan)
    if plan.request.method.votes > 1:
        from qvq_mlx.run import vote

        return vote.voted(engine, prompt, generation, plan, limits, control, pace)
    own = Control(control)  # what a guard asks of this run is not asked of a double check
    steps = pace(engine.generate(prompt, generation, own))
    return supervise(steps, plan.resolved.thinking, own, limits)


def asked_of(engine: Engine, plan: Plan, control: Control) -> Asked:
    """Return a plan as the engine is asked it, steered by `control`."""
    return Asked(prompt_of(engine, plan), generation_of(plan), control)


def generation_of(plan: Plan, continuation: Continuation | None = None) -> Generation:
    """Return the settings of a plan's generation."""
    resolved = plan.resolved
    closing = resolved.thinking.closing
    return Generation(
        sampling=resolved.sampling,
        max_tokens=resolved.max_tokens,
        closing=closing,
        constraint=plan.constraint,
        continuation=continuation,
        kv_bits=plan.request.method.kv_bits,
    )


def prompt_of(engine: Engine, plan: Plan, system: str | None = None) -> Prompt:
    """Return the prompt of a plan; a `system` message that is given stands for its own."""
    question, rounds = plan.posed(plan.request.question)
    return engine.prompt(
        question,
        plan.pictures,
        plan.resolved.system if system is None else system,
        rounds,
        labelled=plan.labelled,
        inline=plan.inline,
        thinks=plan.resolved.thinks,
    )


def limits_of(plan: Plan) -> GuardLimits:
    """Return what the guards hold a plan's run to."""
    request = plan.request
    scripts = expected_scripts(request.question, request.method.lang, request.prompt.system or "")
    return GuardLimits(
        plan.resolved.budget_tokens,
        request.limits.answer_tokens,
        scripts,
        has_schema=bool(request.method.schema),
    )
