"""The double check (experimental): the model looks at the picture again and checks its answer.

Law: the double check is a run of its own over the same pictures, so its prompt begins with the
prefix that the first one left in memory; it is short, and it changes nothing: the first answer
stands, and `Done` says what the double check found. It is compared by canonical form. There is none
where there is no whole answer, or the user asked for the answer at once. Where the model looked
closer at regions, it is asked about these too.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from qvq_mlx.core.clip import Visual
from qvq_mlx.core.env import Engine
from qvq_mlx.core.events import (
    AnswerDelta,
    Done,
    DoubleCheck,
    Event,
    Notice,
    Progress,
    Stage,
    ThinkingDelta,
    Transcript,
)
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.tokens import Control, Generation
from qvq_mlx.guards.supervise import GuardLimits, supervise
from qvq_mlx.reply.box import boxed
from qvq_mlx.reply.canonical import canonical
from qvq_mlx.run.timing import Pace

THINKING_TOKENS = 512
"""The most that the double check may think; less where the first one's budget is smaller."""
_SHOWN_CHARS = 200


def question_about(question: str, answer: str) -> str:
    """Return the question of a double check, about the boxed answer where there is a box."""
    claimed = boxed(answer) or answer
    return (
        f"Check this answer against the picture and end with the right one: {claimed}\n\n{question}"
    )


def double_checked(
    events: Iterator[Event],
    engine: Engine,
    plan: Plan,
    control: Control,
    pace: Pace,
) -> Iterator[Event]:
    """The same events; before `Done` a double check, and `Done` with what it found."""
    transcript = Transcript()
    for event in events:
        transcript.add(event)
        if not isinstance(event, Done) or not event.complete:
            yield event
        elif control.concluding or control.stopping:
            yield Notice("double-check", "no double check: the answer was asked for early")
            yield event
        else:
            pictures = (*plan.pictures, *_regions(plan, event))
            own = Control(control)
            found = yield from _checked(transcript.answer, engine, plan, pictures, own, pace)
            yield Notice("double-check", said_of(found))
            yield replace(event, double_check=found)


def said_of(found: DoubleCheck) -> str:
    """`the double check agrees`."""
    if found.agrees is None:
        return f"the double check came to no answer ({found.stop_reason.value})"
    if found.agrees:
        return "the double check agrees"
    answer = " ".join((boxed(found.answer or "") or found.answer or "").split())
    shown = answer if len(answer) <= _SHOWN_CHARS else answer[:_SHOWN_CHARS] + "…"
    return f"the double check differs: {shown}"


def _checked(
    answer: str,
    engine: Engine,
    plan: Plan,
    pictures: Sequence[Visual],
    control: Control,
    pace: Pace,
) -> Generator[Progress, None, DoubleCheck]:
    """Run it; only its length is shown while it runs."""
    yield Progress(Stage.DOUBLE_CHECK, 0, 0)
    thinking, budget = plan.resolved.thinking, THINKING_TOKENS
    if plan.resolved.budget_tokens is not None:
        budget = min(budget, plan.resolved.budget_tokens)
    # a model that cannot be told to conclude is held by this alone
    most = min(plan.resolved.max_tokens, budget + plan.request.limits.answer_tokens)
    question, rounds = plan.posed(question_about(plan.request.question, answer))
    prompt = engine.prompt(
        question,
        pictures,
        plan.resolved.system,
        rounds,
        # a picture that stood alone stays without a number: what it cost is not paid again
        labelled=plan.labelled and len(plan.pictures) > 1,
        inline=plan.inline,
        thinks=plan.resolved.thinks,
    )
    bits = plan.request.method.kv_bits
    generation = Generation(plan.resolved.sampling, most, thinking.closing, kv_bits=bits)
    limits = GuardLimits(budget, plan.request.limits.answer_tokens)
    steps = pace(engine.generate(prompt, generation, control))
    check, written_tokens = Transcript(), 0
    for event in supervise(steps, thinking, control, limits):
        check.add(event)
        if isinstance(event, ThinkingDelta | AnswerDelta):
            written_tokens += event.tokens
        if isinstance(event, Done):
            return _found(answer, check, event)
        yield Progress(Stage.DOUBLE_CHECK, written_tokens, 0)
    raise AssertionError("the stream ended without Done")


def _regions(plan: Plan, done: Done) -> Sequence[Visual]:
    """The regions that the answer rests on, as the model saw them."""
    if not done.evidence:
        return ()
    from qvq_mlx.run.regions import cut_again

    return cut_again(plan, done.evidence)


def _found(answer: str, check: Transcript, done: Done) -> DoubleCheck:
    second = check.answer if done.complete and canonical(check.answer) else None
    return DoubleCheck(
        agrees=None if second is None else canonical(second) == canonical(answer),
        answer=second,
        thinking=check.thinking,
        stop_reason=done.stop_reason,
        prompt_tokens=done.stats.prompt_tokens,
        cached_tokens=done.stats.cached_tokens,
        generated_tokens=done.stats.generated_tokens,
        thinking_tokens=done.stats.thinking_tokens,
    )
