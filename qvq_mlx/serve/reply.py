"""Turns the events of one run into what a client may be shown, in order.

Law: thinking never stands in an answer. What a thinking model has answered may still be taken back
(`AnswerRetracted`), and what was sent cannot; so its thinking goes out as it comes, and its answer
when it stands. The answer of a model that does not think goes out as it comes.

Calls of a client's tools are none of the answer. Within an answer each goes out as soon as it is
whole; those that a model writes at the end of its thinking and answers nothing after count too.

A stop text ends the answer before the text. Only the answer is searched: a stop text within the
thinking means nothing to a client that is shown the two apart.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    StopReason,
    ThinkingDelta,
    Transcript,
)
from qvq_mlx.reply.tool_calls import Schemas, ToolCall, ToolScan, trailing_calls


@dataclass(frozen=True, slots=True)
class Thinking:
    """More thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """More of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """A call of a tool, number `index` of the reply. `id` is what its answer will name."""

    index: int
    id: str
    call: ToolCall


class Finish(StrEnum):
    """Why a reply ended, as clients know it."""

    STOP = "stop"
    LENGTH = "length"
    CALLS = "tool_calls"
    """The client is to call tools, and to ask again with their answers."""


@dataclass(frozen=True, slots=True)
class End:
    """The whole reply. `stopped_at` is the stop text that ended it, '' for none."""

    finish: Finish
    thinking: str
    answer: str
    notices: tuple[Notice, ...]
    done: Done
    stopped_at: str = ""
    calls: tuple[Called, ...] = ()


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools that a reply may call, and how many calls are taken of it; None: all."""

    schemas: Schemas
    most: int | None = None

    def scan(self) -> ToolScan:
        """Begin a search."""
        return ToolScan(self.schemas) if self.most is None else ToolScan(self.schemas, self.most)


@dataclass(frozen=True, slots=True)
class AsItCame:
    """An event of the run, for another qvq."""

    event: Event


Piece = Thinking | Answer | Called | End | AsItCame


class EventReply:
    """One reply to a qvq: its events as they come, and what they add up to at the end."""

    stopped = False

    def __init__(self) -> None:
        self._reply = Reply((), live=False)

    def feed(self, event: Event) -> Iterator[Piece]:
        """Take the next event; yield it, and the end after the last one."""
        yield AsItCame(event)
        yield from (piece for piece in self._reply.feed(event) if isinstance(piece, End))


class Reply:
    """One reply that grows. `live`: the answer goes out as it comes."""

    def __init__(self, stop: Sequence[str], *, live: bool, tools: Tools | None = None) -> None:
        self._stop = tuple(stop)
        self._live = live
        self._transcript = Transcript()
        self._notices: list[Notice] = []
        self._sent = 0  # characters of the answer
        self._stopped_at = ""
        self._hold = max((len(text) - 1 for text in stop), default=0)
        self._tail = ""  # the end of the answer that may begin a stop text
        self._begun = False
        self._tools = tools
        self._scan = tools.scan() if tools is not None else None
        self._texts: list[str] = []  # of the answer, as it was sent
        self._calls: list[Called] = []

    @property
    def stopped(self) -> bool:
        """True once a stop text or the last call came: nothing more is needed of the run."""
        return bool(self._stopped_at) or (self._scan is not None and self._scan.is_full)

    def feed(self, event: Event) -> Iterator[Piece]:
        """Take the next event; yield what may be sent now."""
        if self.stopped and not isinstance(event, Done | Notice):
            return
        if not (self.stopped and isinstance(event, Done)):
            self._transcript.add(event)
        match event:
            case ThinkingDelta(text=text):
                yield Thinking(text)
            case AnswerDelta(text=text):
                certain = self._grown(text)
                if self._live and certain:
                    self._sent += len(certain)
                    yield from self._said(certain)
            case AnswerRetracted(text=text):
                self._tail, self._begun = "", False
                yield Thinking(text)
            case Notice():
                self._notices.append(event)
            case Done():
                yield from self._said(self._cut()[self._sent :])
                yield from self._rest(event)
                yield self._end(event)
            case Progress() | Looked():
                pass

    def _said(self, text: str) -> Iterator[Answer | Called]:
        """Send more of the answer, and of the calls within it."""
        for piece in [text] if self._scan is None else self._scan.feed(text):
            yield from self._piece(piece)

    def _piece(self, piece: str | ToolCall) -> Iterator[Answer | Called]:
        if isinstance(piece, ToolCall):
            called = Called(len(self._calls), f"call_{secrets.token_hex(12)}", piece)
            self._calls.append(called)
            yield called
        elif piece:
            self._texts.append(piece)
            yield Answer(piece)

    def _rest(self, done: Done) -> Iterator[Answer | Called]:
        """Send what the search held back, and calls at the end of a thinking without an answer."""
        if self._scan is None or self._tools is None:
            return
        ended = done.stop_reason is StopReason.END and not self._stopped_at
        for piece in self._scan.end(is_whole=ended):
            yield from self._piece(piece)
        if ended and not self._texts and not self._calls:
            for call in trailing_calls(self._transcript.thinking, self._tools.scan()):
                yield from self._piece(call)
        self._notices += [Notice("tool-call", text) for text in self._scan.problems]

    def _grown(self, text: str) -> str:
        """Take more of the answer; return what stands of it now, up to a stop text.

        Only the new text is searched, and what before it may begin a stop text: a long answer costs
        the same for each of its tokens. White space before an answer is none of it.
        """
        new = self._tail + (text if self._begun else text.lstrip())
        self._begun = self._begun or bool(new)
        if found := self._first(new):
            at, self._stopped_at = found
            return new[:at]
        certain = max(len(new) - self._hold, 0)
        self._tail = new[certain:]
        return new[:certain]

    def _cut(self) -> str:
        """The answer up to the first stop text in it, without white space before it."""
        answer = self._transcript.answer.lstrip()
        found = self._first(answer)
        if not found:
            return answer
        at, self._stopped_at = found
        return answer[:at]

    def _first(self, text: str) -> tuple[int, str] | None:
        """Find the stop text that is complete first, and of those that end there the longest.

        It is the one that a reader of single characters meets, so it is the same however the
        tokens cut the text.
        """
        found = [(at + len(stop), at, stop) for stop in self._stop if (at := text.find(stop)) >= 0]
        return min(found)[1:] if found else None

    def _end(self, done: Done) -> End:
        answer = "".join(self._texts)
        whole = done.complete or self.stopped or (done.stop_reason is StopReason.END and not answer)
        finish = Finish.STOP if whole else Finish.LENGTH
        return End(
            finish=Finish.CALLS if whole and self._calls else finish,
            thinking=self._transcript.thinking,
            answer=answer,
            notices=tuple(self._notices),
            done=done,
            stopped_at=self._stopped_at,
            calls=tuple(self._calls),
        )
