"""Finds out what a host serves, and which of its models a name means.

Law: nothing is guessed: a name means a model of the host's where it is its id, the last part of its
id, or the name, an alias or the repository of a card of ours that this id belongs to. Without a
name it is the host's only model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qvq_mlx import __version__
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import HostError, UnknownModelError
from qvq_mlx.core.host import Served
from qvq_mlx.core.remedies import Ask, Field
from qvq_mlx.records.typed import typed
from qvq_mlx.remote.wire import Wire

EVENTS = 1
"""The version of the events that a qvq sends to another one."""
_LISTED = 10
_MOST_PX = 2**14


def served(wire: Wire) -> tuple[Served, ...]:
    """Every model of the host's. Raises a QvqError."""
    record = wire.json("/v1/models")
    entries = record.get("data") if isinstance(record, dict) else None
    if not isinstance(entries, list):
        raise HostError(
            f"{wire.host.name} does not list its models as OpenAI's servers do", wire.look
        )
    found = tuple(
        Served(wire.host, one["id"], _context(one), _card(one, wire), _continues(one))
        for one in entries
        if isinstance(one, dict) and isinstance(one.get("id"), str) and one["id"].isprintable()
    )
    if not found:
        raise HostError(f"{wire.host.name} serves no model", wire.look)
    return found


def meant(name: str, models: Sequence[Served], card_of: Callable[[Served], ModelCard]) -> Served:
    """The model that `name` means; '' for the only one. `card_of` makes a card for a model.

    Raises UnknownModelError.
    """
    if not name and len(models) == 1:
        return models[0]
    host = models[0].host.name
    listed = ", ".join(one.model for one in models[:_LISTED])
    more = f" and {len(models) - _LISTED:,} more" if len(models) > _LISTED else ""
    remedy = Ask(settings=((Field.MODEL, models[0].model),))
    if not name:
        raise UnknownModelError(f"{host} serves several models: {listed}{more}", remedy)
    wanted = name.casefold()
    for fits in (
        lambda one: one.model == name,
        lambda one: one.model.casefold() == wanted,
        lambda one: _tail(one.model) == _tail(name),
        lambda one: card_of(one).answers_to(name),
    ):
        if len(found := [one for one in models if fits(one)]) == 1:
            return found[0]
    raise UnknownModelError(f"{host} does not serve {name!r}, but {listed}{more}", remedy)


def _tail(name: str) -> str:
    return name.rstrip("/").rsplit("/", 1)[-1].casefold()


def _is_sound(card: ModelCard) -> bool:
    """True if pictures can be sized by it."""
    limits = card.vision
    sizes = 1 <= limits.factor_px <= _MOST_PX and 1 <= limits.min_pixels <= limits.max_pixels
    return sizes and limits.max_pixels <= _MOST_PX**2 and card.max_tokens >= 1


def _continues(entry: dict[str, object]) -> bool:
    """True for vLLM, whose chat completions know `continue_final_message`.

    Others borrow its name; the list of permissions and the length are its own.
    """
    own = isinstance(entry.get("permission"), list) and isinstance(entry.get("max_model_len"), int)
    return own and entry.get("owned_by") == "vllm"


def _context(entry: dict[str, object]) -> int:
    """Read the tokens of a context, which servers name differently; 0 where it is not said."""
    for name in ("max_model_len", "max_context_length", "context_length"):
        value = entry.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def _card(entry: dict[str, object], wire: Wire) -> ModelCard | None:
    """The card that a qvq sends; None for another server. Raises HostError for one of another
    version, which would not be understood.
    """
    own = entry.get("qvq")
    if not isinstance(own, dict):
        return None
    try:
        if own.get("events") == EVENTS and _is_sound(card := typed(ModelCard, own.get("card"))):
            return card
    except ValueError:
        pass
    version = str(own.get("version"))[:40]
    raise HostError(
        f"{wire.host.name} runs qvq {version}, which this one ({__version__}) does not understand",
        wire.look,
    )
