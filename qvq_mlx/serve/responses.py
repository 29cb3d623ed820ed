"""OpenAI's /v1/responses.

Source: https://platform.openai.com/docs/api-reference/responses. A reply has an item `reasoning`,
its thinking as a summary, then an item `message`, and an item `function_call` for each call of a
tool. Nothing is kept for `previous_response_id`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qvq_mlx.core.plan import Plan
from qvq_mlx.serve.asked import (
    DETAILS,
    EFFORTS,
    MAX_TOKENS,
    Asked,
    Image,
    Message,
    Role,
    image_of,
    sampling_of,
)
from qvq_mlx.serve.fields import Fields, RequestError, checked_text
from qvq_mlx.serve.openai import ROLES, error_body, offer_in, schema_of
from qvq_mlx.serve.reply import Answer, AsItCame, Called, End, Finish, Piece, Thinking
from qvq_mlx.serve.tools import Call, arguments_of
from qvq_mlx.serve.wire import (
    EXTENSION,
    Choice,
    Json,
    Refusal,
    extension,
    named_event,
    new_id,
    now_s,
)


class Responses:
    """The interface."""

    def asked(self, body: Fields) -> Asked:
        """Read a body. Raises RequestError."""
        model = body.required("model")
        instructions = body.text("instructions")
        first = (Message(Role.SYSTEM, instructions, (), "instructions"),) if instructions else ()
        reasoning = body.record("reasoning") or Fields({}, "reasoning")
        effort = reasoning.one_of("effort", EFFORTS)
        reasoning.ignore("summary", "generate_summary")  # the thinking is always told, and whole
        reasoning.close()
        text = body.record("text") or Fields({}, "text")
        schema = schema_of(text, "format")
        text.only("verbosity", "medium")
        text.close()
        asked = Asked(
            model=model,
            messages=(*first, *_input(body)),
            max_tokens=body.whole("max_output_tokens", 1, MAX_TOKENS),
            effort=effort,
            budget_tokens=body.whole("thinking_budget", 0, MAX_TOKENS),
            sampling=sampling_of(body),
            schema=schema,
            stream=body.flag("stream"),
            save=body.flag("store", default=True),
            offer=offer_in(body, nested=False),
        )
        body.only("background", False)
        body.only("top_logprobs", 0)
        body.only("truncation", "disabled")
        body.only("service_tier", "auto", "default")
        # what is included is what there is: nothing is encrypted here, as `store` needs no cipher
        body.only("include", [], ["reasoning.encrypted_content"])
        body.ignore("user", "metadata", "safety_identifier", "prompt_cache_key", "stream_options")
        body.close()
        return asked

    def error(self, refusal: Refusal) -> Json:
        """The body of an error."""
        return error_body(refusal)

    def whole(self, asked: Asked, choices: Sequence[Choice]) -> Json:
        """The body of a whole reply."""
        end = choices[0].end
        output: list[Json] = []
        if end.thinking:
            output.append(_reasoning_item(new_id("rs_"), end.thinking))
        if end.answer:
            output.append(_message_item(new_id("msg_"), end.answer, _status(end)))
        output += [_call_item(new_id("fc_"), called) for called in end.calls]
        return _response(asked, new_id("resp_"), now_s(), output, choices[0])

    def stream(self, asked: Asked) -> _Events:
        """Begin a reply that is streamed."""
        return _Events(asked)


class _Events:
    """A stream of numbered events."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._id, self._created_s = new_id("resp_"), now_s()
        self._number = -1
        self._output: list[Json] = []  # items that are whole
        self._open: type[Thinking | Answer] | None = None
        self._item_id = ""
        self._texts: list[str] = []  # of the item that is open

    def begin(self) -> Iterator[bytes]:
        """The response without output."""
        for kind in ("response.created", "response.in_progress"):
            response = _response(self._asked, self._id, self._created_s, [], None)
            yield self._event(kind, response=response)

    def piece(self, index: int, plan: Plan, piece: Piece) -> Iterator[bytes]:
        """Deltas, each within its item."""
        del index
        match piece:
            case Thinking(text):
                yield from self._in(Thinking)
                self._texts.append(text)
                place = {**self._at, "summary_index": 0}
                yield self._event("response.reasoning_summary_text.delta", **place, delta=text)
            case Answer(text):
                yield from self._in(Answer)
                self._texts.append(text)
                more: Json = {"content_index": 0, "logprobs": []}
                yield self._event("response.output_text.delta", **self._at, **more, delta=text)
            case Called():
                yield from self._called(piece)
            case End():
                yield from self._close(_status(piece))
                choice = Choice(plan, piece)
                response = _response(self._asked, self._id, self._created_s, self._output, choice)
                yield self._event(f"response.{response['status']}", response=response)
            case AsItCame():
                pass  # only chat completions can be asked for events

    def failed(self, refusal: Refusal) -> Iterator[bytes]:
        """The event `response.failed`."""
        response = _response(self._asked, self._id, self._created_s, self._output, None)
        error = {"code": "server_error", "message": refusal.message}
        response |= {"status": "failed", "error": error}
        yield self._event("response.failed", response=response)

    def finish(self, choices: Sequence[Choice]) -> Iterator[bytes]:
        """Nothing follows the event that holds the whole response."""
        del choices
        return iter(())

    def pulse(self) -> bytes:
        """A comment."""
        return b": waiting\n\n"

    @property
    def _at(self) -> Json:
        return {"item_id": self._item_id, "output_index": len(self._output)}

    def _in(self, kind: type[Thinking | Answer]) -> Iterator[bytes]:
        """Open the item of `kind`, unless it is open."""
        if self._open is kind:
            return
        yield from self._close("completed")
        self._open, self._texts = kind, []
        at = len(self._output)
        if kind is Thinking:
            self._item_id = new_id("rs_")
            item: Json = {"id": self._item_id, "type": "reasoning", "summary": []}
            yield self._event("response.output_item.added", output_index=at, item=item)
            part: Json = {"type": "summary_text", "text": ""}
            place = {**self._at, "summary_index": 0}
            yield self._event("response.reasoning_summary_part.added", **place, part=part)
        else:
            self._item_id = new_id("msg_")
            item = {**_message_item(self._item_id, "", "in_progress"), "content": []}
            yield self._event("response.output_item.added", output_index=at, item=item)
            place = {**self._at, "content_index": 0}
            yield self._event("response.content_part.added", **place, part=_text_part(""))

    def _called(self, called: Called) -> Iterator[bytes]:
        """An item of its own, whole."""
        yield from self._close("completed")
        self._item_id = new_id("fc_")
        item, at, arguments = _call_item(self._item_id, called), self._at, called.call.arguments
        begun = {**item, "arguments": "", "status": "in_progress"}
        place = at["output_index"]
        yield self._event("response.output_item.added", output_index=place, item=begun)
        yield self._event("response.function_call_arguments.delta", **at, delta=arguments)
        more = {"name": called.call.name, "arguments": arguments}
        yield self._event("response.function_call_arguments.done", **at, **more)
        yield self._event("response.output_item.done", output_index=place, item=item)
        self._output.append(item)

    def _close(self, status: str) -> Iterator[bytes]:
        """Close the item that is open."""
        if self._open is None:
            return
        at, text = self._at, "".join(self._texts)
        if self._open is Thinking:
            place = {**at, "summary_index": 0}
            yield self._event("response.reasoning_summary_text.done", **place, text=text)
            part = {"type": "summary_text", "text": text}
            yield self._event("response.reasoning_summary_part.done", **place, part=part)
            item = _reasoning_item(self._item_id, text)
        else:
            place = {**at, "content_index": 0}
            yield self._event("response.output_text.done", **place, text=text, logprobs=[])
            yield self._event("response.content_part.done", **place, part=_text_part(text))
            item = _message_item(self._item_id, text, status)
        yield self._event("response.output_item.done", output_index=at["output_index"], item=item)
        self._output.append(item)
        self._open = None

    def _event(self, kind: str, **fields: object) -> bytes:
        self._number += 1
        return named_event({"type": kind, "sequence_number": self._number, **fields})


def _input(body: Fields) -> tuple[Message, ...]:
    value = body.take("input")
    if isinstance(value, str):
        return (Message(Role.USER, checked_text(value, "input"), (), "input"),)
    if not isinstance(value, list):
        raise RequestError("input has to be a string or an array of items", "input")
    found = [_item(f"input[{index}]", one) for index, one in enumerate(value)]
    kept: list[Message] = []
    for message in reversed(found):
        goes_on = bool(kept) and kept[-1].role is Role.ASSISTANT
        if message is not None and (goes_on or not message.thinking):
            kept.append(message)  # thinking that nothing came of is no part of a prompt
    return tuple(reversed(kept))


def _item(place: str, value: object) -> Message | None:
    """One item; None for earlier thinking without a text."""
    item = Fields(value, place)
    kind = item.text("type") or "message"
    if kind == "reasoning":
        thinking = _thinking(item)
        return Message(Role.ASSISTANT, "", (), place, thinking=thinking) if thinking else None
    if kind == "function_call":
        return _call(item)
    if kind == "function_call_output":
        return _answer(item)
    if kind != "message":
        where = item.path("type")
        raise RequestError(f"{where} {kind[:40]} is not supported", where)
    role = item.one_of("role", [role for role in ROLES if role != "tool"])
    if role is None:
        raise RequestError(f"{item.path('role')} is missing", item.path("role"))
    item.ignore("id", "status", "phase")
    text, images = _content(item)
    item.close()
    if images and role != "user":
        raise RequestError(f"{place}: only the user shows pictures", images[0].place)
    return Message(ROLES[role], text, images, place)


def _thinking(item: Fields) -> str:
    """The text of an earlier item `reasoning`, of which nothing else is read."""
    parts = item.take("summary")
    every = parts if isinstance(parts, list) else []
    found = [part.get("text") for part in every if isinstance(part, dict)]
    return "\n".join(text for text in found if isinstance(text, str))


def _call(item: Fields) -> Message:
    """An earlier call."""
    item.ignore("id", "status")
    arguments = arguments_of(item.required("arguments"), item.path("arguments"))
    call = Call(item.required("call_id"), item.required("name"), arguments)
    item.close()
    return Message(Role.ASSISTANT, "", (), item.place, (call,))


def _answer(item: Fields) -> Message:
    """Return the text that a tool answered."""
    item.ignore("id", "status")
    answers, place = item.required("call_id"), item.path("output")
    text, images = _content(item, "output")
    item.close()
    if images:
        raise RequestError(f"{place}: what a tool answers has to be text", images[0].place)
    return Message(Role.TOOL, text, (), item.place, (), answers)


def _content(item: Fields, name: str = "content") -> tuple[str, tuple[Image, ...]]:
    value = item.take(name)
    place = item.path(name)
    if isinstance(value, str):
        return checked_text(value, place), ()
    if not isinstance(value, list):
        raise RequestError(f"{place} has to be a string or an array of parts", place)
    texts, images = [], []
    for index, one in enumerate(value):
        part = Fields(one, f"{place}[{index}]")
        match kind := part.text("type"):
            case "input_text" | "output_text" | "text":
                texts.append(part.required("text"))
                part.ignore("annotations", "logprobs")
            case "refusal":
                texts.append(part.required("refusal"))
            case "input_image":
                part.only("file_id")
                where = part.path("image_url")
                url, detail = part.required("image_url"), part.one_of("detail", DETAILS)
                images.append(image_of(url, detail, where))
            case _:
                where = part.path("type")
                raise RequestError(f"{where} {str(kind)[:40]} is not supported", where)
        part.close()
    return "\n".join(texts), tuple(images)


def _response(
    asked: Asked, response_id: str, created_s: int, output: list[Json], choice: Choice | None
) -> Json:
    """The response; `choice` None: it is still being written."""
    status = "in_progress" if choice is None else _status(choice.end)
    incomplete = {"reason": "max_output_tokens"} if status == "incomplete" else None
    sampling = asked.sampling
    return {
        "id": response_id,
        "object": "response",
        "created_at": created_s,
        "status": status,
        "error": None,
        "incomplete_details": incomplete,
        "instructions": None,
        "max_output_tokens": asked.max_tokens,
        "metadata": {},
        "model": asked.model,
        "output": list(output),
        "parallel_tool_calls": asked.offer.most is None,
        "previous_response_id": None,
        "reasoning": {"effort": asked.effort, "summary": "detailed"},
        "store": asked.save,
        "temperature": sampling.temperature,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto" if asked.offer.tools else "none",
        "tools": [
            {"type": "function", "strict": False, **tool.function} for tool in asked.offer.tools
        ],
        "top_p": sampling.top_p,
        "truncation": "disabled",
        "usage": None if choice is None else _usage(choice),
        "user": None,
        **({} if choice is None else {EXTENSION: extension(choice)}),
    }


def _status(end: End) -> str:
    return "incomplete" if end.finish is Finish.LENGTH else "completed"


def _reasoning_item(item_id: str, text: str) -> Json:
    part = {"type": "summary_text", "text": text}
    return {"id": item_id, "type": "reasoning", "summary": [part], "status": "completed"}


def _message_item(item_id: str, text: str, status: str) -> Json:
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [_text_part(text)],
    }


def _call_item(item_id: str, called: Called) -> Json:
    return {
        "id": item_id,
        "type": "function_call",
        "call_id": called.id,
        "name": called.call.name,
        "arguments": called.call.arguments,
        "status": "completed",
    }


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(choice: Choice) -> Json:
    stats = choice.end.done.stats
    return {
        "input_tokens": stats.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": stats.cached_tokens,
            "image_tokens": stats.image_tokens,
        },
        "output_tokens": stats.generated_tokens,
        "output_tokens_details": {"reasoning_tokens": stats.thinking_tokens},
        "total_tokens": stats.prompt_tokens + stats.generated_tokens,
    }
