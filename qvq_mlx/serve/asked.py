"""A question as any of the HTTP interfaces asks it, and the `Request` that it becomes.

Law: nothing in a body names a file, the clipboard, the screen or another model: pictures are data
URIs, or addresses where the server was started so. The pictures of a message stand before its text,
as the models were trained, and all of them become `earlier` ones with their bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from qvq_mlx import images
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.image_options import MAX_PICTURES, Detail, ImageOptions
from qvq_mlx.core.request import (
    Budget,
    Limits,
    Method,
    Policy,
    PromptOptions,
    Request,
    SamplingOverrides,
    Think,
)
from qvq_mlx.core.rounds import Round, Shown, Source
from qvq_mlx.guards.budget import SIZES
from qvq_mlx.guards.language import AUTO
from qvq_mlx.images.paths import called, is_data, is_web
from qvq_mlx.serve.fields import Fields, RequestError
from qvq_mlx.serve.tools import Call, Offer, has_tools, told
from qvq_mlx.settings.config import Settings

MAX_TOKENS = 1_000_000
EFFORTS: dict[str, int | None] = {"none": 0, "minimal": 256, **SIZES, "xhigh": None, "max": None}
"""Budgets in tokens of thinking by the words of `reasoning_effort`; None: no bound."""
DETAILS = {
    "auto": Detail.AUTO,
    "low": Detail.LOW,
    "high": Detail.HIGH,
    "original": Detail.MAX,
}


class Role(StrEnum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Image:
    """A picture of a message: its source, how it is read, and its path in the body."""

    source: str
    detail: Detail = Detail.AUTO
    place: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `place` is its path in the body.

    One of the assistant's may call tools, and has the `thinking` before it where the client sent
    it; one of a tool's `answers` the call of that id.
    """

    role: Role
    text: str
    images: tuple[Image, ...] = ()
    place: str = ""
    calls: tuple[Call, ...] = ()
    answers: str = ""
    thinking: str = ""


@dataclass(frozen=True, slots=True)
class FromQvq:
    """Settings that a qvq sends and that no interface has a field for."""

    answer_tokens: int
    lang: str
    think: Think | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and how it is to be answered; None leaves the model's default.

    `effort` is a word of `EFFORTS`, which bends to `max_tokens`; `budget_tokens` is a number that
    does not. `stop` are texts at which the answer ends; `choices` replies are drawn. `qvq` is
    there where a qvq asks, which is sent the events of the run as they are.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    effort: str | None = None
    budget_tokens: int | None = None
    sampling: SamplingOverrides = SamplingOverrides()
    schema: str = ""
    stop: tuple[str, ...] = ()
    choices: int = 1
    stream: bool = False
    include_usage: bool = True
    save: bool = True
    offer: Offer = Offer()
    qvq: FromQvq | None = None


Fetch = Callable[[Image], bytes]
"""Returns the bytes behind a picture's data URI or address."""


def sampling_of(body: Fields) -> SamplingOverrides:
    """Read the sampling fields, which all interfaces share."""
    return SamplingOverrides(
        temperature=body.number("temperature", 0, 2),
        top_p=body.number("top_p", 0, 1),
        top_k=body.whole("top_k", 0, 2**31),
        min_p=body.number("min_p", 0, 1),
        seed=body.whole("seed", 0, 2**63 - 1),
        repetition_penalty=body.number("repetition_penalty", 0.01, 100),
        presence_penalty=body.number("presence_penalty", -2, 2),
    )


def image_of(source: str, detail: str | None, place: str) -> Image:
    """A picture. Raises RequestError for what is neither a data URI nor an address."""
    if not (is_data(source) or is_web(source)):
        raise RequestError(
            f"{place} has to be a data URI or an https address; files are not read over HTTP", place
        )
    if is_data(source) and not source[5:11].lower().startswith("image/"):
        kind = source[5:30].partition(";")[0].partition(",")[0]
        raise RequestError(f"{place} is of type {kind!r}, and has to be image/…", place)
    return Image(source, DETAILS[detail or "auto"], place)


def request_of(
    asked: Asked, card: ModelCard, fetch: Fetch, settings: Settings, kv_bits: int | None = None
) -> Request:
    """Turn messages into rounds and a question. Raises RequestError, and what `fetch` raises.

    The server's cache has `kv_bits`.
    """
    system, turns = _turns(asked.messages)
    count = sum(len(message.images) for message in turns)
    if count > MAX_PICTURES:
        raise RequestError(
            f"{count} pictures are too many; the limit is {MAX_PICTURES}", "messages"
        )
    rounds = tuple(
        Round(question.text, answer.text, len(question.images))
        for question, answer in zip(turns[0::2], turns[1::2], strict=False)
    )
    request = Request(
        question=turns[-1].text,
        images=(),
        model=card.folder if card.folder.startswith("/") else card.name,
        rounds=rounds,
        earlier=tuple(_shown(image, fetch) for turn in turns for image in turn.images),
        prompt=PromptOptions(system, allow_text_only=True),
        limits=limits_of(asked, card),
        sampling=asked.sampling,
        method=Method(
            schema=asked.schema, lang=asked.qvq.lang if asked.qvq else AUTO, kv_bits=kv_bits
        ),
        policy=Policy(offline=True, save=asked.save),
    )
    return told(request, asked, settings) if has_tools(asked) else request


def limits_of(asked: Asked, card: ModelCard) -> Limits:
    """Bound the thinking so that an answer still comes: half of `max_tokens` at most is its room.

    A card that does not think keeps to every budget. A qvq has its limits as they are here.
    """
    if asked.qvq is not None:
        bound = None if asked.budget_tokens is None else Budget(asked.budget_tokens)
        if asked.effort is not None:
            bound = Budget(EFFORTS[asked.effort])
        return Limits(bound, asked.qvq.answer_tokens, asked.max_tokens, asked.qvq.think)
    answer_tokens = Limits().answer_tokens
    if asked.max_tokens is not None:
        answer_tokens = max(1, min(answer_tokens, asked.max_tokens // 2))
    budget: Budget | None = None
    if card.thinks and asked.budget_tokens is not None:
        budget = Budget(asked.budget_tokens)
    elif card.thinks and asked.effort is not None:
        tokens = EFFORTS[asked.effort]
        if tokens is not None and asked.max_tokens is not None:
            tokens = min(tokens, asked.max_tokens - answer_tokens)
        budget = Budget(tokens)
    return Limits(budget, answer_tokens, asked.max_tokens)


def _turns(messages: Sequence[Message]) -> tuple[str | None, list[Message]]:
    """The system message, and user and assistant in alternation, the user first and last.

    What a tool answers is said on the user's side.
    """
    system: list[str] = []
    turns: list[Message] = []
    for message in messages:
        if message.role is Role.SYSTEM:
            system.append(message.text)
        elif turns and (turns[-1].role is Role.ASSISTANT) is (message.role is Role.ASSISTANT):
            turns[-1] = _joined(turns[-1], message)
        elif not turns and message.role is not Role.USER:
            raise RequestError("the first message has to be the user's", message.place)
        else:
            turns.append(message)
    if not turns or turns[-1].role is Role.ASSISTANT:
        place = messages[-1].place if messages else "messages"
        raise RequestError("the last message has to be the user's", place)
    for turn in turns:
        if turn.role is Role.USER and not turn.text.strip():
            raise RequestError("a question is missing: the message has no text", turn.place)
    return "\n\n".join(system) if system else None, turns


def _joined(first: Message, second: Message) -> Message:
    text = "\n\n".join(part for part in (first.text, second.text) if part)
    return replace(first, text=text, images=(*first.images, *second.images))


def _shown(image: Image, fetch: Fetch) -> Shown:
    data = fetch(image)
    digest = hashlib.sha256(data).hexdigest()
    options = ImageOptions(detail=image.detail)
    return Shown(Source(called(image.source), options, digest, 1), data)


def fetcher(sources: images.ImageSources, *, may_fetch: bool) -> Fetch:
    """Return what reads data URIs, and addresses where `may_fetch`."""

    def fetch(image: Image) -> bytes:
        if is_web(image.source) and not may_fetch:
            text = f"{image.place} is an address, and this server fetches none; send a data URI"
            raise RequestError(text, image.place)
        return images.bytes_of(image.source, sources)

    return fetch
