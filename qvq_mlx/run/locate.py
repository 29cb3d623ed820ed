"""Looking closer by pointing: the model is asked where to look, and then gets the region.

    user: picture, where to look   model: a box   user: region, the question   model: thinking …

Law: it is one sequence. The locating question is short and answered without thinking; the region is
appended as a further picture, and nothing before it is encoded or prefilled again. Where the answer
holds no box, or none that shows more, a notice says so and the question is asked as it would have
been. What the user asks (stop, answer now) holds here too.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace

from qvq_mlx.core.env import Engine
from qvq_mlx.core.events import Done, Event, Notice, Progress, Stage
from qvq_mlx.core.look import Look
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.tokens import Continuation, Control, Finished, Generation, Prompt, Step, Token
from qvq_mlx.records.runs import pointed_at, request_record
from qvq_mlx.run.answering import answered, prompt_of
from qvq_mlx.run.regions import Refused, Regions
from qvq_mlx.run.timing import Pace

LOCATE_TOKENS = 128
"""A few boxes with their names."""
PICTURE = "<picture>"


def locating(question: str) -> str:
    """Return the question that asks where to look. The embedded model has learned these words."""
    return f"Locate the part of the picture that is needed to answer: {question}"


def pointed(
    engine: Engine, plan: Plan, look: Look, control: Control, pace: Pace
) -> Iterator[Event]:
    """The events of a run that first says where to look."""
    asked = yield from _asked(engine, plan, control, pace)
    if asked is None or control.stopping:
        yield from answered(engine, plan, prompt_of(engine, plan), control, pace)
        return
    regions = Regions(plan, look.most)
    for reason in _cut(plan, asked.text, regions):
        yield Notice("look", reason)
    if regions.evidence:
        yield from regions.evidence
        prompt = _longer(engine, plan, asked, regions)

        def reading(steps: Iterator[Step]) -> Iterator[Step]:
            return read_as_look(pace(steps))

        events = answered(engine, plan, prompt, control, reading, asked.continuation)
    else:
        events = answered(engine, plan, prompt_of(engine, plan), control, pace)
    for event in events:
        yield _evident(event, regions, asked.first) if isinstance(event, Done) else event


def read_as_look(steps: Iterable[Step]) -> Iterator[Step]:
    """The same items; what reads a region is said to be of that stage."""
    for step in steps:
        yield replace(step, stage=Stage.LOOK) if isinstance(step, Progress) else step


@dataclass(frozen=True, slots=True)
class _Asked:
    """A locating question, what was `written` to it, and where to go on from."""

    prompt: Prompt
    written: list[int]
    text: str
    continuation: Continuation
    first: Finished


def _longer(engine: Engine, plan: Plan, asked: _Asked, regions: Regions) -> Prompt:
    """The regions and the question, behind what was written."""
    question, _ = plan.posed(plan.request.question)
    return engine.extended(
        asked.prompt,
        asked.written,
        PICTURE * len(regions.pictures) + question,
        regions.pictures,
        thinks=plan.resolved.thinks,
    )


def _evident(done: Done, regions: Regions, first: Finished) -> Done:
    """`Done` with the regions; what was kept of an earlier run was so before the first question."""
    stats = replace(
        done.stats, cached_tokens=first.cached_tokens, cached_images=first.cached_images
    )
    return replace(done, stats=stats, evidence=tuple(regions.evidence))


def _asked(
    engine: Engine, plan: Plan, control: Control, pace: Pace
) -> Generator[Event, None, _Asked | None]:
    """The locating question, its reply's ids and text. None where it was stopped."""
    resolved = plan.resolved
    question, rounds = plan.posed(locating(plan.request.question))
    prompt = engine.prompt(
        question, plan.pictures, resolved.system, rounds, labelled=plan.labelled, thinks=False
    )
    continuation, own = Continuation(), Control(control)
    closing = resolved.card.thinking.closing
    if closing:
        own.conclude()
    generation = Generation(Sampling(), LOCATE_TOKENS, closing, continuation=continuation)
    written: list[int] = []
    texts: list[str] = []
    for step in pace(engine.generate(prompt, generation, own)):
        match step:
            case Progress():
                yield step
            case Token(id=token, text=text, forced=forced):
                written.append(token)
                if not forced:
                    texts.append(text)
                yield Progress(Stage.LOOK, len(written), 0)
            case Finished():
                if control.stopping:
                    return None
                return _Asked(prompt, written, "".join(texts), continuation, step)
    raise AssertionError("the engine ended without Finished")


def _cut(plan: Plan, text: str, regions: Regions) -> list[str]:
    """Cut what the reply points at; return why a place is not looked at."""
    reasons: list[str] = []
    pointing = pointed_at(request_record(plan), text, asked=True)
    boxes = [(number, box) for number, one in enumerate(pointing) for box in one.boxes]
    for number, box in boxes[:16]:
        cut = regions.cut(number, box)
        if isinstance(cut, Refused):
            reasons.append(cut.reason)
    if not boxes:
        reasons.append("the model points at no region: it is asked about what it saw")
    return reasons
