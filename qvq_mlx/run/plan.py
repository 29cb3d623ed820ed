"""A request becomes a plan: every name resolved, every picture read, every default filled in.

Law: whatever can be refused is refused here, before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qvq_mlx import images
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.clip import Visual
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ModelError, NoVideoError, UsageError
from qvq_mlx.core.events import PIPED, Notice
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.plan import CLOSING_TOKENS, Plan, Resolved
from qvq_mlx.core.remedies import Ask, AskAgain, Field, Message, PullModel, Remedy, Show, Spelling
from qvq_mlx.core.request import Request, Sampling, Think
from qvq_mlx.core.rounds import RETOLD_BYTES, kept
from qvq_mlx.core.setup import Checkpoint, Drafting, Setup
from qvq_mlx.core.sizes import counted
from qvq_mlx.core.tokens import AnswerConstraint
from qvq_mlx.guards.language import held_scripts
from qvq_mlx.memory import admission
from qvq_mlx.run import inputs, rates
from qvq_mlx.run.groups import check_numbers
from qvq_mlx.settings.config import Settings
from qvq_mlx.store import registry

if TYPE_CHECKING:
    from qvq_mlx.core.host import Served
    from qvq_mlx.core.look import Look


def make_plan(request: Request, env: Env, settings: Settings) -> Plan:
    """Resolve every name and read every image. Raises a QvqError before anything heavy runs."""
    if not request.question.strip():
        raise UsageError("the question is empty", Ask())
    resolved = resolve(request, settings)
    card, setup = resolved.card, resolved.setup
    request, gave_way = _held_to(request, card)
    _check_images(request, card)
    draft = setup.draft_model.card if setup.draft_model else None
    named = draft if setup.drafting is Drafting.MODEL else None
    try:
        sight = inputs.load(
            request, resolved, named, env, image_sources_for(request, env, settings)
        )
    except NoVideoError as error:
        text = (f"{card.name} takes pictures only, and ", *error.parts)
        raise NoVideoError(text, _with_video(env, settings)) from None
    pictures = sight.pictures
    if draft and setup.drafting is Drafting.AUTO:
        # nobody asked for this one: it comes along only where there is room to spare
        if not admission.leaves_room(resolved, draft, request, pictures, env):
            resolved = replace(resolved, setup=replace(setup, draft_model=None))
        draft = None
    broken = registry.broken_cards(settings.cards_folder)
    room = admission.check(resolved, request, pictures, env, draft)
    room_bytes = _room_bytes(request, resolved, pictures)
    look, said_of_look = _look(request, resolved, pictures, draft, env)
    return Plan(
        request=request,
        resolved=resolved,
        pictures=pictures,
        constraint=_constraint(request, resolved),
        notices=(
            *(Notice("card", f"{fault.message}; it is left out") for fault in broken),
            *(Notice("checkpoint", f"{card.name}: {remark}") for remark in card.remarks),
            *_piped(request),
            *_said_of_host(request, resolved),
            *((Notice("budget-gave-way", env.spelling.sentence(gave_way)),) if gave_way else ()),
            *sight.notices,
            *room.notices,
            *_said_of_sampling(resolved, env.spelling),
            *_said_of_rounds(request, card, room_bytes),
            *said_of_look,
        ),
        alone=room.alone,
        room_bytes=room_bytes,
        sources=sight.sources,
        attachments=sight.attachments,
        rates=rates.known(settings.cache_folder, resolved.folder),
        look=look,
    )


def resolve(request: Request, settings: Settings) -> Resolved:
    """Resolve `request` for its model, whatever its pictures are.

    Raises a ModelError or UsageError where it could not be asked about any picture.
    """
    _check_text(request)
    check_numbers(request)
    served: Served | None = None
    if request.policy.host is None:
        card, folder = registry.resolve(request.model, settings.hub_cache, settings.cards_folder)
    else:
        from qvq_mlx.run.at_host import found

        card, folder, served = found(request, settings)
    request, _ = _held_to(request, card)
    if request.method.schema and request.method.double_check:
        raise UsageError.excluding(Field.SCHEMA, Field.DOUBLE_CHECK)
    if request.method.schema:
        from qvq_mlx.run.schema_text import check_enforced  # it loads llguidance

        check_enforced(request.method.schema)
    _check_cache(request, card)
    thinks = _thinks(request, card)
    sampling, note = _sampling(request, replace(card, sampling=card.sampling_for(thinks=thinks)))
    system = request.prompt.system
    voice = card.thinking if thinks else card.thinking.switched_off
    budget_tokens, max_tokens = _lengths(request, replace(card, thinking=voice))
    if served is not None:
        from qvq_mlx.run.at_host import may_conclude

        if not may_conclude(served, card.thinking):  # only who runs it can force a text on it
            card = replace(card, thinking=replace(card.thinking, closing=""))
    return Resolved(
        card=card,
        folder=folder,
        # an empty --system sends none, where the card has one
        system=(card.system if system is None else system) or None,
        sampling=sampling,
        max_tokens=max_tokens,
        budget_tokens=budget_tokens,
        setup=_setup(request, card, settings) if served is None else Setup(),
        sampling_note=note,
        thinks=thinks,
        served=served,
    )


def default_sampling(request: Request, card: ModelCard) -> Sampling:
    """Return the card's sampling for `request`, thinking or not. Raises UsageError as `resolve`."""
    request, _ = _held_to(request, card)
    return card.sampling_for(thinks=_thinks(request, card))


def image_sources_for(request: Request, env: Env, settings: Settings) -> images.ImageSources:
    """Return the access to pictures in this run."""
    offline = Field.OFFLINE if request.policy.offline else settings.offline
    return images.ImageSources(env.stdin.buffer, env.environ.get("PATH"), offline)


def _with_video(env: Env, settings: Settings) -> Remedy:
    """Return a remedy: a model that takes videos, one that is here, else one to fetch."""
    from qvq_mlx.memory.choice import sees_video
    from qvq_mlx.store.inventory import is_here

    known = registry.cards(settings.cards_folder)
    here = [other for other in known if other.vision.video and is_here(other, settings.hub_cache)]
    if other := sees_video(here, env.machine()):
        return Ask(("VIDEO",), ((Field.MODEL, other.name),))
    offer = sees_video(known, env.machine())
    return PullModel(offer.name) if offer else Show.MODELS


def _room_bytes(request: Request, resolved: Resolved, pictures: Sequence[Visual]) -> int | None:
    """Return the room for the text of earlier rounds; None: all of it."""
    room_bytes = admission.room_for_rounds_bytes(resolved, request, pictures)
    return room_bytes if resolved.card.rounds else min(RETOLD_BYTES, room_bytes or RETOLD_BYTES)


def _said_of_sampling(resolved: Resolved, spelling: Spelling) -> tuple[Notice, ...]:
    note = resolved.sampling_note
    return () if note is None else (Notice("vote-temperature", spelling.sentence(note)),)


def _said_of_host(request: Request, resolved: Resolved) -> tuple[Notice, ...]:
    """Say what of the request a host cannot do, where it need not be refused."""
    served = resolved.served
    if served is None or served.tells_events or held_scripts(request.method.lang) is None:
        return ()
    host, lang = served.host.name, request.method.lang
    text = f"{host} cannot hold an answer to a language: that it is {lang} is only checked"
    return (Notice("language-host", text),)


def _said_of_rounds(
    request: Request, card: ModelCard, room_bytes: int | None
) -> tuple[Notice, ...]:
    """Say which earlier rounds the model does not get as they were."""
    if not request.rounds:
        return ()
    told, notices = len(kept(request.rounds, room_bytes)), []
    if left := len(request.rounds) - told:
        text = (
            f"the oldest {left} of {len(request.rounds)} earlier questions are left out:"
            f" there is room for {room_bytes or 0:,} bytes of them"
        )
        notices.append(Notice("rounds-left-out", text))
    if not card.rounds:
        last = f"{told} earlier questions and answers" if told > 1 else "the last one"
        text = f"{card.name} knows one round only: it is asked anew, and told {last} in words"
        notices.append(Notice("one-round", text))
    return tuple(notices)


def _look(
    request: Request,
    resolved: Resolved,
    pictures: Sequence[Visual],
    draft: ModelCard | None,
    env: Env,
) -> tuple[Look | None, tuple[Notice, ...]]:
    """Return how regions are looked at, and what to say of it. Raises UsageError."""
    wanted = request.method.look
    if resolved.served is not None:
        return None, ()  # it was refused where it was asked for
    shrunk = (isinstance(visual, Picture) and visual.shrunk_a_lot for visual in pictures)
    if wanted == 0 or (wanted is None and not (resolved.card.points and any(shrunk))):
        return None, ()
    from qvq_mlx.run.look_plan import look_of  # most questions end above

    return look_of(request, resolved, pictures, draft, env)


def _piped(request: Request) -> tuple[Notice, ...]:
    """The receipt for text that came through stdin."""
    count = request.origin.piped_characters
    if not count:
        return ()
    role = "are the question" if count == len(request.question) else "follow the question"
    return (Notice(PIPED, f"{counted(count, 'character')} from stdin {role}"),)


def _check_cache(request: Request, card: ModelCard) -> None:
    """Raise UsageError where keys and values do not divide into the groups of a scale."""
    if request.method.kv_bits is None or card.shape is None or card.shape.kv_group:
        return
    width = f"{card.name} has keys of {card.shape.head_dim} numbers, which is no multiple of 32"
    raise UsageError((Field.KV_BITS, f" cannot be {request.method.kv_bits}: {width}"))


def _check_images(request: Request, card: ModelCard) -> None:
    """Images for a model that sees, and for no other. Raises UsageError."""
    named = (*(shown.source.name for shown in request.earlier), *request.images)
    if card.sees and not named and not request.prompt.allow_text_only:
        raise UsageError(f"no image is given, and {card.name} is asked about images", Ask())
    if named and not card.sees:
        raise UsageError(
            f"{card.name} reads text only, and {named[0]} is an image",
            Ask((), ((Field.MODEL, card.name),)),
        )
    if request.method.double_check and not card.sees:
        raise UsageError(
            (Field.DOUBLE_CHECK, f" looks at the picture again, and {card.name} reads text only"),
            Ask((), ((Field.MODEL, card.name),)),
        )


def _constraint(request: Request, resolved: Resolved) -> AnswerConstraint | None:
    """Return the constraints on the answer; None for none, and where a host answers."""
    schema = request.method.schema
    if resolved.served is not None:
        return None
    scripts = held_scripts(request.method.lang)
    if not schema and scripts is None:
        return None
    return AnswerConstraint(resolved.thinking, schema, scripts)


def _held_to(request: Request, card: ModelCard) -> tuple[Request, Message | None]:
    """Return the request without a usual budget that could not be kept, and why it gave way."""
    limits = request.limits
    budget = limits.budget
    if not limits.usual_budget or budget is None:
        return request, None
    contradicted = limits.think is not None and (budget.tokens == 0) is (limits.think is Think.ON)
    bounded = budget.tokens is not None
    if contradicted:
        why: Message = (Field.THINK, f" is {limits.think}")
    elif bounded and not (card.thinking.closing or card.thinking.unasked):
        why = (f"{card.name} cannot be told to conclude",)
    elif bounded and limits.max_tokens is not None and (budget.tokens or 0) > limits.max_tokens:
        why = (Field.MAX_TOKENS, f" is {limits.max_tokens:,}")
    else:
        return request, None
    bare = replace(request, limits=replace(limits, budget=None, usual_budget=False))
    return bare, ("the budget of your settings is left out here: ", *why)


def _thinks(request: Request, card: ModelCard) -> bool:
    """Return False where the model is asked not to think, which its template can do.

    A budget of 0 asks so too, and any other budget asks it to think. Raises UsageError where the
    two contradict each other, or the model has no such choice.
    """
    thinking, think, budget = card.thinking, request.limits.think, request.limits.budget
    if think is not None and budget is not None and (budget.tokens == 0) is (think is Think.ON):
        raise UsageError.excluding(Field.THINK, Field.BUDGET)
    if think is Think.ON and not card.thinks:
        raise UsageError(
            (Field.THINK, f" on: {card.name} does not think before it answers"),
            Ask(settings=((Field.MODEL, card.name),)),
        )
    if think is Think.OFF and card.thinks and not thinking.unasked:
        raise UsageError(
            (Field.THINK, f" off: {card.name} cannot be asked so, it always thinks"),
            Ask(settings=((Field.MODEL, card.name), (Field.BUDGET, "0"))),
        )
    if not thinking.unasked:
        return True
    if think is not None:
        return think is Think.ON
    return not thinking.on_request if budget is None else budget.tokens != 0


def _budget_tokens(request: Request, card: ModelCard) -> int | None:
    """The thinking that the model may do; None: no bounds. Raises UsageError."""
    budget = request.limits.budget
    if card.thinking.closing:
        return card.thinking.budget_tokens if budget is None else budget.tokens
    if card.thinking.unasked:
        return None  # it does not think now
    if budget is not None and budget.tokens is not None:
        raise UsageError(
            (Field.BUDGET, f" bounds the thinking, and {card.name} cannot be told to conclude"),
            Ask(settings=((Field.MODEL, card.name), (Field.BUDGET, "none"))),
        )
    return None


def _sampling(request: Request, card: ModelCard) -> tuple[Sampling, Message | None]:
    """Return the sampling, and what a vote changed of it."""
    if request.method.votes == 1:
        return request.sampling.applied_to(card.sampling), None
    from qvq_mlx.run.vote import sampling_of

    return sampling_of(request, card)


def _lengths(request: Request, card: ModelCard) -> tuple[int | None, int]:
    """The budget of the thinking and the bound of the whole, so that both can be reached.

    A bound that the user did not give makes room for the budget that they gave, and a default
    budget leaves room for the answer within the bound that they gave. The card's own budget is the
    default, spelt out or not. Raises UsageError where they gave both and the budget is beyond the
    bound.
    """
    limits, budget_tokens = request.limits, _budget_tokens(request, card)
    if limits.max_tokens is None:
        if budget_tokens is None or budget_tokens == card.thinking.budget_tokens:
            return budget_tokens, card.max_tokens
        wanted = budget_tokens + CLOSING_TOKENS + limits.answer_tokens
        return budget_tokens, max(card.max_tokens, wanted)
    if budget_tokens is not None and limits.budget is not None:
        if budget_tokens > limits.max_tokens:
            most = (Field.MAX_TOKENS, f" {limits.max_tokens:,}")
            raise UsageError(
                (Field.BUDGET, f" {budget_tokens:,} cannot be reached within ", *most),
                AskAgain(((Field.MAX_TOKENS, str(budget_tokens + limits.answer_tokens)),)),
            )
    elif budget_tokens is not None and limits.max_tokens > limits.answer_tokens:
        budget_tokens = min(budget_tokens, limits.max_tokens - limits.answer_tokens)
    return budget_tokens, limits.max_tokens


def _check_text(request: Request) -> None:
    """Refuse bytes that are no text. Raises UsageError: an argument may hold any bytes."""
    texts = ((Field.QUESTION, request.question), (Field.SYSTEM, request.prompt.system or ""))
    for field, text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            said = f" is not UTF-8 text: byte {error.start + 1:,} cannot be read"
            raise UsageError((field, said), Show.ASK_HELP) from None


def _setup(request: Request, card: ModelCard, settings: Settings) -> Setup:
    """Return who drafts and what may be cached.

    Raises ModelError or UsageError for a draft model that the user named; one that only the card
    names is left out where it does not serve.
    """
    drafting, name = Drafting.MODEL, request.policy.draft
    if name in (Drafting.AUTO, Drafting.NONE, Drafting.LOOKUP, Drafting.MTP):
        drafting = Drafting(name)
        name = card.draft if drafting is Drafting.AUTO else ""
    if request.method.votes > 1:
        if drafting not in (Drafting.AUTO, Drafting.NONE):
            raise UsageError.excluding(Field.VOTE, Field.DRAFT)
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
        cache_folder=settings.cache_folder if request.policy.use_cache else None,
        # keys and values of a picture are the picture: a run that is not saved leaves none
        cache_max_bytes=settings.cache_max_bytes if settings.keeps(request.policy) else 0,
    )


def _draft_model(name: str, card: ModelCard, settings: Settings) -> Checkpoint:
    draft, folder = registry.resolve(name, settings.hub_cache, settings.cards_folder)
    sees_less = card.vision.video and not draft.vision.video
    if sees_less or (draft.sees, draft.vision.factor_px) != (card.sees, card.vision.factor_px):
        raise UsageError(
            f"{draft.name} cannot draft for {card.name}: it does not see the same image tokens",
            AskAgain(((Field.DRAFT, Drafting.LOOKUP),)),
        )
    return Checkpoint(draft, folder)
