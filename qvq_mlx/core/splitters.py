"""The rules that tell an answer from the thinking, one class for each style of a model.

Law: the texts that come out do not depend on how the text was cut, at most one line is held back,
and every character lands in the thinking, in the answer, or is the marker between them.

- MARKER: a line that starts with a marker (`**Final Answer**`) and then ends, or goes on with a
  box or a formula, begins an answer. A later marker takes an earlier answer back; of several
  blocks the last complete one is the answer. No marker at all: the whole text is the answer.
- TAG: an output that starts with the open tag thinks until the close tag; one that does not is
  an answer as a whole. PREOPENED: the same, with the open tag written by the chat template.
- NONE: everything is the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from qvq_mlx.core.box import boxed, through_box
from qvq_mlx.core.card import Thinking, ThinkingStyle
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Event,
    StopReason,
    ThinkingDelta,
)

_FORMULA = ("\\boxed", "\\[", "\\(", "$")


class Splitter(Protocol):
    """One style's rules. `source` and `complete` are meaningful after `close`."""

    source: AnswerSource
    complete: bool

    def feed(self, text: str) -> Iterator[Event]:
        """What the next piece of text makes certain. Deltas carry no token counts."""

    def close(self, reason: StopReason) -> Iterator[Event]:
        """The rest, now that nothing more comes."""


def splitter(thinking: Thinking) -> Splitter:
    """The rules of a model's voice."""
    match thinking.style:
        case ThinkingStyle.MARKER:
            return _MarkerSplitter(thinking.markers)
        case ThinkingStyle.TAG:
            return _TagSplitter(thinking.open_tag, thinking.close_tag)
        case ThinkingStyle.PREOPENED:
            return _TagSplitter("", thinking.close_tag)
        case ThinkingStyle.NONE:
            return _WholeSplitter()


class _WholeSplitter:
    """Everything is the answer."""

    def __init__(self) -> None:
        self.source = AnswerSource.NONE
        self.complete = False

    def feed(self, text: str) -> Iterator[Event]:
        if text:
            self.source = AnswerSource.WHOLE
            yield AnswerDelta(text, 0)

    def close(self, reason: StopReason) -> Iterator[Event]:
        self.complete = self.source is AnswerSource.WHOLE and reason is StopReason.END
        yield from ()


class _Trimmed:
    """Text without white space at its ends: what may still turn out to be an end waits."""

    def __init__(self) -> None:
        self.text = ""
        self.space = ""  # seen, and not passed on until something follows

    def take(self, text: str) -> str:
        """What of the text so far can be passed on now."""
        whole = self.space + text
        body = whole.rstrip()
        self.space = whole[len(body) :]
        if not self.text:
            body = body.lstrip()
        self.text += body
        return body


class _Answer:
    """The answer block that is being written; `raw` is what goes back if it is retracted."""

    def __init__(self, opening: str) -> None:
        self.raw = opening
        self._trimmed = _Trimmed()

    @property
    def text(self) -> str:
        return self._trimmed.text

    def feed(self, text: str) -> Iterator[Event]:
        self.raw += text
        if body := self._trimmed.take(text):
            yield AnswerDelta(body, 0)


class _Parts:
    """Where text goes: into the thinking, or into the answer once one has begun."""

    def __init__(self) -> None:
        self.thinking = _Trimmed()
        self.answer: _Answer | None = None

    def emit(self, text: str) -> Iterator[Event]:
        if self.answer is not None:
            yield from self.answer.feed(text)
        elif body := self.thinking.take(text):
            yield ThinkingDelta(body, 0)

    def begin_answer(self, opening: str) -> Iterator[Event]:
        """An answer begins; an earlier one goes back into the thinking."""
        if self.answer is not None and self.answer.text:
            yield AnswerRetracted(self.answer.raw)
        else:
            if self.answer is not None:  # a marker with nothing after it is thinking
                raw, self.answer = self.answer.raw, None
                yield from self.emit(raw)
            opening = self.thinking.space + opening
        self.answer = _Answer(opening)


class _MarkerSplitter:
    """Line by line: a line is held back only while it may still turn out to be a marker."""

    def __init__(self, markers: tuple[str, ...]) -> None:
        self.source = AnswerSource.NONE
        self.complete = False
        self._markers = markers
        self._parts = _Parts()
        self._line = ""  # the part of the current line that is held back
        self._decided = False  # whether the current line is known not to be a marker line
        self._last_whole = ""  # the last retracted block that held a whole box

    def feed(self, text: str) -> Iterator[Event]:
        for piece in text.splitlines(keepends=True):
            # str.splitlines also cuts at form feeds and the like: harmless, a marker has none
            if self._decided:
                yield from self._parts.emit(piece)
            else:
                self._line += piece
                yield from self._judge(ended=False)
            if piece.endswith("\n"):
                self._decided = False

    def close(self, reason: StopReason) -> Iterator[Event]:
        if self._line:
            yield from self._judge(ended=True)
        ended = reason is StopReason.END
        answer = self._parts.answer
        cut = reason is StopReason.LENGTH and answer is not None and boxed(answer.text) is None
        if answer is not None and cut and self._last_whole:
            # the last block was cut off: the one before it was whole, and stands
            yield (
                AnswerRetracted(answer.raw)
                if answer.text
                else ThinkingDelta(answer.raw.rstrip(), 0)
            )
            yield AnswerDelta(self._last_whole, 0)
            self.source, self.complete = AnswerSource.MARKER, True
        elif answer is not None and answer.text:
            self.source, self.complete = AnswerSource.MARKER, ended
        elif answer is None and self._parts.thinking.text and ended:
            self.source, self.complete = AnswerSource.WHOLE, True

    def _judge(self, ended: bool) -> Iterator[Event]:
        """Decide about the held line as soon as its beginning allows it."""
        line = self._line
        ended = ended or line.endswith("\n")
        head = line.lstrip()
        marker = next((m for m in self._markers if head.startswith(m)), None)
        if marker is None:
            if not ended and any(m.startswith(head) for m in self._markers):
                return
        else:
            rest = head[len(marker) :].lstrip(": \t")
            bare = not rest.strip()
            if not ended and (bare or any(f.startswith(rest) and f != rest for f in _FORMULA)):
                return  # a marker, and more to come on its line
            if bare or rest.startswith(_FORMULA):
                yield from self._begin(line.removesuffix(rest), rest)
                return
        self._line = ""
        self._decided = True
        yield from self._parts.emit(line)

    def _begin(self, opening: str, rest: str) -> Iterator[Event]:
        self._line = ""
        self._decided = True
        if self._parts.answer is not None:
            self._last_whole = through_box(self._parts.answer.text) or self._last_whole
        yield from self._parts.begin_answer(opening)
        yield from self._parts.emit(rest)


class _TagSplitter:
    """Thinking ends at the close tag; text after a later close tag replaces the answer."""

    def __init__(self, open_tag: str, close_tag: str) -> None:
        self.source = AnswerSource.NONE
        self.complete = False
        self._open_tag = open_tag
        self._close_tag = close_tag
        self._head = ""  # held until it is decided whether the output opens with the open tag
        self._opened = not open_tag
        self._held = ""  # the end of the text, which may be the beginning of the close tag
        self._parts = _Parts()
        self._untagged = _WholeSplitter()

    def feed(self, text: str) -> Iterator[Event]:
        if self._untagged.source is AnswerSource.WHOLE:
            yield from self._untagged.feed(text)
        elif self._opened:
            yield from self._scan(text)
        else:
            self._head += text
            head = self._head.lstrip()
            if head.startswith(self._open_tag):
                self._opened = True
                yield from self._scan(head.removeprefix(self._open_tag))
            elif not self._open_tag.startswith(head):
                yield from self._untagged.feed(head)

    def close(self, reason: StopReason) -> Iterator[Event]:
        if not self._opened:
            if self._untagged.source is AnswerSource.NONE:
                yield from self._untagged.feed(self._head.strip())
            yield from self._untagged.close(reason)
            self.source, self.complete = self._untagged.source, self._untagged.complete
            return
        yield from self._parts.emit(self._held)
        if self._parts.answer is not None and self._parts.answer.text:
            self.source, self.complete = AnswerSource.TAG, reason is StopReason.END

    def _scan(self, text: str) -> Iterator[Event]:
        tag = self._close_tag
        text = self._held + text
        while (at := text.find(tag)) >= 0:
            yield from self._parts.emit(text[:at])
            yield from self._parts.begin_answer(tag)
            text = text[at + len(tag) :]
        held = next((n for n in range(len(tag) - 1, 0, -1) if text.endswith(tag[:n])), 0)
        self._held = text[len(text) - held :]
        yield from self._parts.emit(text[: len(text) - held])
