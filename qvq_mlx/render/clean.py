"""Text from elsewhere, made harmless for a terminal.

Law: what `clean` returns holds no C0 or C1 control but newline and tab, so no escape sequence,
and no lone surrogate. Text from the model, from file names and from servers passes through here
before a terminal gets it; in a pipe the answer is data and stays as it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TextIO

from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Notice,
    Progress,
    ThinkingDelta,
)
from qvq_mlx.core.records import Json

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, modes
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]{0,4096}(?:\x07|\x1b\\|\x9c)"  # strings
    r"|\x1b[ -/]*[0-~]"  # the short ones
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# what may still become a sequence when more text comes
_BEGUN = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}|[\]PX^_][^\x07\x1b\x9c\n]{0,4096}\x1b?)?\Z")

# json escapes the C0 controls itself
_UNSAFE_IN_JSON = re.compile(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` without escape sequences and controls; newlines and tabs stay."""
    if text.isprintable():  # the common case: nothing to look for
        return text
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", _SEQUENCE.sub("", text)))


def clean_line(text: str) -> str:
    """`clean`, on one line: for file names and notices."""
    return clean(text).replace("\n", " ").expandtabs(1)


class Cleaner:
    """`clean` for text that comes in pieces: a sequence that is cut in two is still found.

    Law: what was given out is not changed by what comes later.
    """

    def __init__(self) -> None:
        self._begun = ""

    def feed(self, text: str) -> str:
        """What can be shown now."""
        whole = self._begun + text
        match = _BEGUN.search(whole)
        cut = match.start() if match else len(whole)
        self._begun = whole[cut:]
        return clean(whole[:cut])

    def event(self, event: Event) -> Event:
        """The same event, its text fit for a terminal."""
        match event:
            case ThinkingDelta(text=text) | AnswerDelta(text=text):
                return replace(event, text=self.feed(text))
            case AnswerRetracted(text=text):
                return replace(event, text=clean(text))
            case Notice(code=code, text=text):
                return Notice(clean_line(code), clean_line(text))
            case Progress() | Done():
                return event


def json_text(record: Json, indent: int | None = None) -> str:
    """JSON that is safe on a terminal too and reads back as it was."""
    text = json.dumps(record, ensure_ascii=False, indent=indent)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def writable(text: str, stream: TextIO) -> str:
    """`text` in what `stream` can encode: after minutes of work a `?` is better than an error."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
