"""The rules that tell an answer from the thinking, one class for each style of a model.

Law: the texts that come out do not depend on how the text was cut, at most one line is held back,
and every character lands in the thinking, in the answer, or is the marker between them.

- MARKER: a marker line (`answer/markers.py`) begins an answer. A later one takes an earlier answer
  back; of several blocks the last whole one is the answer. A block is whole where the model ended
  after it, where its box is closed, or where the model wrote it twice. No marker: if the model
  ended by itself, the whole text is the answer, or its concluding paragraph where it began by
  thinking aloud (answer/conclusion.py); it is thinking if something else ended it.
- TAG: an output that starts with the open tag thinks until the close tag. One that does not is an
  answer as a whole, until a close tag comes after all. PREOPENED: the same, with the open tag
  written by the chat template. The text after the last close tag is the answer. Thinking
  aloud that the model ended by itself without a close tag has its conclusion as the answer.
- NONE: everything is the answer.

Where whoever wrote the text says what is what, that counts, whatever the style.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from qvq_mlx.core.card import Thinking, ThinkingStyle
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Event,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.tokens import Part
from qvq_mlx.reply.box import boxed, through_box
from qvq_mlx.reply.conclusion import concluding_paragraph, thinks_aloud
from qvq_mlx.reply.markers import Markers

_STOPPED = (StopReason.LENGTH, StopReason.BUDGET, StopReason.LOOP)


class Splitter(Protocol):
    """One style's rules. `source` and `complete` are meaningful after `close`."""

    source: AnswerSource
    complete: bool

    def feed(self, text: str) -> Iterator[Event]:
        """Yield what the next piece of text makes certain. Deltas carry no token counts."""

    def conclude(self) -> None:
        """Drop the beginning of a marker that is held back: the closing text replaces it."""

    def close(self, reason: StopReason) -> Iterator[Event]:
        """The rest, now that nothing more comes."""


def splitter(thinking: Thinking) -> Splitter:
    """The rules of a model's voice."""
    match thinking.style:
        case ThinkingStyle.MARKER:
            return _MarkerSplitter(Markers(thinking.markers, thinking.labels))
        case ThinkingStyle.TAG | ThinkingStyle.PREOPENED:
            return _TagSplitter(thinking)
        case ThinkingStyle.NONE:
            return _WholeSplitter()


class _WholeSplitter:
    """Everything is the answer."""

    def __init__(self) -> None:
        self.source = AnswerSource.NONE
        self.complete = False

    def feed(self, text: str) -> Iterator[Event]:
        if text:
            yield AnswerDelta(text, 0)
        if text.strip():
            self.source = AnswerSource.WHOLE

    def conclude(self) -> None:
        """Nothing is held back."""

    def close(self, reason: StopReason) -> Iterator[Event]:
        self.complete = self.source is AnswerSource.WHOLE and reason is StopReason.END
        yield from ()


class ToldSplitter:
    """Text comes as `part`: what whoever wrote it calls thinking, or the answer."""

    def __init__(self) -> None:
        self.source = AnswerSource.NONE
        self.complete = False
        self.part = Part.THINKING
        self._parts = _Parts()

    def feed(self, text: str) -> Iterator[Event]:
        """The same text in its part; an answer is taken back where thinking follows it."""
        answer = self._parts.answer
        if self.part is Part.ANSWER and answer is None:
            yield from self._parts.begin_answer("")
        elif self.part is Part.THINKING and answer is not None:  # it thinks again
            self._parts.answer = None
            if answer.started:
                yield AnswerRetracted(answer.raw)
        yield from self._parts.emit(text)

    def conclude(self) -> None:
        """Nothing is held back."""

    def close(self, reason: StopReason) -> Iterator[Event]:
        """Nothing more: what stands is the answer."""
        answer = self._parts.answer
        if answer is not None and answer.started:
            self.source, self.complete = AnswerSource.TAG, reason is StopReason.END
        yield from ()


class _Trimmed:
    """Text without white space at its ends: what may still turn out to be an end waits."""

    def __init__(self) -> None:
        self.started = False
        self._space: list[str] = []  # seen, and not passed on until something follows

    @property
    def space(self) -> str:
        return "".join(self._space)

    def take(self, text: str) -> str:
        """Return the part of the text so far that can be passed on now."""
        body = text.rstrip()
        if not body:
            self._space.append(text)
            return ""
        before = self.space if self.started else ""
        self._space = [text[len(body) :]]
        body = before + (body if self.started else body.lstrip())
        self.started = True
        return body


class _Answer:
    """The answer block that is being written; `raw` is what goes back if it is retracted."""

    def __init__(self, opening: str) -> None:
        self._raw = [opening]
        self._texts: list[str] = []
        self._trimmed = _Trimmed()

    @property
    def raw(self) -> str:
        return "".join(self._raw)

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def started(self) -> bool:
        return self._trimmed.started

    def feed(self, text: str) -> Iterator[Event]:
        self._raw.append(text)
        if body := self._trimmed.take(text):
            self._texts.append(body)
            yield AnswerDelta(body, 0)


class _Parts:
    """Send text into the thinking, or into the answer once one has begun."""

    def __init__(self) -> None:
        self.thinking = _Trimmed()
        self.answer: _Answer | None = None
        self._thought: list[str] = []  # all of the thinking until an answer begins

    def emit(self, text: str) -> Iterator[Event]:
        if self.answer is not None:
            yield from self.answer.feed(text)
        elif body := self.thinking.take(text):
            self._thought.append(body)
            yield ThinkingDelta(body, 0)

    def unmarked(self) -> tuple[AnswerSource, Iterator[Event]]:
        """The answer of a text that ended by itself and never said where its answer begins."""
        thought = "".join(self._thought)
        if not thought:
            return AnswerSource.NONE, iter(())
        conclusion = concluding_paragraph(thought) if thinks_aloud(thought) else ""
        if not conclusion:
            return AnswerSource.WHOLE, iter(())
        return AnswerSource.CONCLUSION, iter((AnswerDelta(conclusion, 0),))

    def begin_answer(self, opening: str) -> Iterator[Event]:
        """An answer begins; an earlier one goes back into the thinking."""
        self._thought.clear()
        if self.answer is not None and self.answer.started:
            raw = self.answer.raw
            body = raw.rstrip()
            opening = raw[len(body) :] + opening
            yield AnswerRetracted(body)
        else:
            if self.answer is not None:  # a marker with nothing after it is thinking
                raw, self.answer = self.answer.raw, None
                yield from self.emit(raw)
            opening = self.thinking.space + opening
        self.answer = _Answer(opening)

    def replace_answer(self, answer: _Answer, text: str) -> Iterator[Event]:
        """The block that is under way goes back, and an earlier text stands."""
        yield (
            AnswerRetracted(answer.raw) if answer.started else ThinkingDelta(answer.raw.rstrip(), 0)
        )
        yield AnswerDelta(text, 0)


class _MarkerSplitter:
    """Line by line: a line is held back only while it may still turn out to be a marker."""

    def __init__(self, markers: Markers) -> None:
        self.source = AnswerSource.NONE
        self.complete = False
        self._markers = markers
        self._parts = _Parts()
        self._line = ""  # the part of the current line that is held back
        self._decided = False  # whether the current line is known not to be a marker line
        self._previous = ""  # the last retracted block
        self._last_whole = ""  # the last retracted block that was whole

    def feed(self, text: str) -> Iterator[Event]:
        plain: list[str] = []
        for piece in text.splitlines(keepends=True):
            # str.splitlines also cuts at form feeds and the like: harmless, a marker has none
            if self._decided or (not self._line and not self._markers.may_begin(piece)):
                plain.append(piece)
                self._decided = True
            else:
                self._line += piece
                if plain:
                    yield from self._parts.emit("".join(plain))
                    plain = []
                yield from self._judge(ended=False)
            if piece.endswith("\n"):
                self._decided = False
        if plain:
            yield from self._parts.emit("".join(plain))

    def conclude(self) -> None:
        self._line = ""

    def close(self, reason: StopReason) -> Iterator[Event]:
        if self._line:
            yield from self._judge(ended=True)
        answer = self._parts.answer
        if answer is None:
            if reason is StopReason.END:
                self.source, events = self._parts.unmarked()
                self.complete = self.source is not AnswerSource.NONE
                yield from events
            return
        text = answer.text
        whole = self._whole(text, reason)
        if whole and whole != text:
            yield from self._parts.replace_answer(answer, whole)
        if whole or text:
            self.source, self.complete = AnswerSource.MARKER, bool(whole)

    def _whole(self, text: str, reason: StopReason) -> str:
        """The last whole block, `text` being the last one; "" where there is none."""
        if reason is StopReason.INTERRUPT:
            return ""  # the user stopped what they saw
        if text and (reason is StopReason.END or text == self._previous):
            return text
        if whole := through_box(text) or self._last_whole:
            return whole
        again = self._previous.startswith(text) and 2 * len(text) >= len(self._previous)
        return self._previous if text and again else ""  # it was being written a second time

    def _judge(self, ended: bool) -> Iterator[Event]:
        """Decide about the held line as soon as its beginning allows it."""
        line = self._line
        ended = ended or line.endswith("\n")
        rest = self._markers.rest_of(line, ended=ended)
        if rest is None:
            return
        self._line = ""
        self._decided = True
        if rest < 0:
            yield from self._parts.emit(line)
            return
        if self._parts.answer is not None:
            block = self._parts.answer.text
            whole = block if block and block == self._previous else through_box(block)
            self._last_whole = whole or self._last_whole
            self._previous = block or self._previous
        yield from self._parts.begin_answer(line[:rest])
        yield from self._parts.emit(line[rest:])


class _TagSplitter:
    """Thinking ends at the close tag; text after a later close tag replaces the answer."""

    def __init__(self, thinking: Thinking) -> None:
        self.source = AnswerSource.NONE
        self.complete = False
        self._open_tag = thinking.open_tag
        self._close_tag = thinking.close_tag
        self._tags = (thinking.close_tag, *thinking.answer_tags)
        self._tag = re.compile("|".join(map(re.escape, self._tags)))
        self._preopened = thinking.style is ThinkingStyle.PREOPENED
        self._head: str | None = ""  # held until it is decided whether it is the open tag
        self._held = ""  # the end of the text, which may be the beginning of a tag
        self._closed = False
        self._untagged = False
        self._parts = _Parts()

    def feed(self, text: str) -> Iterator[Event]:
        if self._head is None:
            yield from self._scan(text)
            return
        self._head = head = (self._head + text).lstrip()
        if len(head) < len(self._open_tag) and self._open_tag.startswith(head):
            return
        yield from self._begin(head)

    def conclude(self) -> None:
        self._held = ""

    def close(self, reason: StopReason) -> Iterator[Event]:
        if self._head is not None:
            yield from self._begin(self._head.strip())
        held, self._held = self._held, ""
        if held not in self._tags:
            yield from self._parts.emit(held)
        answer = self._parts.answer
        if answer is None and reason is StopReason.END:
            source, events = self._parts.unmarked()
            if source is AnswerSource.CONCLUSION:
                self.source, self.complete = source, True
                yield from events
            return
        if answer is None or not answer.started:
            return
        settled = reason in _STOPPED and boxed(answer.text) is not None
        self.complete = reason is StopReason.END or (
            settled and through_box(answer.text) == answer.text and self._closed
        )
        self.source = AnswerSource.TAG if self._closed else AnswerSource.WHOLE

    def _begin(self, head: str) -> Iterator[Event]:
        """The head is known: thinking, or an answer without any."""
        self._head = None
        if self._open_tag and head.startswith(self._open_tag):
            head = head.removeprefix(self._open_tag)
        elif not self._preopened:
            yield from self._parts.begin_answer("")
        yield from self._scan(head)

    def _scan(self, text: str) -> Iterator[Event]:
        text = self._held + text
        start = 0
        for match in self._tag.finditer(text):
            if match.group() == self._close_tag:
                yield from self._parts.emit(text[start : match.start()])
                yield from self._parts.begin_answer(self._close_tag)
                self._closed = True
            elif self._parts.answer is not None and self._closed:
                yield from self._parts.emit(text[start : match.start()])
            else:
                continue  # an answer's tag within the thinking is text
            start = match.end()
        text = text[start:]
        longest = min(max(map(len, self._tags)) - 1, len(text))
        held = next(
            (n for n in range(longest, 0, -1) if any(t.startswith(text[-n:]) for t in self._tags)),
            0,
        )
        self._held = text[len(text) - held :]
        yield from self._parts.emit(text[: len(text) - held])
