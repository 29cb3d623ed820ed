"""A stream that is torn from inside still ends with `Done`.

Law: KeyboardInterrupt and SystemExit, which a signal raises where the loop does not come back to
read `Control`, become the stream's `Done`: interrupted, with the tokens that were seen. Every other
exception passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerSource,
    Done,
    Event,
    Stats,
    StopReason,
    ThinkingDelta,
)


def ended(events: Iterable[Event]) -> Iterator[Event]:
    """The same events, and `Done` in any case but that of an error."""
    thinking, answer, over = 0, 0, False
    try:
        for event in events:
            match event:
                case ThinkingDelta(tokens=tokens):
                    thinking += tokens
                case AnswerDelta(tokens=tokens):
                    answer += tokens
                case Done():
                    over = True
                case _:
                    pass
            yield event
    except (KeyboardInterrupt, SystemExit):
        if over:
            raise
        stats = Stats(
            generated_tokens=thinking + answer, thinking_tokens=thinking, answer_tokens=answer
        )
        yield Done(StopReason.INTERRUPT, AnswerSource.NONE, False, False, stats)
