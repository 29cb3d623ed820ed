"""The straight line: a plan becomes events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from shutil import which

from qvq_mlx import history
from qvq_mlx.core.env import Engine, Env
from qvq_mlx.core.events import UNSAVED, AnswerSource, Done, Event, Notice, Stats, StopReason
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.tokens import Control
from qvq_mlx.memory.lock import BigModelLock
from qvq_mlx.records.runs import request_record
from qvq_mlx.run import rates
from qvq_mlx.run.answering import answered, prompt_of
from qvq_mlx.run.ending import ended
from qvq_mlx.run.resident import ResidentModel
from qvq_mlx.run.timing import Pace, paced, timed
from qvq_mlx.settings.config import Settings


def ask(
    plan: Plan, env: Env, settings: Settings, control: Control, loaded: ResidentModel | None = None
) -> Iterator[Event]:
    """Everything that happens from here to `Done`, measured and saved.

    `loaded` holds the model from one question to the next; None: this run's own, for as long as
    the run.
    """
    events = timed(ended(_events(plan, env, settings, control, loaded), control), env.clock)
    return kept(events, plan, env, settings)


def kept(events: Iterator[Event], plan: Plan, env: Env, settings: Settings) -> Iterator[Event]:
    """The same events of a run of `plan`, saved as they pass where runs are saved."""
    if settings.keeps(plan.request.policy):
        events = rates.remembered(events, settings.cache_folder, plan.resolved.folder, env.clock)
        events = _keeping(events, plan, settings)
        events = history.record(events, request_record(plan), settings.history_folder, env.now())
        events = _marking(events, settings)
    return events


def answers(engine: Engine, plan: Plan, control: Control, pace: Pace = iter) -> Iterator[Event]:
    """Run a plan on a loaded model: one run or a vote, and a double check of its answer.

    Where it looks closer by pointing, that comes first, and the question goes on from there; where
    it has a tool for that, it asks while it thinks.
    """
    if plan.look is not None and plan.look.system:
        from qvq_mlx.run.zoom import zoomed

        events = zoomed(engine, plan, plan.look, control, pace)
    elif plan.look is not None:
        from qvq_mlx.run.locate import pointed

        events = pointed(engine, plan, plan.look, control, pace)
    else:
        events = answered(engine, plan, prompt_of(engine, plan), control, pace)
    if plan.request.method.double_check:
        from qvq_mlx.run import double_check

        events = double_check.double_checked(events, engine, plan, control, pace)
    return events


def _keeping(events: Iterator[Event], plan: Plan, settings: Settings) -> Iterator[Event]:
    """Keep what a follow-up could not read again. Failing to is a notice."""
    from qvq_mlx.history import attachments

    folder = attachments.folder_in(settings.history_folder)
    for attachment in plan.attachments:
        try:
            attachments.keep(attachment, folder)
        except OSError as error:
            yield Notice("attachment", f"a follow-up cannot see this picture again: {error}")
    yield from events


def _marking(events: Iterator[Event], settings: Settings) -> Iterator[Event]:
    """Remember whether this terminal's last run is in the history: a follow-up asks."""
    from qvq_mlx.history import latest

    folders, unsaved = (settings.history_folder, settings.cache_folder), False
    try:
        for event in events:
            unsaved = unsaved or (isinstance(event, Notice) and event.code == UNSAVED)
            yield event
    finally:
        if unsaved:
            latest.mark_unsaved(folders)
        else:
            latest.clear_unsaved(folders)


def _events(
    plan: Plan, env: Env, settings: Settings, control: Control, loaded: ResidentModel | None
) -> Iterator[Event]:
    """The plan's notices, the load and the answer; what was taken for it is given back."""
    yield from plan.notices
    if plan.resolved.served is not None:
        from qvq_mlx.run.at_host import answers_of_host

        with awake(env):
            yield from answers_of_host(plan, control, pace_of(env, settings))
        return
    holder = loaded or ResidentModel(
        env.load_engine,
        BigModelLock(settings.cache_folder, env.sleep),
        settings.cache_folder if env.hostfile is None else None,
    )
    try:
        with awake(env):
            engine = yield from holder.engine_for(plan, control)
            if engine is None:
                yield Done(StopReason.INTERRUPT, AnswerSource.NONE, False, False, Stats())
                return
            yield from map(holder.told, answers(engine, plan, control, pace_of(env, settings)))
    finally:
        holder.settle(plan.resolved.checkpoint, alone=plan.alone)
        if loaded is None:
            holder.close()


def pace_of(env: Env, settings: Settings) -> Pace:
    """Return the pace that the user set for tokens; as they come where none is."""
    if rate := settings.pace_tokens_per_s:
        return partial(paced, tokens_per_s=rate, clock=env.clock, sleep=env.sleep)
    return iter


def awake(env: Env) -> AbstractContextManager[None]:
    """Keep a Mac awake while it answers, in a chat and for a server's client too.

    What runs beside it is loaded only there.
    """
    if which("caffeinate", path=env.environ.get("PATH")) is None:
        return nullcontext()
    from qvq_mlx.system import awake as caffeine

    return caffeine.awake(env.environ)
