"""A stream that is torn from inside still ends with `Done`.

Law: KeyboardInterrupt and SystemExit, which a signal raises where the loop does not come back to
read `Control`, become the stream's `Done`: interrupted, with the tokens that were seen. Every other
exception passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    Event,
    Notice,
    Progress,
    Stats,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.tokens import Control


def ended(events: Iterable[Event], control: Control) -> Iterator[Event]:
    """The same events, and `Done` in any case but that of an error. Tells `control` of it first."""
    thinking, answer, control.over = 0, 0, False
    try:
        for event in events:
            match event:
                case ThinkingDelta(tokens=tokens):
                    thinking += tokens
                case AnswerDelta(tokens=tokens):
                    answer += tokens
                case Done():
                    control.over = True
                case Progress() | AnswerRetracted() | Notice():
                    pass
            yield event
    except (KeyboardInterrupt, SystemExit):
        if control.over:
            raise
        control.over = True
        stats = Stats(
            generated_tokens=thinking + answer, thinking_tokens=thinking, answer_tokens=answer
        )
        yield Done(StopReason.INTERRUPT, AnswerSource.NONE, False, False, stats)
