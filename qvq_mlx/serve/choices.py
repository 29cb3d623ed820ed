"""Several replies to one question, side by side from one prefill.

Law: reply r is the run that the question would be alone with its seed and r more: its own guards,
its own limits and its own record in the history; what stops one of them stops no other.

Where the model looks closer while it answers, one prompt does not serve all: then, and where the
memory has no room for them side by side, they are drawn one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from qvq_mlx.core.env import Engine, Env
from qvq_mlx.core.errors import DoesNotFitError
from qvq_mlx.core.events import AnswerSource, Done, Event, Progress, Stage, Stats, StopReason
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.request import Request
from qvq_mlx.core.tokens import Control, Finished, Token
from qvq_mlx.guards.pushed import PushedRun
from qvq_mlx.run.answering import generation_of, limits_of, prompt_of
from qvq_mlx.run.ask import ask, awake, kept, pace_of
from qvq_mlx.run.plan import make_plan
from qvq_mlx.run.resident import ResidentModel
from qvq_mlx.run.timing import Stopwatch
from qvq_mlx.settings.config import Settings

_EMPTY = Progress(Stage.VOTE, 0, 0)  # told from others by identity


@dataclass(frozen=True, slots=True)
class Numbered:
    """An event of one of several replies, counted from 0."""

    number: int
    event: Event


def plan_of(request: Request, count: int, env: Env, settings: Settings) -> tuple[Plan, bool]:
    """Plan a question with `count` replies; True where they are drawn side by side."""
    if count == 1:
        return make_plan(request, env, settings), False
    policy = replace(request.policy, in_flight=count)
    try:
        together = make_plan(replace(request, policy=policy), env, settings)
    except DoesNotFitError:
        return make_plan(request, env, settings), False
    return replace(together, request=request), together.look is None


def drawn(
    plan: Plan,
    controls: Sequence[Control],
    env: Env,
    settings: Settings,
    resident: ResidentModel,
    *,
    together: bool,
) -> Iterator[Numbered]:
    """The events of one reply per control; each reply ends with its `Done`.

    The controls have one above them, which stops the load and the prefill.
    """
    plans = [_seeded(plan, number) for number in range(len(controls))]
    if together:
        yield from _side_by_side(plans, controls, env, settings, resident)
        return
    for number, (one, control) in enumerate(zip(plans, controls, strict=True)):
        for event in ask(one, env, settings, control, resident):
            yield Numbered(number, event)


def _side_by_side(
    plans: Sequence[Plan],
    controls: Sequence[Control],
    env: Env,
    settings: Settings,
    resident: ResidentModel,
) -> Iterator[Numbered]:
    first = plans[0]
    runs = [
        _Run(number, plan, control, env, settings)
        for number, (plan, control) in enumerate(zip(plans, controls, strict=True))
    ]
    try:
        with awake(env):
            engine = yield from _loaded(resident.engine_for(first, controls[0]), runs)
            if engine is None:
                done = Done(StopReason.INTERRUPT, AnswerSource.NONE, False, False, Stats())
                yield from _told_all(runs, done)
                return
            ways = [(generation_of(run.plan), run.control) for run in runs]
            steps = engine.generate_rows(prompt_of(engine, first), ways)
            finished = iter(runs)
            for step in pace_of(env, settings)(steps):
                match step:
                    case Token(row=row):
                        yield from runs[row].fed(step)
                    case Finished():
                        yield from next(finished).fed(step)
                    case Progress():
                        yield from _told_all(runs, step)
    except BaseException as error:
        for run in runs:
            run.fail(error)
        raise
    finally:
        resident.settle(first.resolved.checkpoint, alone=first.alone)
        for run in runs:
            run.close()


def _loaded(
    load: Generator[Event, None, Engine | None], runs: Sequence[_Run]
) -> Generator[Numbered, None, Engine | None]:
    """Tell every reply of the load, and return the engine."""
    while True:
        try:
            event = next(load)
        except StopIteration as stop:
            engine: Engine | None = stop.value
            return engine
        yield from _told_all(runs, event)


def _told_all(runs: Sequence[_Run], event: Event) -> Iterator[Numbered]:
    for run in runs:
        yield from run.told(event)


class _Run:
    """One reply: its guards, its clock, and what saves it."""

    def __init__(
        self, number: int, plan: Plan, control: Control, env: Env, settings: Settings
    ) -> None:
        self.plan = plan
        self.control = Control(control)  # what a guard asks of it is not asked of the client's
        self._number = number
        self._watch = Stopwatch(env.clock)
        self._pushed = PushedRun(plan.resolved.thinking, limits_of(plan), self.control)
        self._due: deque[Event] = deque((*plan.notices, *self._pushed.events))
        self._error: BaseException | None = None
        self._saved = kept(self._events(), plan, env, settings)

    def fed(self, step: Token | Finished) -> Iterator[Numbered]:
        """Yield what comes of a step of its own."""
        for event in self._pushed.feed(step):
            yield from self.told(event)

    def told(self, event: Event) -> Iterator[Numbered]:
        """Yield an event of its own, and what saving it says."""
        self._due.append(self._watch.timed(event))
        for saved in self._saved:
            if saved is _EMPTY:
                return
            yield Numbered(self._number, saved)

    def fail(self, error: BaseException) -> None:
        """End its record with an error."""
        self._error = error
        with suppress(type(error)):
            for _ in self._saved:
                pass

    def close(self) -> None:
        """Let go of its record."""
        self._saved.close()  # type: ignore[attr-defined]

    def _events(self) -> Iterator[Event]:
        while self._error is None:
            event = self._due.popleft() if self._due else _EMPTY
            yield event
            if isinstance(event, Done):
                return
        raise self._error


def _seeded(plan: Plan, number: int) -> Plan:
    """The plan with a seed of its own."""
    sampling = replace(plan.resolved.sampling, seed=plan.resolved.sampling.seed + number)
    wanted = replace(plan.request.sampling, seed=sampling.seed)
    return replace(
        plan,
        request=replace(plan.request, sampling=wanted),
        resolved=replace(plan.resolved, sampling=sampling),
    )
