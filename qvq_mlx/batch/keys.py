"""The key of a batch's item: by it a second run knows that the item is done.

Law: two items have the same key exactly where the same text would come of them. Hashed is all of
the request but its policy and origin, with every default filled in: the pictures by their contents,
the model by its weights and voice, however the command spelt them. A field that has its class's
default is left out, so that an option that comes with a later version changes no key.

A file of qvq 0.1 before this rule holds other keys (`legacy_keys`); an item with one of them is
done too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from enum import StrEnum

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.image_options import ImageOptions, TokenRange
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.request import (
    Budget,
    Limits,
    Origin,
    Policy,
    Request,
    Sampling,
    SamplingOverrides,
    Think,
)
from qvq_mlx.guards.language import held_scripts
from qvq_mlx.records.runs import Json
from qvq_mlx.store import local

_DIGITS = 32
_spelt = json.JSONEncoder(sort_keys=True, ensure_ascii=True).encode


def model_identity(resolved: Resolved) -> str:
    """A hash of what a model brings to the text: its weights, and what its card says of them.

    The weights of a host's model are not here: it is known by its name, whatever the address.
    """
    card = resolved.card
    facts = [_stated(card.thinking), _stated(card.vision), card.rounds]
    if resolved.served is not None:
        return _hash(["host", resolved.served.model, *facts])
    return _hash([local.fingerprint(resolved.folder), *facts])


def key_of(request: Request, resolved: Resolved, model: str, contents: Sequence[str]) -> str:
    """32 hex digits for `request` about pictures with these `contents`.

    `contents` are the sha256 of the images' bytes, or what stands for an image that cannot be
    read; `model` is its identity.
    """
    return _hash(_stated(_as_it_came_out(request, resolved, model, contents)))


class KeyMaker:
    """Makes the keys of requests that differ in question and images alone: those of `key_of`.

    What they share is spelt and hashed once: of 100,000 items it would take half of a batch's time.
    """

    def __init__(self, request: Request, resolved: Resolved, model: str) -> None:
        """`model` is its identity."""
        stated = _stated(_as_it_came_out(request, resolved, model, ("",)))
        assert isinstance(stated, dict), stated
        spelt = {name: f"{_spelt(name)}: {_spelt(value)}" for name, value in stated.items()}
        names = sorted(spelt)
        first, second = names.index("images"), names.index("question")
        assert first < second
        before = [spelt[name] for name in names[:first]]
        between = [spelt[name] for name in names[first + 1 : second]]
        after = [spelt[name] for name in names[second + 1 :]]
        self._begun = hashlib.sha256(("{" + ", ".join([*before, '"images": '])).encode())
        self._between = ", ".join(["", *between, '"question": '])
        self._end = ", ".join(["", *after]) + "}"

    def key(self, question: str, contents: Sequence[str]) -> str:
        """32 hex digits, as of `key_of`."""
        digest = self._begun.copy()
        rest = f"{_spelt(list(contents))}{self._between}{_spelt(question)}{self._end}"
        digest.update(rest.encode())
        return digest.hexdigest()[:_DIGITS]


def _as_it_came_out(
    request: Request, resolved: Resolved, model: str, contents: Sequence[str]
) -> Request:
    """The request with every default filled in, the pictures by their contents."""
    limits, scripts = request.limits, held_scripts(request.method.lang)
    by_itself = resolved.thinks is not resolved.card.thinking.on_request
    think = None if by_itself else Think.ON if resolved.thinks else Think.OFF
    return replace(
        request,
        images=tuple(contents),
        model=model,
        prompt=replace(request.prompt, system=resolved.system or ""),
        limits=Limits(
            Budget(resolved.budget_tokens), limits.answer_tokens, resolved.max_tokens, think
        ),
        sampling=_given(resolved.sampling),
        method=replace(request.method, lang=",".join(sorted(scripts or ()))),
        policy=Policy(),
        origin=Origin(),
    )


def _given(sampling: Sampling) -> SamplingOverrides:
    """All values but the penalties that change nothing: older files know none."""
    found = SamplingOverrides(**asdict(sampling))
    off = Sampling()
    if sampling.repetition_penalty == off.repetition_penalty:
        found = replace(found, repetition_penalty=None)
    if sampling.presence_penalty == off.presence_penalty:
        found = replace(found, presence_penalty=None)
    return found


def legacy_keys(request: Request, card: ModelCard, contents: Sequence[str]) -> tuple[str, ...]:
    """The keys that qvq wrote before defaults were resolved, for the same item.

    They hashed the request as it was spelt, so there is one for every name of the model, and for
    online and `offline`. Frozen: these files are on people's disks.
    """
    names = {request.model: None}
    if card.answers_to(request.model):
        names |= dict.fromkeys(name for name in (card.name, *card.aliases, card.repo) if name)
    limits, method, sampling = request.limits, request.method, request.sampling
    record = {
        "question": request.question,
        "images": list(contents),
        "system": request.prompt.system,
        "max_tokens": limits.max_tokens,
        "sampling": {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "seed": sampling.seed,
        },
        "lang": method.lang,
        "schema": method.schema,
        "draft": "auto",
        "use_cache": True,
        "force": False,
        "wait": True,
        "budget": None if limits.budget is None else {"tokens": limits.budget.tokens},
        "answer_tokens": limits.answer_tokens,
        "votes": method.votes,
        "verify": method.double_check,
        "looks": [_legacy_look(options) for options in request.image_options],
        "rounds": [],
        "earlier": [],
        "follows": None,
        "seen_pictures": 0,
        "piped_characters": 0,
    }
    return tuple(
        _hash({**record, "model": name, "offline": offline})
        for name in names
        for offline in (request.policy.offline, not request.policy.offline)
    )


def _legacy_look(options: ImageOptions) -> Json:
    crop, frames = options.crop, options.frames
    return {
        "detail": str(options.detail) if isinstance(options.detail, TokenRange) else options.detail,
        "crop": None
        if crop is None
        else {
            "x": crop.x,
            "y": crop.y,
            "width": crop.width,
            "height": crop.height,
            "percent": crop.percent,
        },
        "pages": {"ranges": options.pages.ranges},
        "background": options.background,
        "frames": {"fps": frames.fps, "count": frames.count, "span_s": frames.span_s},
    }


def _stated(value: object) -> object:
    """`value` as JSON; of a dataclass only the fields that differ from its defaults."""
    if isinstance(value, tuple):
        return [_stated(part) for part in value]
    if is_dataclass(value):
        pairs = [(field, getattr(value, field.name)) for field in fields(value)]
        return {field.name: _stated(part) for field, part in pairs if part != field.default}
    assert value is None or isinstance(value, str | int | float | StrEnum), value
    return value


def _hash(record: object) -> str:
    return hashlib.sha256(_spelt(record).encode()).hexdigest()[:_DIGITS]
