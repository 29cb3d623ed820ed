"""Anthropic's /v1/messages.

Source: https://docs.anthropic.com/en/api/messages. A reply has a block `thinking`, then
`text`, then a block `tool_use` for each call.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from qvq_mlx.core.plan import Plan
from qvq_mlx.core.request import SamplingOverrides
from qvq_mlx.serve.asked import MAX_TOKENS, Asked, Image, Message, Role, image_of
from qvq_mlx.serve.fields import Fields, RequestError, checked_text
from qvq_mlx.serve.openai import schema_of, stop_of
from qvq_mlx.serve.reply import Answer, AsItCame, Called, End, Finish, Piece, Thinking
from qvq_mlx.serve.tools import Call, Offer, choice_of, offer_of, tool_of
from qvq_mlx.serve.wire import (
    EXTENSION,
    Choice,
    Json,
    Refusal,
    extension,
    named_event,
    new_id,
)

_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class Messages:
    """The interface."""

    def asked(self, body: Fields) -> Asked:
        """Read a body. Raises RequestError."""
        model = body.required("model")
        max_tokens = body.whole("max_tokens", 1, MAX_TOKENS)
        if max_tokens is None:
            raise RequestError("max_tokens is missing", "max_tokens")
        system = _content(body, "system").text
        every = [_messages(*item) for item in body.items("messages")]
        messages = tuple(one for several in every for one in several)
        if not messages:
            raise RequestError("messages is missing", "messages")
        first = (Message(Role.SYSTEM, system, (), "system"),) if system else ()
        output = body.record("output_config") or Fields({}, "output_config")
        efforts = ("low", "medium", "high", "xhigh", "max")
        asked = Asked(
            model=model,
            messages=(*first, *messages),
            max_tokens=max_tokens,
            effort=output.one_of("effort", efforts),
            budget_tokens=_budget_tokens(body, max_tokens),
            sampling=SamplingOverrides(
                temperature=body.number("temperature", 0, 1),
                top_p=body.number("top_p", 0, 1),
                top_k=body.whole("top_k", 0, 2**31),
            ),
            schema=schema_of(output, "format") or schema_of(body, "output_format"),
            stop=stop_of(body, "stop_sequences"),
            stream=body.flag("stream"),
            save=body.flag("store", default=True),
            offer=_offer(body),
        )
        output.close()
        body.only("service_tier", "auto", "standard_only")
        body.ignore("metadata")
        body.close()
        return asked

    def error(self, refusal: Refusal) -> Json:
        """The body of an error."""
        other = "invalid_request_error" if refusal.status < 500 else "api_error"
        kind = _KINDS.get(refusal.status, other)
        more = {EXTENSION: {"code": refusal.code, "param": refusal.param}}
        return {"type": "error", "error": {"type": kind, "message": refusal.message}, **more}

    def whole(self, asked: Asked, choices: Sequence[Choice]) -> Json:
        """The body of a whole reply."""
        end = choices[0].end
        blocks: list[Json] = []
        if end.thinking:
            blocks.append({"type": "thinking", "thinking": end.thinking, "signature": ""})
        if end.answer:
            blocks.append({"type": "text", "text": end.answer, "citations": None})
        blocks += [
            {**_tool_use(called), "input": json.loads(called.call.arguments)}
            for called in end.calls
        ]
        return {
            **_head(asked),
            "content": blocks,
            **_stop(end),
            "usage": _usage(choices[0]),
            EXTENSION: extension(choices[0]),
        }

    def stream(self, asked: Asked) -> _Blocks:
        """Begin a reply that is streamed."""
        return _Blocks(self, asked)


class _Blocks:
    """A stream of content blocks."""

    def __init__(self, interface: Messages, asked: Asked) -> None:
        self._interface = interface
        self._asked = asked
        self._open = ""  # the type of the block that is open
        self._index = -1

    def begin(self) -> Iterator[bytes]:
        """The message without content. The prompt's tokens are known at the end."""
        usage = {"input_tokens": 0, "output_tokens": 0}
        ends = {"stop_reason": None, "stop_sequence": None}
        message = {**_head(self._asked), "content": [], **ends, "usage": usage}
        yield named_event({"type": "message_start", "message": message})

    def piece(self, index: int, plan: Plan, piece: Piece) -> Iterator[bytes]:
        """Deltas, each in the block of its kind."""
        del index
        match piece:
            case Thinking(text):
                yield from self._in(
                    "thinking", {"type": "thinking", "thinking": "", "signature": ""}
                )
                yield self._delta({"type": "thinking_delta", "thinking": text})
            case Answer(text):
                yield from self._in("text", {"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": text})
            case Called(call=call):
                yield from self._close()  # each call is a block of its own
                yield from self._in("tool_use", {**_tool_use(piece), "input": {}})
                yield self._delta({"type": "input_json_delta", "partial_json": call.arguments})
            case End():
                yield from self._close()
                choice = Choice(plan, piece)
                yield named_event(
                    {
                        "type": "message_delta",
                        "delta": _stop(piece),
                        "usage": _usage(choice),
                        EXTENSION: extension(choice),
                    }
                )
            case AsItCame():
                pass  # only chat completions can be asked for events

    def failed(self, refusal: Refusal) -> Iterator[bytes]:
        """The event `error`."""
        yield named_event(self._interface.error(refusal))

    def finish(self, choices: Sequence[Choice]) -> Iterator[bytes]:
        """The last event."""
        del choices
        yield named_event({"type": "message_stop"})

    def pulse(self) -> bytes:
        """A ping."""
        return named_event({"type": "ping"})

    def _in(self, kind: str, block: Json) -> Iterator[bytes]:
        """Open a block of `kind`, unless the last one is one."""
        if self._open == kind:
            return
        yield from self._close()
        self._open, self._index = kind, self._index + 1
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        yield named_event(start)

    def _close(self) -> Iterator[bytes]:
        if self._open:
            yield named_event({"type": "content_block_stop", "index": self._index})
        self._open = ""

    def _delta(self, delta: Json) -> bytes:
        return named_event({"type": "content_block_delta", "index": self._index, "delta": delta})


def _budget_tokens(body: Fields, max_tokens: int) -> int | None:
    """The `budget_tokens` of `thinking`; 0 where it is disabled, None where nothing is said."""
    thinking = body.record("thinking")
    if thinking is None:
        return None
    kind = thinking.one_of("type", ("enabled", "disabled", "adaptive"))
    budget = thinking.whole("budget_tokens", 0, MAX_TOKENS)
    thinking.ignore("display")
    thinking.close()
    if kind == "disabled":
        return 0
    if kind == "enabled" and budget is None:
        raise RequestError("thinking.budget_tokens is missing", "thinking.budget_tokens")
    if budget is not None and budget >= max_tokens:
        place = "thinking.budget_tokens"
        raise RequestError(f"{place} has to be less than max_tokens", place)
    return budget


@dataclass(slots=True)
class _Content:
    """Content of a message's blocks."""

    texts: list[str] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    answers: list[Message] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def _messages(place: str, value: object) -> list[Message]:
    """Return the answers of tools, each a message, and the text and pictures beside them."""
    fields = Fields(value, place)
    role = fields.one_of("role", ("user", "assistant"))
    if role is None:
        raise RequestError(f"{fields.path('role')} is missing", fields.path("role"))
    found = _content(fields, "content")
    fields.close()
    if found.images and role != "user":
        raise RequestError(f"{place}: only the user shows pictures", found.images[0].place)
    if found.calls and role != "assistant":
        raise RequestError(f"{place}: only the assistant calls tools", place)
    if found.answers and role != "user":
        raise RequestError(f"{place}: only the user says what a tool answered", place)
    if found.answers and not (found.texts or found.images):
        return found.answers
    calls, thinking = tuple(found.calls), "\n".join(found.thinking)
    said = Message(Role(role), found.text, tuple(found.images), place, calls, "", thinking)
    return [*found.answers, said]


def _content(fields: Fields, name: str) -> _Content:
    """The content of a string or of blocks. Earlier thinking is shown where the template does."""
    value = fields.take(name)
    place = fields.path(name)
    found = _Content()
    if value is None or isinstance(value, str):
        found.texts += [] if value is None else [checked_text(value, place)]
        return found
    if not isinstance(value, list):
        raise RequestError(f"{place} has to be a string or an array of blocks", place)
    for index, one in enumerate(value):
        block = Fields(one, f"{place}[{index}]")
        kind = block.text("type")
        block.ignore("cache_control", "citations")
        match kind:
            case "text":
                found.texts.append(block.required("text"))
            case "image":
                found.images.append(_image(block))
            case "thinking" | "redacted_thinking":
                found.thinking += [said] if isinstance(said := block.take("thinking"), str) else []
                block.ignore("signature", "data")
            case "tool_use":
                found.calls.append(_call(block))
            case "tool_result":
                found.answers.append(_answer(block))
            case _:
                where = block.path("type")
                raise RequestError(f"{where} {str(kind)[:40]} is not supported", where)
        block.close()
    return found


def _call(block: Fields) -> Call:
    given = block.take("input")
    if not isinstance(given, dict):
        raise RequestError(f"{block.path('input')} has to be an object", block.path("input"))
    block.ignore("caller")
    return Call(block.required("id"), block.required("name"), given)


def _answer(block: Fields) -> Message:
    """Return the text that a tool answered, an error too: its text says that it is one."""
    answers = block.required("tool_use_id")
    block.flag("is_error")
    found = _content(block, "content")
    if found.images or found.calls or found.answers:
        place = block.path("content")
        raise RequestError(f"{place}: what a tool answers has to be text", place)
    return Message(Role.TOOL, found.text, (), block.place, (), answers)


def _offer(body: Fields) -> Offer:
    tools = []
    for place, value in body.items("tools"):
        fields = Fields(value, place)
        fields.only("type", "custom")  # others are tools of the provider's own
        fields.ignore("cache_control", "eager_input_streaming")
        tools.append(tool_of(fields, "input_schema"))
    choice = body.record("tool_choice") or Fields({"type": "auto"}, "tool_choice")
    one = choice.flag("disable_parallel_tool_use")
    kind = choice_of(choice.take("type"), "tool_choice", {"auto": "auto", "none": "none"})
    choice.close()
    return offer_of(tools, "tools", kind, parallel=not one)


def _image(block: Fields) -> Image:
    source = block.record("source")
    if source is None:
        raise RequestError(f"{block.path('source')} is missing", block.path("source"))
    kind = source.one_of("type", ("base64", "url"))
    if kind == "url":
        image = image_of(source.required("url"), None, source.path("url"))
    else:
        media, data = source.required("media_type"), source.required("data")
        image = image_of(f"data:{media};base64,{data}", None, source.path("data"))
    source.close()
    return image


def _head(asked: Asked) -> Json:
    return {"id": new_id("msg_"), "type": "message", "role": "assistant", "model": asked.model}


def _tool_use(called: Called) -> Json:
    """A block without its input."""
    return {"type": "tool_use", "id": called.id, "name": called.call.name}


_REASONS = {Finish.STOP: "end_turn", Finish.LENGTH: "max_tokens", Finish.CALLS: "tool_use"}


def _stop(end: End) -> Json:
    reason = _REASONS[end.finish]
    if end.stopped_at:
        reason = "stop_sequence"
    return {"stop_reason": reason, "stop_sequence": end.stopped_at or None}


def _usage(choice: Choice) -> Json:
    """Tokens read from the cache are not part of `input_tokens` here."""
    stats = choice.end.done.stats
    return {
        "input_tokens": stats.prompt_tokens - stats.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": stats.cached_tokens,
        "output_tokens": stats.generated_tokens,
    }
