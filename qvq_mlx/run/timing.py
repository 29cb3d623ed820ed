"""Time and the stream: how long each stage took, and how fast tokens may come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from qvq_mlx.core.events import AnswerDelta, Done, Event, Progress, Stage, ThinkingDelta
from qvq_mlx.core.tokens import Step, Token

Pace = Callable[[Iterator[Step]], Iterator[Step]]
"""Hands the engine's items on; `iter` as they come."""


class Stopwatch:
    """Times one run: `Done` carries the seconds.

    Law: a stage lasts from its first progress event to the first event of another kind.
    `first_token_s` starts with the watch; `thinking_s` and `decode_s` at the first delta, or at
    the first progress of a vote, whose deltas come when it is over. A double check is not decoding.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = self._stage_started = clock()
        self._stages = dict.fromkeys(Stage, 0.0)
        self._stage: Stage | None = None
        self._first: float | None = None
        self._answer_started: float | None = None
        self._ended: float | None = None
        self._looked = 0.0  # since the first token

    def timed(self, event: Event) -> Event:
        """The same event, `Done` with the seconds."""
        now = self._clock()
        stage = event.stage if isinstance(event, Progress) else None
        if self._stage is not None and stage is not self._stage:
            self._stages[self._stage] += now - self._stage_started
            if self._stage is Stage.LOOK and self._first is not None:
                self._looked += now - self._stage_started
        if stage is not self._stage:
            self._stage, self._stage_started = stage, now
        if stage is Stage.DOUBLE_CHECK and self._ended is None:
            self._ended = now
        if isinstance(event, ThinkingDelta | AnswerDelta) or stage is Stage.VOTE:
            self._first = now if self._first is None else self._first
            if isinstance(event, ThinkingDelta):
                self._answer_started = None
            elif isinstance(event, AnswerDelta) and self._answer_started is None:
                self._answer_started = now
        return self._stamped(event, now) if isinstance(event, Done) else event

    def _stamped(self, done: Done, now: float) -> Done:
        end = now if self._ended is None else self._ended
        begin = end if self._first is None else self._first
        thought_until = end if self._answer_started is None else self._answer_started
        stats = replace(
            done.stats,
            load_s=self._stages[Stage.LOAD],
            encode_s=self._stages[Stage.ENCODE],
            prefill_s=self._stages[Stage.PREFILL],
            first_token_s=begin - self._started,
            thinking_s=thought_until - begin - self._looked,
            decode_s=end - begin - self._looked,
            look_s=self._stages[Stage.LOOK],
            double_check_s=self._stages[Stage.DOUBLE_CHECK],
        )
        return replace(done, stats=stats)


def timed(events: Iterable[Event], clock: Callable[[], float]) -> Iterator[Event]:
    """The same events, timed from the first pull on."""
    watch = Stopwatch(clock)
    yield from map(watch.timed, events)


def paced(
    steps: Iterable[Step],
    tokens_per_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[Step]:
    """The same items, tokens no faster than `tokens_per_s` on average: a small model at the
    speed of a large one, to see what the screen does.
    """
    started: float | None = None
    count = 0
    for step in steps:
        if isinstance(step, Token):
            started = clock() if started is None else started
            early_s = started + count / tokens_per_s - clock()
            if early_s > 0:
                sleep(early_s)
            count += 1
        yield step
