"""OpenAI's /v1/chat/completions.

Source: https://platform.openai.com/docs/api-reference/chat. The thinking is in `reasoning_content`
(Cline, LiteLLM, Open WebUI) and in `reasoning` (vLLM's newer name), in messages and in deltas.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qvq_mlx.core.plan import Plan
from qvq_mlx.core.request import Limits, Think
from qvq_mlx.guards.language import AUTO, parse_lang
from qvq_mlx.records.runs import event_to_json
from qvq_mlx.serve.asked import (
    DETAILS,
    EFFORTS,
    MAX_TOKENS,
    Asked,
    FromQvq,
    Image,
    Message,
    image_of,
    sampling_of,
)
from qvq_mlx.serve.fields import Fields, RequestError, checked_text
from qvq_mlx.serve.openai import ROLES, error_body, offer_in, schema_of, stop_of
from qvq_mlx.serve.reply import Answer, AsItCame, Called, End, Piece, Thinking
from qvq_mlx.serve.tools import Call, arguments_of
from qvq_mlx.serve.wire import (
    EVENTS,
    EXTENSION,
    Choice,
    Json,
    Refusal,
    data_event,
    extension,
    new_id,
    now_s,
    summed,
)

MAX_CHOICES = 16
_LABELS = ("user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
"""Fields for the bills and caches of a provider."""


class ChatCompletions:
    """The interface."""

    def asked(self, body: Fields) -> Asked:
        """Read a body. Raises RequestError."""
        model = body.required("model")
        if not body.has("messages"):
            raise RequestError("messages is missing", "messages")
        asked = Asked(
            model=model,
            messages=tuple(_message(*item) for item in body.items("messages")),
            max_tokens=_max_tokens(body),
            effort=_effort(body),
            budget_tokens=body.whole("thinking_budget", 0, MAX_TOKENS),
            sampling=sampling_of(body),
            schema=schema_of(body, "response_format"),
            stop=stop_of(body),
            choices=body.whole("n", 1, MAX_CHOICES) or 1,
            stream=body.flag("stream"),
            include_usage=_include_usage(body),
            save=body.flag("store", default=True),
            offer=offer_in(body, nested=True),
            qvq=_from_qvq(body),
        )
        for name in ("frequency_penalty", "top_logprobs"):
            body.only(name, 0)
        for name in ("logprobs", "web_search_options"):
            body.only(name, False)
        body.only("logit_bias", {})
        body.only("modalities", ["text"])
        body.only("service_tier", "auto", "default")
        body.ignore(*_LABELS)
        body.close()
        return asked

    def error(self, refusal: Refusal) -> Json:
        """The body of an error."""
        return error_body(refusal)

    def whole(self, asked: Asked, choices: Sequence[Choice]) -> Json:
        """The body of a whole reply."""
        return {
            "id": new_id("chatcmpl-"),
            "object": "chat.completion",
            "created": now_s(),
            "model": asked.model,
            "choices": [
                {
                    "index": index,
                    "message": {
                        "role": "assistant",
                        **_said(choice.end),
                    },
                    "logprobs": None,
                    "finish_reason": choice.end.finish,
                    EXTENSION: extension(choice),
                }
                for index, choice in enumerate(choices)
            ],
            "usage": _usage(choices),
        }

    def stream(self, asked: Asked) -> _Chunks:
        """Begin a reply that is streamed."""
        return _Chunks(asked)


class _Chunks:
    """A stream of `chat.completion.chunk`."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._head: Json = {
            "id": new_id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": now_s(),
            "model": asked.model,
        }

    def begin(self) -> Iterator[bytes]:
        """Say the role, once per choice."""
        for index in range(self._asked.choices):
            yield self._chunk(index, {"role": "assistant", "content": ""})

    def piece(self, index: int, plan: Plan, piece: Piece) -> Iterator[bytes]:
        """One chunk per piece."""
        match piece:
            case Thinking(text):
                yield self._chunk(index, _reasoning(text))
            case Answer(text):
                yield self._chunk(index, {"content": text})
            case Called():
                call = {"index": piece.index, **_call_record(piece)}
                yield self._chunk(index, {"tool_calls": [call]})
            case End():
                more = {EXTENSION: extension(Choice(plan, piece))}
                yield self._chunk(index, {}, piece.finish, more)
            case AsItCame(event):
                told = {"event": event_to_json(event)}
                yield data_event({**self._head, "choices": [], EXTENSION: told})

    def failed(self, refusal: Refusal) -> Iterator[bytes]:
        """An error in place of a chunk."""
        yield data_event(error_body(refusal))
        yield b"data: [DONE]\n\n"

    def finish(self, choices: Sequence[Choice]) -> Iterator[bytes]:
        """The usage, where it was asked for, and the end."""
        if self._asked.include_usage:
            yield data_event({**self._head, "choices": [], "usage": _usage(choices)})
        yield b"data: [DONE]\n\n"

    def pulse(self) -> bytes:
        """A comment."""
        return b": waiting\n\n"

    def _chunk(
        self, index: int, delta: Json, finish: str | None = None, more: Json | None = None
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return data_event({**self._head, "choices": [{**choice, **(more or {})}]})


def _max_tokens(body: Fields) -> int | None:
    old = body.whole("max_tokens", 1, MAX_TOKENS)
    new = body.whole("max_completion_tokens", 1, MAX_TOKENS)
    if old is not None and new is not None and old != new:
        raise RequestError("max_tokens and max_completion_tokens differ", "max_tokens")
    return new if new is not None else old


def _effort(body: Fields) -> str | None:
    effort = body.one_of("reasoning_effort", EFFORTS)
    template = body.record("chat_template_kwargs")
    if template is not None:
        thinks = template.flag("enable_thinking", default=True)
        template.close()
        if not thinks:
            effort = "none"
    return effort


def _from_qvq(body: Fields) -> FromQvq | None:
    """Read the settings of another qvq. Its version of the events has to be ours."""
    own = body.record(EXTENSION)
    if own is None:
        return None
    own.whole("events", EVENTS, EVENTS)
    usual = Limits().answer_tokens
    think = own.one_of("think", Think)
    found = FromQvq(
        answer_tokens=own.whole("answer_tokens", 1, MAX_TOKENS) or usual,
        lang=parse_lang(own.text("lang") or AUTO),
        think=None if think is None else Think(think),
    )
    own.close()
    return found


def _include_usage(body: Fields) -> bool:
    options = body.record("stream_options")
    if options is None:
        return False
    wanted = options.flag("include_usage")
    options.ignore("include_obfuscation")
    options.close()
    return wanted


def _message(place: str, value: object) -> Message:
    fields = Fields(value, place)
    role = fields.one_of("role", (*ROLES, "function"))
    if role is None or role not in ROLES:
        what = "is missing" if role is None else f"{role} is not supported"
        raise RequestError(f"{fields.path('role')} {what}", fields.path("role"))
    fields.ignore("name", "refusal", "annotations", EXTENSION)
    thinking = [fields.take(name) for name in ("reasoning_content", "reasoning")]
    calls = tuple(_call(*item) for item in fields.items("tool_calls"))
    if calls and role != "assistant":
        raise RequestError(f"{fields.path('tool_calls')}: only the assistant calls tools", place)
    answers = fields.required("tool_call_id") if role == "tool" else ""
    for name in ("function_call", "audio"):
        fields.only(name)
    text, images = _content(fields)
    fields.close()
    if images and role != "user":
        raise RequestError(f"{place}: only the user shows pictures", images[0].place)
    thought = next((one for one in thinking if isinstance(one, str)), "")
    return Message(ROLES[role], text, images, place, calls, answers, thought)


def _call(place: str, value: object) -> Call:
    fields = Fields(value, place)
    fields.one_of("type", ("function",))
    fields.ignore("index")
    function = fields.record("function")
    if function is None:
        raise RequestError(f"{place}.function is missing", f"{place}.function")
    where = function.path("arguments")
    name, arguments = function.required("name"), function.text("arguments") or ""
    call = Call(fields.required("id"), name, arguments_of(arguments, where))
    function.close()
    fields.close()
    return call


def _content(fields: Fields) -> tuple[str, tuple[Image, ...]]:
    value = fields.take("content")
    place = fields.path("content")
    if value is None or isinstance(value, str):
        return ("" if value is None else checked_text(value, place)), ()
    if not isinstance(value, list):
        raise RequestError(f"{place} has to be a string or an array of parts", place)
    texts, images = [], []
    for index, one in enumerate(value):
        part = Fields(one, f"{place}[{index}]")
        kind = part.one_of("type", ("text", "image_url", "refusal", "input_audio", "file"))
        if kind in ("text", "refusal"):
            texts.append(part.required(kind))
        elif kind == "image_url":
            images.append(_image(part))
        else:
            what = "is missing" if kind is None else f"{kind} is not supported"
            raise RequestError(f"{part.path('type')} {what}", part.path("type"))
        part.ignore("cache_control")
        part.close()
    return "\n".join(texts), tuple(images)


def _image(part: Fields) -> Image:
    url = part.record("image_url")
    if url is None:
        raise RequestError(f"{part.path('image_url')} is missing", part.path("image_url"))
    place = url.path("url")
    image = image_of(url.required("url"), url.one_of("detail", DETAILS), place)
    url.close()
    return image


def _said(end: End) -> Json:
    """The content, thinking and calls of a whole message."""
    calls = [_call_record(called) for called in end.calls]
    return {
        "content": end.answer or (None if calls else ""),
        "refusal": None,
        **_reasoning(end.thinking),
        **({"tool_calls": calls} if calls else {}),
    }


def _call_record(called: Called) -> Json:
    function = {"name": called.call.name, "arguments": called.call.arguments}
    return {"id": called.id, "type": "function", "function": function}


def _reasoning(text: str) -> Json:
    return {"reasoning_content": text, "reasoning": text}


def _usage(choices: Sequence[Choice]) -> Json:
    stats = summed(choices)
    return {
        "prompt_tokens": stats.prompt_tokens,
        "completion_tokens": stats.generated_tokens,
        "total_tokens": stats.prompt_tokens + stats.generated_tokens,
        "prompt_tokens_details": {
            "cached_tokens": stats.cached_tokens,
            "image_tokens": stats.image_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": stats.thinking_tokens},
    }
