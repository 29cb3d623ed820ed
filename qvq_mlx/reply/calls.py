"""Find the calls of the zoom-in tool in what a model writes, and read them.

Two spellings are known, one JSON object and the coder form, each within `<tool_call>` tags:

    {"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [1, 2, 3, 4], "img_idx": 0}}
    <function=image_zoom_in_tool><parameter=bbox_2d>[1, 2, 3, 4]</parameter></function>

Law: nothing is raised, and what is shown does not depend on how the text was cut. A call is not
shown, nor is a close tag of the thinking right before it, because the thinking goes on behind it.
What was held back and becomes no call is shown.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from qvq_mlx.core.look import ZOOM_TOOL

OPEN, CLOSE = "<tool_call>", "</tool_call>"
LONGEST_CALL_CHARS = 2_000
"""A longer run of characters is no call of ours: it is text."""
_LONGEST_SPACE_CHARS = 64  # between the thinking's close tag and a call
_LABEL_CHARS = 200

_FUNCTION = re.compile(r"<function=([^<>\n]{1,100})>(.*)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^<>\n]{1,100})>(.*?)</parameter>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Zoom:
    """A region that a model asks for: four `numbers`, left, top, right, bottom, in its own units.

    `picture` counts from 0, regions that it was shown before among the pictures.
    """

    numbers: tuple[float, float, float, float]
    label: str | None = None
    picture: int = 0


@dataclass(frozen=True, slots=True)
class Malformed:
    """The reason why a call cannot be followed, one line."""

    reason: str


class CallScan:
    """One turn's text: what of it is shown, and the call that it came to.

    `call` is the text between the tags, None before one is closed; what comes then is not taken.
    """

    def __init__(self, close_tag: str = "") -> None:
        """`close_tag` ends the thinking; '' where the model does not think."""
        self.call: str | None = None
        self._close_tag = close_tag
        self._held = ""
        self._within: str | None = None  # an open call, with what was held back before it

    def feed(self, text: str) -> str:
        """Return the part of the text so far that is shown now."""
        if self.call is not None:
            return ""
        text, self._held = self._held + text, ""
        shown = ""
        while True:
            if self._within is None:
                begin = text.find(OPEN)
                if begin < 0:
                    kept = self._kept(text)
                    self._held = text[len(text) - kept :]
                    return shown + text[: len(text) - kept]
                before = begin - self._closing(text[:begin])
                shown, self._within = shown + text[:before], text[before:begin]
                text = text[begin:]
            end = text.find(CLOSE)
            if 0 <= end <= LONGEST_CALL_CHARS:
                self.call, self._within = text[len(OPEN) : end], None
                return shown
            if len(text) <= LONGEST_CALL_CHARS + len(CLOSE):
                self._held = text
                return shown
            shown += self._within + OPEN
            self._within, text = None, text[len(OPEN) :]

    def end(self) -> None:
        """Take a call that is whole but for its close tag: the model has ended its turn."""
        call = self._held.removeprefix(OPEN)
        if self._within is not None and isinstance(read(call), Zoom):
            self.call, self._within, self._held = call, None, ""

    def rest(self) -> str:
        """Return what is held back: nothing more comes, or what comes next is not the model's."""
        held, self._held = (self._within or "") + self._held, ""
        self._within = None
        return held

    def _kept(self, text: str) -> int:
        """Characters at the end that may be the beginning of a call."""
        begun = _begun(text, OPEN)
        closing = self._closing(text[: len(text) - begun])
        return begun + closing if begun or closing else _begun(text, self._close_tag)

    def _closing(self, text: str) -> int:
        """Characters of the thinking's close tag, and the space behind it, at the end of `text`."""
        body = text.rstrip()
        space = len(text) - len(body)
        tag = self._close_tag
        is_there = bool(tag) and body.endswith(tag) and space <= _LONGEST_SPACE_CHARS
        return space + len(tag) if is_there else 0


def read(call: str) -> Zoom | Malformed:
    """Return the region that a call asks for: `call` is the text between its tags."""
    text = call.strip()
    if function := _FUNCTION.match(text):
        name, given = function[1].strip(), {}
        for key, value in _PARAMETER.findall(function[2]):
            given[key.strip()] = _value(value.strip())
        return _zoom(name, given)
    try:
        read_as = json.loads(text)
    except (ValueError, RecursionError):
        return Malformed(
            "a call of the zoom-in tool is neither JSON nor a function with parameters"
        )
    if not isinstance(read_as, dict):
        return Malformed("a call of the zoom-in tool is no object with a name and arguments")
    arguments = read_as.get("arguments")
    if isinstance(arguments, str):  # some write the object as a text
        arguments = _value(arguments)
    return _zoom(read_as.get("name"), arguments)


def _zoom(name: object, arguments: object) -> Zoom | Malformed:
    if name != ZOOM_TOOL:
        return Malformed(f"there is no tool called {str(name)[:40]!r}, only {ZOOM_TOOL}")
    if not isinstance(arguments, Mapping):
        return Malformed("a call of the zoom-in tool has no arguments")
    numbers = arguments.get("bbox_2d")
    if isinstance(numbers, str):
        numbers = _value(numbers)
    if not isinstance(numbers, list) or len(numbers) != 4 or not all(map(_is_number, numbers)):
        return Malformed("bbox_2d has to be four numbers: left, top, right, bottom")
    label, place = arguments.get("label"), arguments.get("img_idx", 0)
    if isinstance(place, str):
        place = _value(place)
    if not _is_number(place) or place != int(place) or place < 0:
        return Malformed(f"img_idx has to be the number of a picture, not {str(place)[:40]!r}")
    left, top, right, bottom = map(float, numbers)
    said = " ".join(label.split())[:_LABEL_CHARS] if isinstance(label, str) else ""
    return Zoom((left, top, right, bottom), said or None, int(place))


def _value(text: str) -> object:
    """The value that a text spells as JSON; the text itself where it spells none."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e9 and math.isfinite(value)


def _begun(text: str, tag: str) -> int:
    """Characters at the end of `text` that are a beginning of `tag`, short of all of it."""
    longest = min(len(tag) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if tag.startswith(text[-n:])), 0)
