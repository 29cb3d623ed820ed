"""The end of a run: a stream that is torn from inside still ends with `Done`, and a person who
looks elsewhere hears of the end of a long run.

Law: KeyboardInterrupt and SystemExit, which a signal raises where the loop does not come back to
read `Control`, become the stream's `Done`: interrupted, with the tokens that were seen. Every other
exception passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import HungUpError, StoppedError, TerminatedError
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
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.tokens import Control
from qvq_mlx.settings.config import Settings

NOTIFIED_AFTER_S = 30.0
"""A person waits in front of the screen for what is shorter."""


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
                case Progress() | AnswerRetracted() | Looked() | Notice():
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


@contextmanager
def notifying(env: Env, settings: Settings, what: str) -> Iterator[None]:
    """Notify the person that `what` is done or failed, if it took long and nobody stopped it."""
    begun_at, word = env.clock(), "failed"
    try:
        yield
        word = "is done"
    except (StoppedError, TerminatedError, HungUpError, OSError, KeyboardInterrupt):
        word = ""  # who stopped it knows, and who hung up is not there
        raise
    finally:
        if word and settings.notify and env.clock() - begun_at >= NOTIFIED_AFTER_S:
            from qvq_mlx.render.notification import notify

            notify(f"{what} {word}", env)
