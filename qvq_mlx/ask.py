"""The straight line: a request becomes a plan, a plan becomes events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from qvq_mlx import fitting, history, images, rates, second_look, voting
from qvq_mlx.config import Settings
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Engine, Env
from qvq_mlx.core.errors import ModelError, UsageError
from qvq_mlx.core.events import AnswerSource, Done, Event, Stats, StopReason
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.records import request_record
from qvq_mlx.core.request import Request
from qvq_mlx.core.setup import Checkpoint, Drafting, Setup
from qvq_mlx.core.timing import Pace, paced, timed
from qvq_mlx.core.tokens import AnswerHold, Control, Generation
from qvq_mlx.guards.language import Script, allowed_scripts
from qvq_mlx.guards.supervise import Limits, supervise
from qvq_mlx.store import registry
from qvq_mlx.turn import Turn


def plan(request: Request, env: Env, settings: Settings) -> Plan:
    """Resolve every name and read every image. Raises a QvqError before anything heavy runs."""
    card, folder = registry.resolve(request.model, settings.hub_cache, settings.cards_folder)
    _check_images(request, card)
    sampling, notices = voting.sampling_of(request, card)
    pictures = _pictures(request, card, env)
    setup = _setup(request, card, settings)
    draft = setup.draft_model.card if setup.draft_model else None
    if draft and setup.drafting is Drafting.AUTO:
        # nobody asked for this one: it comes along only where there is room to spare
        if not fitting.leaves_room(card, draft, request, pictures, env):
            setup = replace(setup, draft_model=None)
        draft = None
    room = fitting.check(card, request, pictures, env, draft)
    return Plan(
        question=request.question,
        card=card,
        folder=folder,
        pictures=pictures,
        # an empty --system sends none, where the card has one
        system=(card.system if request.system is None else request.system) or None,
        sampling=sampling,
        max_tokens=request.max_tokens or card.max_tokens,
        hold=_hold(request, card),
        setup=setup,
        notices=room.notices + notices,
        alone=room.alone,
        wait=request.wait,
        budget_tokens=_budget_tokens(request, card),
        answer_tokens=request.answer_tokens,
        votes=request.votes,
        verify=request.verify,
        rates=rates.known(settings.cache_folder, folder),
    )


def ask(plan: Plan, env: Env, settings: Settings, control: Control) -> Iterator[Event]:
    """Everything that happens from here to `Done`, measured and saved."""
    events = timed(_events(plan, env, settings, control), env.clock)
    if settings.save:
        events = rates.remembered(events, settings.cache_folder, plan.folder, env.clock)
        events = history.record(events, request_record(plan), settings.history_folder, env.now())
    return events


def answers(engine: Engine, plan: Plan, control: Control, pace: Pace = iter) -> Iterator[Event]:
    """What a loaded model does with a plan: one run or a vote, and a second look at its answer."""
    prompt = engine.prompt(plan.question, plan.pictures, plan.system)
    scripts = frozenset(map(Script, plan.hold.scripts)) if plan.hold and plan.hold.scripts else None
    limits = Limits(plan.budget_tokens, plan.answer_tokens, scripts)
    if plan.votes > 1:
        events = voting.voted(engine, prompt, plan, limits, control, pace)
    else:
        own = Control(control)  # what a guard asks of this run is not asked of a second look
        closing = plan.card.thinking.closing
        generation = Generation(plan.sampling, plan.max_tokens, closing, plan.hold)
        steps = pace(engine.generate(prompt, generation, own))
        events = supervise(steps, plan.card.thinking, own, limits)
    if plan.verify:
        events = second_look.looked_again(events, engine, plan, control, pace)
    return events


def _pictures(request: Request, card: ModelCard, env: Env) -> tuple[Picture, ...]:
    """What the model will see, in the order of the prompt: a source may hold several pictures."""
    desk = images.Desk(env.stdin.buffer)
    read = (
        images.read(source, card.vision, desk, request.look_at(index))
        for index, source in enumerate(request.images)
    )
    return tuple(picture for pictures in read for picture in pictures)


def _check_images(request: Request, card: ModelCard) -> None:
    """Images for a model that sees, and for no other. Raises UsageError."""
    if card.sees and not request.images:
        raise UsageError(
            f"no image is given, and {card.name} is asked about images", 'qvq ask IMAGE "question"'
        )
    if request.images and not card.sees:
        raise UsageError(
            f"{card.name} reads text only, and {request.images[0]} is an image",
            f'qvq ask -m {card.name} "question"',
        )
    second_look.check_possible(request, card)


def _hold(request: Request, card: ModelCard) -> AnswerHold | None:
    """What the answer is held to; None for nothing. Raises UsageError."""
    if request.schema and request.verify:
        raise UsageError("--schema and --verify exclude each other", "qvq ask --help")
    scripts = allowed_scripts(request.question, request.lang)
    if not request.schema and scripts is None:
        return None
    return AnswerHold(card.thinking, request.schema, scripts)


def _budget_tokens(request: Request, card: ModelCard) -> int | None:
    """The thinking that the model may do; None: no bounds. Raises UsageError."""
    if card.thinking.closing:
        return card.thinking.budget_tokens if request.budget is None else request.budget.tokens
    if request.budget is not None and request.budget.tokens is not None:
        raise UsageError(
            f"--budget bounds the thinking, and {card.name} cannot be told to conclude",
            f'qvq ask -m {card.name} --budget none IMAGE "question"',
        )
    return None


def _events(plan: Plan, env: Env, settings: Settings, control: Control) -> Iterator[Event]:
    """One big model at a time: the turn is taken before the load and given back after `Done`."""
    yield from plan.notices
    turn = Turn(settings.cache_folder, env.sleep)
    try:
        if plan.alone and not (yield from turn.take(control, wait=plan.wait)):
            yield Done(StopReason.INTERRUPT, AnswerSource.NONE, False, False, Stats())
            return
        yield from _loaded(plan, env, settings, control)
    finally:
        turn.release()


def _loaded(plan: Plan, env: Env, settings: Settings, control: Control) -> Iterator[Event]:
    engine = yield from env.load_engine(Checkpoint(plan.card, plan.folder), plan.setup, control)
    if engine is None:
        yield Done(StopReason.INTERRUPT, AnswerSource.NONE, False, False, Stats())
        return
    pace: Pace = iter
    if rate := settings.pace_tokens_per_s:
        pace = partial(paced, tokens_per_s=rate, clock=env.clock, sleep=env.sleep)
    yield from answers(engine, plan, control, pace)


def _setup(request: Request, card: ModelCard, settings: Settings) -> Setup:
    """Who drafts, and what may be kept. Raises a ModelError or UsageError for a draft model that
    the user named; one that only the card names is left out where it does not serve.
    """
    drafting, name = Drafting.MODEL, request.draft
    if request.draft in (Drafting.AUTO, Drafting.NONE, Drafting.LOOKUP):
        drafting = Drafting(request.draft)
        name = card.draft if drafting is Drafting.AUTO else ""
    if request.votes > 1:
        if drafting not in (Drafting.AUTO, Drafting.NONE):
            raise UsageError("--vote and --draft exclude each other", "qvq ask --help")
        drafting, name = Drafting.NONE, ""  # samples side by side are not drafted for
    draft_model: Checkpoint | None = None
    if name:
        try:
            draft_model = _draft_model(name, card, settings)
        except (ModelError, UsageError):
            if drafting is Drafting.MODEL:
                raise
    return Setup(
        drafting=drafting,
        draft_model=draft_model,
        cache_folder=settings.cache_folder if request.use_cache else None,
        cache_max_bytes=settings.cache_max_bytes,
    )


def _draft_model(name: str, card: ModelCard, settings: Settings) -> Checkpoint:
    draft, folder = registry.resolve(name, settings.hub_cache, settings.cards_folder)
    if (draft.sees, draft.vision.factor_px) != (card.sees, card.vision.factor_px):
        raise UsageError(
            f"{draft.name} cannot draft for {card.name}: it does not see the same image tokens",
            "qvq ask --draft lookup ...",
        )
    return Checkpoint(draft, folder)
