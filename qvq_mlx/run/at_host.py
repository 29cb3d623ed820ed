"""Asks a host instead of a model here: what it serves, and what of a question it cannot do.

Law: what the user asked for and a host cannot do is refused by name before anything is sent; only
what cannot change the text, or is checked instead, is said and left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.card import ModelCard, Thinking, ThinkingStyle
from qvq_mlx.core.errors import QvqError, UsageError
from qvq_mlx.core.events import Event
from qvq_mlx.core.host import Host, Served
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.remedies import AskAgain, Field, Message
from qvq_mlx.core.request import Limits, Policy, Request
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Control
from qvq_mlx.run.answering import limits_of
from qvq_mlx.run.timing import Pace
from qvq_mlx.settings.config import Settings
from qvq_mlx.store import registry

if TYPE_CHECKING:
    from qvq_mlx.remote.wire import Wire

_REPLY_SHARE = 2
"""Of a context that the host states, the reply gets one of so many parts where nobody bounds it."""


def found(request: Request, settings: Settings) -> tuple[ModelCard, Path, Served]:
    """The card of the host's model that `request` means, its address as a path, and the model.

    Raises UsageError for what the host cannot do, and what the connection raises.
    """
    host = request.policy.host
    assert host is not None, "only a request with a host comes here"
    served = model_at(host, request.model, request.policy, settings)
    _refuse(request, served)
    card = card_of(served, settings)
    return card, Path(f"{host.url}/{served.model}"), served


def model_at(host: Host, name: str, policy: Policy, settings: Settings) -> Served:
    """The model of the host that `name` means; '' for its only one, or the configured one.

    Raises UsageError where the network is forbidden, and UnknownModelError.
    """
    from qvq_mlx.remote.models import meant, served

    models = served(connection(host, settings, offline=policy.offline))

    if not name and len(models) > 1 and settings.model:
        name = settings.model
    return meant(name, models, partial(card_of, settings=settings))


def card_at(name: str, request: Request, settings: Settings) -> ModelCard:
    """The card of the model of the request's host that `name` means. Raises as `model_at` does."""
    host = request.policy.host
    assert host is not None, "only a request with a host comes here"
    return card_of(model_at(host, name, request.policy, settings), settings)


def names_at(request: Request, settings: Settings) -> list[str]:
    """The ids of all models of the request's host; none where it does not say."""
    from qvq_mlx.remote.models import served

    host = request.policy.host
    assert host is not None, "only a request with a host comes here"
    try:
        found = served(connection(host, settings, offline=request.policy.offline))
    except QvqError:
        return []
    return [one.model for one in found]


def connection(host: Host, settings: Settings, *, offline: bool) -> Wire:
    """Return a connection to `host`. Raises UsageError where none is allowed."""
    from qvq_mlx.remote.wire import Wire

    forbidden: Message = (Field.OFFLINE,) if offline else (settings.offline,)
    if forbidden != ("",):
        if not host.is_here:
            remedy = AskAgain(((Field.NO_SERVER, ""),))
            text = f" forbids the network, and {host.name} is another machine"
            raise UsageError((*forbidden, text), remedy)
        from qvq_mlx.run.network import allow_port

        allow_port(host.port)
    return Wire(host)


def card_of(served: Served, settings: Settings) -> ModelCard:
    """A card for the host's model: a qvq's own, else the one of its name, else one that splits by
    tags alone.
    """
    card = served.card or registry.called(served.model, settings.cards_folder)
    thinking = card.thinking
    if not card.family and thinking.style is ThinkingStyle.NONE:
        thinking = replace(thinking, style=ThinkingStyle.TAG)  # what has no tag is the answer
    if not (served.tells_events or may_conclude(served, thinking)):
        thinking = replace(thinking, closing="")  # nobody there forces a text on it
    max_tokens = card.max_tokens
    if served.context_tokens:
        max_tokens = max(1, min(max_tokens, served.context_tokens // _REPLY_SHARE))
    return replace(
        card,
        thinking=thinking,
        max_tokens=max_tokens,
        download_bytes=0,  # it takes none of this machine's memory
        vision=replace(card.vision, video=False),
        remarks=(),
        draft="",
    )


def may_conclude(served: Served, thinking: Thinking) -> bool:
    """True if the answer can be asked for from here: the host goes on with a reply that is begun,
    and no template takes the thinking out of that, as those that know tags do.
    """
    return served.continues and thinking.style is ThinkingStyle.MARKER


def answers_of_host(plan: Plan, control: Control, pace: Pace) -> Iterator[Event]:
    """The events of a plan that a host answers."""
    from qvq_mlx.remote.answering import answered

    served = plan.resolved.served
    assert served is not None, "only a plan for a host comes here"
    yield from answered(plan, served, limits_of(plan), control, pace)


def _refuse(request: Request, served: Served) -> None:
    """Raise UsageError for the first thing that was asked for and that the host cannot do."""
    method, limits, policy = request.method, request.limits, request.policy
    cannot: tuple[tuple[Field, bool], ...] = (
        (Field.VOTE, method.votes > 1),
        (Field.DOUBLE_CHECK, method.double_check),
        (Field.LOOK, bool(method.look)),
        (Field.KV_BITS, method.kv_bits is not None),
        (Field.DRAFT, policy.draft not in (Drafting.AUTO, Drafting.NONE)),
        (Field.NO_CACHE, not policy.use_cache),
        (Field.NO_WAIT, not policy.wait),
        (Field.PARALLEL, (policy.in_flight or 1) > 1),
    )
    if not served.tells_events:
        usual = Limits().answer_tokens
        cannot += (
            (Field.ANSWER_TOKENS, limits.answer_tokens != usual and not served.continues),
            (Field.SCHEMA, bool(method.schema)),
        )
    for field, asked in cannot:
        if asked:
            what = "a qvq" if served.tells_events else "a server that is no qvq"
            raise UsageError(
                (
                    field,
                    f" cannot be asked of {served.host.name}: {what} does not offer it",
                ),
                AskAgain(((Field.NO_SERVER, ""),)),
            )
