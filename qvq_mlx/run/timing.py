"""Time and the stream: how long each stage took, and how fast tokens may come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from qvq_mlx.core.events import AnswerDelta, Done, Event, Progress, Stage, ThinkingDelta
from qvq_mlx.core.tokens import Step, Token

Pace = Callable[[Iterator[Step]], Iterator[Step]]
"""Hands the engine's items on; `iter` as they come."""


def timed(events: Iterable[Event], clock: Callable[[], float]) -> Iterator[Event]:
    """The same events; `Done` carries the seconds.

    Law: a stage lasts from its first progress event to the first event of another kind.
    `first_token_s` starts at the first pull; `thinking_s` and `decode_s` at the first delta, or at
    the first progress of a vote, whose deltas come when it is over. A double check is not decoding.
    """
    started = clock()
    stages = dict.fromkeys(Stage, 0.0)
    stage: Stage | None = None
    stage_started = started
    first: float | None = None
    answer_started: float | None = None
    ended: float | None = None
    for event in events:
        now = clock()
        new_stage = event.stage if isinstance(event, Progress) else None
        if stage is not None and new_stage is not stage:
            stages[stage] += now - stage_started
        if new_stage is not stage:
            stage, stage_started = new_stage, now
        if new_stage is Stage.DOUBLE_CHECK and ended is None:
            ended = now
        if isinstance(event, ThinkingDelta | AnswerDelta) or new_stage is Stage.VOTE:
            first = now if first is None else first
            if isinstance(event, ThinkingDelta):
                answer_started = None
            elif isinstance(event, AnswerDelta) and answer_started is None:
                answer_started = now
        if isinstance(event, Done):
            end = now if ended is None else ended
            begin = end if first is None else first
            event = replace(
                event,
                stats=replace(
                    event.stats,
                    load_s=stages[Stage.LOAD],
                    encode_s=stages[Stage.ENCODE],
                    prefill_s=stages[Stage.PREFILL],
                    first_token_s=begin - started,
                    thinking_s=(end if answer_started is None else answer_started) - begin,
                    decode_s=end - begin,
                    double_check_s=stages[Stage.DOUBLE_CHECK],
                ),
            )
        yield event


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
