"""Splits what a model writes into thinking and answer, while it is being written.

The rules are in `answer/splitters.py`; here is the stream around them, and who counts which token.
Not covered here: loops and languages, which are the guards' business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from qvq_mlx.core.card import Thinking
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    Stats,
    ThinkingDelta,
)
from qvq_mlx.core.tokens import Finished, Step, Token
from qvq_mlx.reply.splitters import Splitter, ToldSplitter, splitter


def split(steps: Iterable[Step], thinking: Thinking) -> Iterator[Event]:
    """Turn the engine's items into events; the last one is `Done`, its times not yet filled in.

    Raises AssertionError where `steps` ends without `Finished`.
    """
    rules = splitter(thinking)
    told: ToldSplitter | None = None
    counts = _Counts()
    concluding = False
    for step in steps:
        match step:
            case Progress():
                yield step
            case Token():
                if step.part is not None:
                    rules = told = told or ToldSplitter()
                    told.part = step.part
                if step.forced and not concluding:
                    concluding = True
                    rules.conclude()
                counts.pending += 1
                yield from counts.counted(rules.feed(step.text))
            case Finished():
                yield from counts.counted(rules.feed(step.tail))
                yield from counts.counted(rules.close(step.stop_reason))
                yield _done(rules, counts, step)
                return
            case _:
                assert_never(step)
    raise AssertionError("the engine ended without Finished")


class _Counts:
    """Attributes tokens to thinking and answer. A token counts where its text came out."""

    def __init__(self) -> None:
        self.pending = 0
        self.thinking = 0
        self.answer = 0

    def counted(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            match event:
                case ThinkingDelta(text=text):
                    self.thinking += self.pending
                    yield ThinkingDelta(text, self._take())
                case AnswerDelta(text=text):
                    self.answer += self.pending
                    yield AnswerDelta(text, self._take())
                case AnswerRetracted():
                    self.thinking += self.answer
                    self.answer = 0
                    yield event
                case Progress() | Looked() | Notice() | Done():
                    yield event

    def _take(self) -> int:
        taken, self.pending = self.pending, 0
        return taken


def _done(rules: Splitter, counts: _Counts, finished: Finished) -> Done:
    answering = rules.source not in (AnswerSource.NONE, AnswerSource.WHOLE)
    if answering:
        counts.answer += counts.pending
    else:
        counts.thinking += counts.pending
    generated = counts.thinking + counts.answer
    whole = rules.source is AnswerSource.WHOLE
    return Done(
        stop_reason=finished.stop_reason,
        answer_source=rules.source,
        complete=rules.complete and finished.schema_met is not False,
        concluded=finished.concluded,
        stats=Stats(
            prompt_tokens=finished.prompt_tokens,
            image_tokens=finished.image_tokens,
            generated_tokens=generated,
            thinking_tokens=0 if whole else counts.thinking,
            answer_tokens=generated if whole else counts.answer,
            peak_memory_bytes=finished.peak_memory_bytes,
            load_peak_bytes=finished.peaks.load_bytes,
            encode_peak_bytes=finished.peaks.encode_bytes,
            prefill_peak_bytes=finished.peaks.prefill_bytes,
            cached_tokens=finished.cached_tokens,
            cached_images=finished.cached_images,
            passes=finished.effort.passes,
            drafted_tokens=finished.effort.drafted_tokens,
            accepted_tokens=finished.effort.accepted_tokens,
            drafter=finished.effort.drafter,
            drafter_off=finished.effort.off,
        ),
        schema_met=finished.schema_met,
    )
