"""Several plans in flight on one loaded model: their events, as each has them alone.

Law: a plan's events are those of `run.ask.ask` for it, its own budget, guards, schema and stops
included; only when they come differs. Not covered: votes and double checks, which ask the model
more than once, and the history, which a batch does not write.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TypeVar

from qvq_mlx.core.env import Engine, Env
from qvq_mlx.core.events import Event
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.tokens import Asked, Control, Finished, Step
from qvq_mlx.guards.pushed import PushedRun
from qvq_mlx.run.answering import asked_of, limits_of
from qvq_mlx.run.resident import ResidentModel
from qvq_mlx.run.timing import Stopwatch

Result = TypeVar("Result")


def ask_together(
    plans: Iterator[Plan],
    most: int,
    env: Env,
    control: Control,
    loaded: ResidentModel,
    beyond: float | None = None,
) -> Iterator[tuple[int, Event]]:
    """Events with the number of their plan, counted from 0; at most `most` plans are in flight.

    A plan is pulled when there is a place for it; where `beyond` is not exceeded, as
    `Engine.generate_each` has it, the rest is left. All ask the same checkpoint and setup. Where
    `control` stops it before the model is there, nothing comes.
    """
    first = next(plans, None)
    if first is None:
        return
    head = _Run(first, env, control)
    try:
        engine = yield from head.passed(loaded.engine_for(first, control))
        if engine is None:
            return
        runs = {0: head}

        def asked(engine: Engine) -> Iterator[Asked]:
            yield asked_of(engine, first, head.control)
            for number, plan in enumerate(plans, 1):
                runs[number] = run = _Run(plan, env, control)
                yield asked_of(engine, plan, run.control)

        for number, step in engine.generate_each(asked(engine), most, beyond):
            for event in runs[number].fed(step):
                yield number, loaded.told(event)
            if isinstance(step, Finished):
                del runs[number]
    finally:
        loaded.settle(first.resolved.checkpoint, alone=first.alone)


class _Run:
    """One plan: its guards, its clock."""

    def __init__(self, plan: Plan, env: Env, above: Control) -> None:
        self.control = Control(above)
        self._watch = Stopwatch(env.clock)
        self._pushed = PushedRun(plan.resolved.thinking, limits_of(plan), self.control)
        self._due: list[Event] = [*plan.notices, *self._pushed.events]

    def passed(
        self, steps: Generator[Event, None, Result]
    ) -> Generator[tuple[int, Event], None, Result]:
        """Pass on what happens before the first plan's run, and return what it comes to."""
        while True:
            try:
                event = next(steps)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            yield 0, self._watch.timed(event)

    def fed(self, step: Step) -> list[Event]:
        """Return what comes of a step."""
        events, self._due = [*self._due, *self._pushed.feed(step)], []
        return [self._watch.timed(event) for event in events]
