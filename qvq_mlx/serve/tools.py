"""A client's tools: how a body names them, and how a model is told of them.

Law: only the checkpoint's own chat template says how a tool, a call and its answer are spelled; a
model whose template knows no tools is asked about none. Calls are made by the client. Which call a
tool's answer belongs to is told by its place alone, so the answers stand in the order of the calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from qvq_mlx.core.card import ThinkingStyle
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.request import Request
from qvq_mlx.core.rounds import Round
from qvq_mlx.reply.tool_calls import ToolCall, read
from qvq_mlx.run.plan import resolve
from qvq_mlx.serve.fields import Fields, RequestError
from qvq_mlx.serve.reply import Tools
from qvq_mlx.settings.config import Settings
from qvq_mlx.store.chat_template import template_of
from qvq_mlx.store.template_calls import ARGUMENTS, PROBE, calls_of, spelled
from qvq_mlx.system.reading import parse_json

if TYPE_CHECKING:
    from qvq_mlx.serve.asked import Asked, Message

MOST_TOOLS = 128
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that may be called. `parameters` is the JSON schema of its arguments."""

    name: str
    description: str | None
    parameters: Json

    @property
    def function(self) -> Json:
        """Return its name, what it is for, and its parameters."""
        said = {} if self.description is None else {"description": self.description}
        return {"name": self.name, **said, "parameters": self.parameters}


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an earlier reply; `id` is what the tool's answer names."""

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of a request; at most `most` calls are taken of a reply, None: all."""

    tools: tuple[Tool, ...] = ()
    most: int | None = None

    @property
    def callable(self) -> Tools | None:
        """Return what a reply may call; None: nothing."""
        schemas = {tool.name: tool.parameters for tool in self.tools}
        return Tools(schemas, self.most) if self.tools else None


def offer_of(tools: Sequence[Tool], place: str, choice: str, *, parallel: bool) -> Offer:
    """The tools that the model is told of. `choice` is `auto` or `none`."""
    names = [tool.name for tool in tools]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise RequestError(f"{place}[{index}] is the second tool that is called {name}", place)
    if len(tools) > MOST_TOOLS:
        raise RequestError(f"{place} has {len(tools)} tools; the limit is {MOST_TOOLS}", place)
    if choice == "none":
        return Offer()
    return Offer(tuple(tools), None if parallel else 1)


def tool_of(fields: Fields, parameters: str) -> Tool:
    """Read a tool; `parameters` is the name of the field with its schema. Raises RequestError."""
    name = fields.required("name")
    if not _NAME.fullmatch(name):
        place = fields.path("name")
        raise RequestError(f"{place} has to be of letters, digits and any of _-.:/", place)
    description = fields.text("description")
    schema = fields.take(parameters)
    if schema is None:
        schema = {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        place = fields.path(parameters)
        raise RequestError(f"{place} has to be an object", place)
    fields.only("strict", False)  # no call is held to its schema
    fields.close()
    return Tool(name, description, schema)


def choice_of(value: object, place: str, words: dict[str, str]) -> str:
    """The choice `auto` or `none` by an interface's own words. Raises RequestError.

    A model cannot be made to call a tool, so `required` and a tool's name are refused.
    """
    if value is None:
        return "auto"
    if isinstance(value, str) and value in words:
        return words[value]
    raise RequestError(
        f"{place} has to be auto or none: no model here can be made to call a tool",
        place,
        code="unsupported",
    )


def arguments_of(text: str, place: str) -> Json:
    """The arguments of an earlier call. Raises RequestError."""
    try:
        found = parse_json(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RequestError(f"{place} has to be the text of a JSON object", place)
    return found


def has_tools(asked: Asked) -> bool:
    """True if tools are offered, or earlier messages hold calls of tools."""
    return bool(asked.offer.tools) or any(one.calls or one.answers for one in asked.messages)


def told(request: Request, asked: Asked, settings: Settings) -> Request:
    """The same request with the messages and the tools as the chat template spells them.

    Raises RequestError where the model knows no tools, or the template does not take them.
    """
    place = "tools"
    if not asked.offer.tools:
        place = next(one.place for one in asked.messages if one.calls or one.answers)
    elif asked.schema:
        raise RequestError("tools cannot be called in an answer that is held to a schema", place)
    resolved = resolve(request, settings)
    template = template_of(resolved.folder)
    if not _knows_tools(resolved, template):
        name = resolved.card.name
        text = f"{place} cannot be used: {name} knows no tools, as its chat template says"
        raise RequestError(text, place, code="unsupported")
    turns = _answered(_joined(one for one in asked.messages if one.role != "system"))
    written = [_in_template(one) for one in turns]
    if resolved.system is not None:
        written.insert(0, {"role": "system", "content": resolved.system})
    tools = [{"type": "function", "function": tool.function} for tool in asked.offer.tools]
    found = spelled(template, written, tools, resolved.thinks)
    pictures = [
        sum(len(one.images) for one in group)
        for _, group in groupby(turns, lambda one: one.role == "assistant")
    ]
    if isinstance(found, str) or len(pictures) != len(found.turns):
        why = found if isinstance(found, str) else "its chat template leaves messages out"
        raise RequestError(f"{resolved.card.name}: {why}", place)
    said = found.turns
    rounds = zip(said[:-1:2], said[1::2], pictures[:-1:2], strict=True)
    return replace(
        request,
        question=said[-1],
        rounds=tuple(Round(question, answer, count) for question, answer, count in rounds),
        prompt=replace(request.prompt, system=found.system or ""),
        method=replace(request.method, look=0),  # its own tool would be offered beside these
    )


def _knows_tools(resolved: Resolved, template: str) -> bool:
    """True if the template spells calls in a way that is read here."""
    known = (ThinkingStyle.NONE, ThinkingStyle.TAG, ThinkingStyle.PREOPENED)
    if not resolved.card.rounds or resolved.card.thinking.style not in known:
        return False
    schemas = {"probe_tool": PROBE["function"]["parameters"]}
    calls = [read(text, schemas) for text in calls_of(template)]
    given = [json.loads(call.arguments) for call in calls if isinstance(call, ToolCall)]
    return given == list(ARGUMENTS)


def _answered(messages: Sequence[Message]) -> list[Message]:
    """The messages with the answers of tools in the order of their calls. Raises RequestError."""
    found: list[Message] = []
    for is_answer, group in groupby(messages, lambda one: bool(one.answers)):
        several = list(group)
        if is_answer:
            calls = [call.id for call in found[-1].calls] if found else []
            _check_answers(several, calls)
            several.sort(key=lambda one: calls.index(one.answers))
        found += several
    return found


def _check_answers(answers: Sequence[Message], calls: Sequence[str]) -> None:
    """Raise RequestError unless each of `calls` is answered once."""
    open_ = list(calls)
    for one in answers:
        if one.answers not in open_:
            raise RequestError(
                f"{one.place} answers the call {one.answers[:80]!r}, which the message before it"
                " does not make, or which is answered already",
                one.place,
            )
        open_.remove(one.answers)
    if open_:
        text = f"{answers[-1].place}: the call {open_[0][:80]!r} is not answered"
        raise RequestError(text, answers[-1].place)


def _in_template(message: Message) -> Json:
    """A message as chat templates take it. Its pictures stand before its text, and not here."""
    said: Json = {"role": str(message.role), "content": message.text}
    if message.thinking:
        said["reasoning_content"] = message.thinking
    if message.calls:
        said["tool_calls"] = [
            {
                "type": "function",
                "id": call.id,
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.calls
        ]
    return said


def _joined(messages: Iterable[Message]) -> list[Message]:
    """The messages, those of the assistant that follow each other as one."""
    found: list[Message] = []
    for one in messages:
        if found and one.role == "assistant" == found[-1].role:
            found[-1] = _one_of(found[-1], one)
        else:
            found.append(one)
    return found


def _one_of(first: Message, second: Message) -> Message:
    def both(one: str, other: str) -> str:
        return "\n\n".join(part for part in (one, other) if part)

    return replace(
        first,
        text=both(first.text, second.text),
        thinking=both(first.thinking, second.thinking),
        calls=(*first.calls, *second.calls),
    )
