"""Splits and judges an output that was saved elsewhere, with the code of a running one.

Law: what `supervise` would have found while the text was written is found here; nothing is
stopped. A saved text does not say how it ended, so that is told from the text: it was cut where
a tag or a box is left open, or where its last line is prose without an end. A cut text
without a marker is thinking and no answer; a finished one is an answer as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qvq_mlx.answer.box import boxed
from qvq_mlx.answer.thinking import split
from qvq_mlx.core.card import Thinking
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    Event,
    Notice,
    Progress,
    StopReason,
    ThinkingDelta,
    Transcript,
)
from qvq_mlx.core.tokens import Control, Finished, Step, Token
from qvq_mlx.guards.language import Script, scripts
from qvq_mlx.guards.loop import Repetition
from qvq_mlx.guards.supervise import Limits, Watch

_OF_THE_TEXT = ("repetition",)  # the other notices say what was done about it: nothing, here
_CHUNK_CHARS = 8_192
_TAIL_CHARS = 4_096
_PROSE_CHARS = 200  # a shorter text is an answer, with or without a full stop
_PROSE_WORDS = 4
_UNSPACED_CHARS = 12
_ANNOUNCES = (":", "：", ",", "，", ":**", "：**")
_ITEM = re.compile(r"\s*(?:[-*+•·]|\(?\d+[.)])\s")
_ENDS = tuple(".!?。！？…．\"'”’»)]}）】」』`|$>*_~")
_THINKING_HEAD = re.compile(
    r"\s*(?:(?:so|okay|ok|alright|all right|hm+|let's|let me|let us|well|first|wait|now|i need|"
    r"i have|i'm|i've|i see|looking|got it)\b|to (?:solve|find|determine|figure)\b|"
    r"所以|好的|好吧|嗯|首先|让我|我需要|我得|我在|这个题|这道题|题目)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Examined:
    """What a saved output holds. `loop` is the first hard one; scripts are counts of letters."""

    transcript: Transcript
    done: Done
    loop: Repetition | None
    notices: tuple[Notice, ...]
    thinking_scripts: dict[Script, int]
    answer_scripts: dict[Script, int]


def examine(text: str, thinking: Thinking) -> Examined:
    """Split `text` and look for loops."""
    watch = Watch(Control(), Limits(), can_conclude=bool(thinking.closing))
    events = watch.events(split(watch.steps(_steps(text, watch)), thinking))
    transcript, done, notices = _folded(events)
    return Examined(
        transcript=transcript,
        done=done,
        loop=watch.loop,
        notices=notices,
        thinking_scripts=scripts(transcript.thinking),
        answer_scripts=scripts(transcript.answer),
    )


def was_cut(text: str, *, answering: bool) -> bool:
    """Whether a text ends in the middle of something; `answering`: within a marked answer."""
    body = text.rstrip()
    tail = body[-_TAIL_CHARS:]
    box = tail.rfind("\\boxed")
    if box >= 0 and boxed(tail[box:]) is None:
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
    """Whether a line that does not end like a sentence should have."""
    return len(line.split()) >= _PROSE_WORDS or (not line.isascii() and len(line) > _UNSPACED_CHARS)


def _steps(text: str, watch: Watch) -> Iterator[Step]:
    for start in range(0, len(text), _CHUNK_CHARS):
        yield Token(0, text[start : start + _CHUNK_CHARS])
    reason = StopReason.END
    if was_cut(text, answering=watch.answering):
        reason = StopReason.LOOP if watch.loop else StopReason.LENGTH
    yield Finished(reason, "", 0, 0, 0, concluded=False)


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
            case Progress():
                pass
            case Done():
                transcript = Transcript("".join(thinking), "".join(answer))
                transcript.add(event)
                return transcript, event, tuple(notices)
    raise AssertionError("the stream ended without Done")


def has_answer(examined: Examined) -> bool:
    """Whether what stands is a whole answer."""
    return examined.done.complete and examined.done.answer_source is not AnswerSource.NONE
