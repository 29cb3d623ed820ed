"""A supervised run that is fed: `supervise` for samples whose steps come interleaved.

Law: the same pipeline as a run of its own, step by step. `feed` returns when all that a step makes
certain has come out and the guards have judged it; so a budget or a loop steers this sample before
the engine is asked for its next token, as it does in a single run. No thread is needed: where the
pipeline wants more than there is, it is given a progress item, which passes straight through, and
that is the sign to stop pulling.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from qvq_mlx.core.card import Thinking
from qvq_mlx.core.events import Event, Progress, Stage
from qvq_mlx.core.tokens import Control, Step
from qvq_mlx.guards.supervise import GuardLimits, supervise

_EMPTY = Progress(Stage.VOTE, 0, 0)  # told from others by identity


class PushedRun:
    """One sample: its guards, its splitter, and the `events` so far, the last of them `Done`.

    `control` is what the engine must read for this sample.
    """

    def __init__(self, thinking: Thinking, limits: GuardLimits, control: Control) -> None:
        self.control = control
        self.events: list[Event] = []
        self._due: deque[Step] = deque()
        self._pipeline = supervise(self._steps(), thinking, control, limits)
        self._run_dry()  # a budget of 0 is spent before the first token

    def feed(self, step: Step) -> list[Event]:
        """Take the next step of this sample, up to and including `Finished`; what came of it."""
        self._due.append(step)
        before = len(self.events)
        self._run_dry()
        return self.events[before:]

    def _run_dry(self) -> None:
        for event in self._pipeline:
            if event is _EMPTY:
                return
            self.events.append(event)

    def _steps(self) -> Iterator[Step]:
        while True:
            yield self._due.popleft() if self._due else _EMPTY
