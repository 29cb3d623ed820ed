"""Splits and judges an output that was saved elsewhere, with the code of a running one.

Law: what `supervise` would have found while the text was written is found here; nothing is
stopped. A saved text does not say how it ended, so that is told from the text: it was cut where
a box or a formula is left open, where it ends within a loop, where its last line is prose without
an end, or where the text of a model with tags thinks aloud and never closed them. A cut text
without a marker is thinking and no answer; a finished one is an answer as a whole, or by its
concluding paragraph (reply/conclusion.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qvq_mlx.core.card import Thinking, ThinkingStyle
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    StopReason,
    ThinkingDelta,
    Transcript,
)
from qvq_mlx.core.tokens import Control, Finished, Step, Token
from qvq_mlx.guards.language import Script, scripts
from qvq_mlx.guards.loop import LoopDetector, Repetition, Severity
from qvq_mlx.guards.supervise import GuardLimits, Watch
from qvq_mlx.reply.box import boxed
from qvq_mlx.reply.conclusion import thinks_aloud
from qvq_mlx.reply.thinking import split

_OF_THE_TEXT = (
    "repetition",
    "no-news",
)  # the others say what was done
_CHUNK_CHARS = 8_192
_TAIL_CHARS = 4_096
_PROSE_CHARS = 200  # a shorter text is an answer, with or without a full stop
_PROSE_WORDS = 4
_UNSPACED_CHARS = 12
_ANNOUNCES = (":", "：", ",", "，", ":**", "：**")
_ITEM = re.compile(r"\s*(?:[-*+•·]|\(?\d+[.)])\s")
_ENDS = tuple(".!?。！？…．\"'”’»)]}）】」』`|$>*_~")
# a display formula that is not closed in its paragraph; a command that begins like \\boxed
_OPEN_FORMULA = re.compile(r"\\\[(?:(?!\\\]).)*\Z", re.DOTALL)
_HALF_COMMAND = re.compile(r"\\(?:b(?:o(?:x(?:ed?)?)?)?)?\Z")
_THINKING_HEAD = re.compile(
    r"\s*(?:(?:so|okay|ok|alright|all right|hm+|let's|let me|let us|well|first|wait|now|i need|"
    r"i have|i'm|i've|i see|looking|got it)\b|to (?:solve|find|determine|figure)\b|"
    r"所以|好的|好吧|嗯|首先|让我|我需要|我得|我在|这个题|这道题|题目)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Examined:
    """Findings in a saved output. `loop` is the first hard one; scripts are counts of letters."""

    transcript: Transcript
    done: Done
    loop: Repetition | None
    notices: tuple[Notice, ...]
    thinking_scripts: dict[Script, int]
    answer_scripts: dict[Script, int]


def examine(text: str, thinking: Thinking) -> Examined:
    """Split `text` and look for loops."""
    if _is_separated(text, thinking):
        thinking = Thinking()
    watch = Watch(Control(), GuardLimits(), can_conclude=bool(thinking.closing))
    events = watch.events(split(watch.steps(_steps(text, watch, thinking)), thinking))
    transcript, done, notices = _folded(events)
    return Examined(
        transcript=transcript,
        done=done,
        loop=watch.loop or watch.answer_loop,
        notices=notices,
        thinking_scripts=scripts(transcript.thinking),
        answer_scripts=scripts(transcript.answer),
    )


def was_cut(text: str, *, answering: bool) -> bool:
    """True if a text ends in the middle of something; `answering`: within a marked answer."""
    body = text.rstrip()
    tail = body[-_TAIL_CHARS:]
    box = tail.rfind("\\boxed")
    if box >= 0 and boxed(tail[box:]) is None:
        return True
    if _OPEN_FORMULA.search(tail.rpartition("\n\n")[2]) or _HALF_COMMAND.search(body):
        return True
    if body.endswith(_ANNOUNCES):
        return True
    if body.endswith(_ENDS):
        return False
    line = tail.rpartition("\n")[2]
    if not answering and _THINKING_HEAD.match(text):
        return len(body) >= _PROSE_CHARS or _is_prose(line)
    if len(body) < _PROSE_CHARS:
        return False
    if _ITEM.match(line) or (answering and len(line) < _PROSE_CHARS):
        return False
    return _is_prose(line)


def _is_prose(line: str) -> bool:
    """True if a line that does not end like a sentence should have."""
    return len(line.split()) >= _PROSE_WORDS or (not line.isascii() and len(line) > _UNSPACED_CHARS)


def _steps(text: str, watch: Watch, thinking: Thinking) -> Iterator[Step]:
    for start in range(0, len(text), _CHUNK_CHARS):
        yield Token(0, text[start : start + _CHUNK_CHARS])
    reason = StopReason.END
    if not watch.answering and _circles_to_the_end(text, watch):
        reason = StopReason.LOOP
    elif was_cut(text, answering=watch.answering) or _never_closed(text, thinking):
        reason = StopReason.LOOP if watch.loop else StopReason.LENGTH
    yield Finished(reason, "", 0, 0, 0, concluded=False)


def _circles_to_the_end(text: str, watch: Watch) -> bool:
    """True if the thinking goes in circles and the text ends there, whatever its last sign is."""
    if watch.stale is not None:
        return True
    if watch.loop is None:
        return False
    tail = LoopDetector()
    return any(
        finding.severity is Severity.HARD
        for finding in tail.feed(text[-(4 * watch.loop.period_chars + _TAIL_CHARS) :])
    )


def _is_separated(text: str, thinking: Thinking) -> bool:
    """True for an answer alone: its thinking was kept apart by whoever served the model."""
    is_preopened = thinking.style is ThinkingStyle.PREOPENED
    return is_preopened and thinking.close_tag not in text and not thinks_aloud(text)


def _never_closed(text: str, thinking: Thinking) -> bool:
    """True if a model that closes its thinking with a tag thinks aloud and wrote no such tag."""
    has_tags = thinking.style in (ThinkingStyle.TAG, ThinkingStyle.PREOPENED)
    return has_tags and thinking.close_tag not in text and thinks_aloud(text)


def _folded(events: Iterable[Event]) -> tuple[Transcript, Done, tuple[Notice, ...]]:
    """The transcript. Deltas are joined before it adds them up: a long text is not copied once
    for each of them.
    """
    thinking: list[str] = []
    answer: list[str] = []
    notices: list[Notice] = []
    for event in events:
        match event:
            case ThinkingDelta(text=text):
                thinking.append(text)
            case AnswerDelta(text=text):
                answer.append(text)
            case AnswerRetracted(text=text):
                thinking.append(text)
                answer.clear()
            case Notice():
                if event.code in _OF_THE_TEXT:
                    notices.append(event)
            case Progress() | Looked():
                pass
            case Done():
                transcript = Transcript("".join(thinking), "".join(answer))
                transcript.add(event)
                return transcript, event, tuple(notices)
    raise AssertionError("the stream ended without Done")


def has_answer(examined: Examined) -> bool:
    """True if what stands is a whole answer."""
    return examined.done.complete and examined.done.answer_source is not AnswerSource.NONE


def why_no_answer(found: Examined) -> str:
    """Say in a few words why there is no whole answer."""
    if not found.transcript.thinking and not found.transcript.answer:
        return "the text is empty"
    if found.loop:
        return f"no whole answer: the text goes in circles from character {found.loop.at_char:,}"
    if found.done.stop_reason != "end":
        return "no whole answer: the text was cut off"
    return "no answer: the text ends within the thinking"
