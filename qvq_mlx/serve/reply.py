"""Turns the events of one run into what a client may be shown, in order.

Law: thinking never stands in an answer. What a thinking model has answered may still be taken back
(`AnswerRetracted`), and what was sent cannot; so its thinking goes out as it comes, and its answer
when it stands. The answer of a model that does not think goes out as it comes.

A stop text ends the answer before the text. Only the answer is searched: a stop text within the
thinking means nothing to a client that is shown the two apart.
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Thinking:
    """More thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """More of the answer."""

    text: str


class Finish(StrEnum):
    """Why a reply ended, as clients know it."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class End:
    """The whole reply. `stopped_at` is the stop text that ended it, '' for none."""

    finish: Finish
    thinking: str
    answer: str
    notices: tuple[Notice, ...]
    done: Done
    stopped_at: str = ""


Piece = Thinking | Answer | End


class Reply:
    """One reply that grows. `live`: the answer goes out as it comes."""

    def __init__(self, stop: Sequence[str], *, live: bool) -> None:
        self._stop = tuple(stop)
        self._live = live
        self._transcript = Transcript()
        self._notices: list[Notice] = []
        self._sent = 0  # characters of the answer
        self._stopped_at = ""
        self._hold = max((len(text) - 1 for text in stop), default=0)
        self._tail = ""  # the end of the answer that may begin a stop text
        self._begun = False

    @property
    def stopped(self) -> bool:
        """True once a stop text came: nothing more is needed of the run."""
        return bool(self._stopped_at)

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
                    yield Answer(certain)
            case AnswerRetracted(text=text):
                self._tail, self._begun = "", False
                yield Thinking(text)
            case Notice():
                self._notices.append(event)
            case Done():
                answer = self._cut()
                if answer[self._sent :]:
                    yield Answer(answer[self._sent :])
                yield self._end(event, answer)
            case Progress() | Looked():
                pass

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

    def _end(self, done: Done, answer: str) -> End:
        whole = done.complete or self.stopped or (done.stop_reason is StopReason.END and not answer)
        return End(
            finish=Finish.STOP if whole else Finish.LENGTH,
            thinking=self._transcript.thinking,
            answer=answer,
            notices=tuple(self._notices),
            done=done,
            stopped_at=self._stopped_at,
        )
