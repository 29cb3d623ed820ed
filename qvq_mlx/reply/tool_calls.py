"""Find the calls of a client's tools in what a model writes, and read them.

Two spellings are known, one JSON object and the coder form, each within `<tool_call>` tags:

    {"name": "lookup", "arguments": {"word": "cat"}}
    <function=lookup><parameter=word>cat</parameter></function>

Law: nothing is raised, and what is found does not depend on how the text was cut. What is no whole
call of a tool that was offered stays text, and a line says why. The white space around a call is
none of the text. All is linear in the length of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qvq_mlx.reply.calls import CLOSE, OPEN
from qvq_mlx.system.reading import parse_json

LONGEST_CALL_CHARS = 2**18
"""A longer one is no call, and nothing behind it is searched."""
MOST_CALLS = 128
_SPACE_CHARS = 64  # more white space than this before a call is text
_WORDS = {"true": True, "false": False, "none": None, "null": None}

_FUNCTION = re.compile(r"\s{0,64}<function=([^<>\n]{1,200})>")
_PARAMETER = re.compile(r"\s{0,64}<parameter=([^<>\n]{1,200})>")
_VALUE_END = re.compile(r"</parameter>(?=\s{0,64}(?:<parameter=|</function>|\Z))")
_FUNCTION_END = re.compile(r"\s{0,64}(?:</function>)?\s{0,64}\Z")

Schemas = Mapping[str, Mapping[str, object]]
"""The JSON schema of the arguments of each tool, by the tool's name."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call. `arguments` is the text of a JSON object."""

    name: str
    arguments: str


class ToolScan:
    """A reply that grows: its text without the calls, and the calls, in order.

    At most `most` calls are taken, and what follows the last of them is dropped. `problems` says,
    one line each, why something that begins as a call is none.
    """

    def __init__(self, schemas: Schemas, most: int = MOST_CALLS) -> None:
        self.problems: list[str] = []
        self.count = 0
        self._schemas = schemas
        self._most = most
        self._held = ""  # white space, and what may be the beginning of a call
        self._within: list[str] | None = None  # the pieces of an open call
        self._size = 0  # their characters
        self._tail = ""  # their end, which may be the beginning of the close tag
        self._given_up = False

    @property
    def is_full(self) -> bool:
        """True once all calls have come that are taken."""
        return self.count >= self._most

    def feed(self, text: str) -> Iterator[str | ToolCall]:
        """Yield the text and the calls that are certain now."""
        while text and not self.is_full:
            if self._given_up:
                yield text
                return
            if self._within is None:
                shown, text = self._before(self._held + text)
                if shown:
                    yield shown
            else:
                found, text = self._inside(text)
                if found:
                    yield found

    def end(self, *, is_whole: bool) -> Iterator[str | ToolCall]:
        """Yield what was held back. `is_whole`: the model has ended its turn by itself.

        Then a call that is whole but for its close tag is one.
        """
        if self.is_full:
            return
        if self._within is not None:
            body = "".join(self._within)
            self._within = None
            call = read(body, self._schemas) if is_whole else "it is not whole"
            yield self._taken(call, OPEN + body)
        elif self._held.strip():
            yield self._held
        self._held = ""

    def _before(self, text: str) -> tuple[str, str]:
        """The text that stands, and what is left behind the open tag of a call."""
        begin = text.find(OPEN)
        if begin >= 0:
            self._held, self._within, self._size, self._tail = "", [], 0, ""
            return text[: begin - _space(text[:begin])], text[begin + len(OPEN) :]
        begun = _begun(text)
        body = text[: len(text) - begun]
        keep = begun + _space(body)
        self._held = text[len(text) - keep :] if keep else ""
        return text[: len(text) - keep], ""

    def _inside(self, text: str) -> tuple[str | ToolCall, str]:
        """Return what an open call came to, '' while it is open, and the text behind it."""
        assert self._within is not None
        seen = self._tail + text
        end = seen.find(CLOSE)
        used = len(text) if end < 0 else max(0, end + len(CLOSE) - len(self._tail))
        room = LONGEST_CALL_CHARS + len(CLOSE) - self._size
        if used > room:
            self._given_up = True
            self.problems.append(f"a call of a tool is longer than {LONGEST_CALL_CHARS:,}")
            whole, self._within = "".join(self._within), None
            return OPEN + whole + text, ""
        self._within.append(text[:used])
        self._size += used
        self._tail = seen[-(len(CLOSE) - 1) :]
        if end < 0:
            return "", ""
        body = "".join(self._within)[: -len(CLOSE)]
        self._within = None
        return self._taken(read(body, self._schemas), OPEN + body + CLOSE), text[used:]

    def _taken(self, call: ToolCall | str, text: str) -> ToolCall | str:
        """The call, or `text` where it is none."""
        if isinstance(call, ToolCall):
            self.count += 1
            return call
        self.problems.append(f"a call of a tool is left as text: {call}")
        return text


def trailing_calls(text: str, scan: ToolScan) -> list[ToolCall]:
    """Return the calls that `text`, which has ended, ends with."""
    pieces = [*scan.feed(text), *scan.end(is_whole=True)]
    first = len(pieces)
    while first and isinstance(pieces[first - 1], ToolCall):
        first -= 1
    return [piece for piece in pieces[first:] if isinstance(piece, ToolCall)]


def read(body: str, schemas: Schemas) -> ToolCall | str:
    """Read the text between a call's tags: the call, or why it is none."""
    if function := _FUNCTION.match(body):
        given = _parameters(body, function.end(), schemas.get(function[1].strip(), {}))
        return given if isinstance(given, str) else _call(function[1].strip(), given, schemas)
    try:
        found = parse_json(body.strip())
    except ValueError:
        return "it is neither JSON nor a function with parameters"
    if not isinstance(found, dict):
        return "it is no object with a name and arguments"
    arguments = found.get("arguments", {})
    if isinstance(arguments, str):  # some write the object as a text
        try:
            arguments = parse_json(arguments or "{}")
        except ValueError:
            return "its arguments are a text that is no JSON"
    return _call(found.get("name"), arguments, schemas)


def _call(name: object, arguments: object, schemas: Schemas) -> ToolCall | str:
    if not isinstance(name, str) or name not in schemas:
        return f"there is no tool called {str(name)[:60]!r}"
    if not isinstance(arguments, dict):
        return "its arguments are no object"
    text = json.dumps(arguments, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return "its arguments hold half a surrogate pair"
    return ToolCall(name, text)


def _parameters(body: str, at: int, schema: Mapping[str, object]) -> dict[str, object] | str:
    """The parameters of the coder form from `at` on, or why they cannot be read."""
    known = schema.get("properties")
    types = known if isinstance(known, Mapping) else {}
    given: dict[str, object] = {}
    while parameter := _PARAMETER.match(body, at):
        end = _VALUE_END.search(body, parameter.end())
        if end is None:
            return f"the parameter {parameter[1][:60]!r} does not end"
        key = parameter[1].strip()
        value = body[parameter.end() : end.start()].removeprefix("\n").removesuffix("\n")
        given[key] = _value(value, _types(types.get(key)))
        at = end.end()
    if not _FUNCTION_END.match(body, at):
        return "there is something between its parameters"
    return given


def _value(text: str, types: frozenset[str]) -> object:
    """The value that `text` spells for a parameter of these types; the text where it spells none.

    Templates write words and JSON, and some Python's words for true, false and nothing.
    """
    word = text.strip().lower()
    if "string" in types:
        return None if "null" in types and word == "null" else text
    try:
        return parse_json(text)
    except ValueError:
        return _WORDS[word] if types and word in _WORDS else text


def _types(schema: object) -> frozenset[str]:
    """The types that a parameter's schema names; none where it names none."""
    if not isinstance(schema, Mapping):
        return frozenset()
    named = schema.get("type")
    found = {named} if isinstance(named, str) else set()
    if isinstance(named, list):
        found |= {one for one in named if isinstance(one, str)}
    for word in ("anyOf", "oneOf"):
        options = schema.get(word)
        for option in options if isinstance(options, list) else ():
            kind = option.get("type") if isinstance(option, Mapping) else None
            found |= {kind} if isinstance(kind, str) else set()
    values = schema.get("enum")
    if not found and isinstance(values, list) and any(isinstance(one, str) for one in values):
        found.add("string")
    return frozenset(found)


def _space(text: str) -> int:
    """Characters of white space at the end of `text` that belong to a call behind it."""
    return min(len(text) - len(text.rstrip()), _SPACE_CHARS)


def _begun(text: str) -> int:
    """Characters at the end of `text` that are a beginning of the open tag, short of all of it."""
    longest = min(len(OPEN) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if OPEN.startswith(text[-n:])), 0)
