"""A model that stays loaded from one question to the next, and the turn it was loaded in.

Law: at most one engine is held. Where another checkpoint or another setup is asked for, the held
one goes before the new one is read, so that two never lie in memory together. A model that is to
be alone on this machine holds its turn for as long as it is held; any other gives the turn back.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from qvq_mlx.core.env import Engine, EngineLoader
from qvq_mlx.core.events import Progress
from qvq_mlx.core.setup import Checkpoint, Setup
from qvq_mlx.core.tokens import Control
from qvq_mlx.memory.lock import BigModelLock


@dataclass(frozen=True, slots=True)
class _Held:
    """An engine, and what it was made of."""

    checkpoint: Checkpoint
    setup: Setup
    engine: Engine


class ResidentModel:
    """One engine, or none yet. `load` is an `EngineLoader`; `close` at the end, in a `finally`.

    One question: `turn.take` where the model is to be alone, `load`, and `settle` in a `finally`.
    """

    def __init__(self, load: EngineLoader, turn: BigModelLock) -> None:
        self.turn = turn
        self._load = load
        self._held: _Held | None = None
        self._alone = False

    def load(
        self, checkpoint: Checkpoint, setup: Setup, control: Control
    ) -> Generator[Progress, None, Engine | None]:
        """The engine that is held where it is the same; else the new one, which is held then.

        None where `control` stopped the load.
        """
        held = self._held
        if held is not None and (held.checkpoint, held.setup) == (checkpoint, setup):
            return held.engine
        held = self._held = None  # both names, or the old weights stay while the new ones come
        engine = yield from self._load(checkpoint, setup, control)
        if engine is not None:
            self._held = _Held(checkpoint, setup, engine)
        return engine

    @property
    def holds(self) -> bool:
        """True if a model is loaded."""
        return self._held is not None

    def settle(self, checkpoint: Checkpoint, *, alone: bool) -> None:
        """A question about `checkpoint` has ended, however: keep the turn only where it is needed.

        `alone`: no second big model may be loaded beside this one.
        """
        if self._held is not None and self._held.checkpoint == checkpoint:
            self._alone = alone
        if self._held is None or not self._alone:
            self.turn.release()

    def close(self) -> None:
        """Nothing is held any more. May be called at any time, and again."""
        self._held = None
        self.turn.release()
