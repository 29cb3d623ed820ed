"""Text from elsewhere, made harmless for a terminal, with what was harmful in it shown.

Law: what `clean` returns holds no C0 or C1 control but newline and tab, so no escape sequence; no
bidirectional control, no line separator that is no newline, no lone surrogate, and no character
that is seen as nothing: a zero-width space, a tag that spells hidden ASCII. Each of them stands
there as a mark: `␛` for escape, `<U+202E>` for an override. The joiners stay: Persian, Indian
scripts and emoji are written with them. Nothing is left out, so nothing
hides. Each character is judged alone, so text may be cut anywhere. Text from the model, from file
names and from servers passes through here before a terminal gets it; in a pipe the answer is data
and stays as it is, and JSON escapes the same characters.
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
    Looked,
    Notice,
    Progress,
    ThinkingDelta,
)
from qvq_mlx.records.runs import Json

_REST = (
    "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff"
    # seen as nothing: zero-width space, word joiner and its kin, fillers, tags that spell ASCII
    "\u00ad\u180e\u200b\u2060-\u2065\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e00ff"
)
_UNSAFE = re.compile(f"[\x00-\x08\x0b-\x1f{_REST}]")
_UNSAFE_IN_JSON = re.compile(f"[{_REST}]")  # json escapes the C0 controls itself


def clean(text: str) -> str:
    """`text` with marks for controls; newlines and tabs stay, and CR LF is a newline."""
    if text.isprintable():  # the common case: nothing to look for
        return text
    return _UNSAFE.sub(_marked, text.replace("\r\n", "\n"))


def clean_line(text: str) -> str:
    """`clean`, on one line: for file names and notices."""
    return clean(text).replace("\n", " ").expandtabs(1)


class Cleaner:
    """`clean` for text that comes in pieces.

    Law: what was given out is not changed by what comes later. A carriage return at the
    end of a piece waits for the next one, as a newline may follow.
    """

    def __init__(self) -> None:
        self._begun = ""

    def feed(self, text: str) -> str:
        """Return the part that can be shown now."""
        whole = self._begun + text
        self._begun = "\r" if whole.endswith("\r") else ""
        return clean(whole[:-1] if self._begun else whole)

    def event(self, event: Event) -> Event:
        """The same event, its text fit for a terminal."""
        match event:
            case ThinkingDelta(text=text) | AnswerDelta(text=text):
                fit = self.feed(text)
                return event if fit == text else replace(event, text=fit)
            case AnswerRetracted(text=text):
                return replace(event, text=clean(text))
            case Notice(code=code, text=text):
                return Notice(clean_line(code), clean_line(text))
            case Looked(label=label):
                return replace(event, label=None if label is None else clean_line(label))
            case Progress() | Done():
                return event


def shown(text: str, stream: TextIO) -> str:
    """One line for `stream`: cleaned where a person reads it, as it is where a script does."""
    return writable(clean_line(text) if stream.isatty() else text, stream)


def json_text(record: Json, indent: int | None = None) -> str:
    """JSON that is safe on a terminal too and reads back as it was."""
    text = json.dumps(record, ensure_ascii=False, indent=indent)
    return _UNSAFE_IN_JSON.sub(lambda match: json.dumps(match[0])[1:-1], text)


def writable(text: str, stream: TextIO) -> str:
    """`text` in what `stream` can encode: after minutes of work a `?` is better than an error."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def _marked(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # Control Pictures
    if code == 0x7F:
        return "\u2421"
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"<U+{code:04X}>"
