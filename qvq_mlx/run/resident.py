"""A model that stays loaded from one question to the next, and the turn it was loaded in.

Law: at most one engine is held. Where another checkpoint or another setup is asked for, the held
one goes before the new one is read, so that two never lie in memory together; where the set-up
differs in what can be changed on loaded weights, they stay. A model that is to be alone
on this machine holds its turn for as long as it is held; any other gives the turn back.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.env import Engine, EngineLoader
from qvq_mlx.core.events import Done, Event, Notice, Progress
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.setup import Checkpoint, Drafting, Setup
from qvq_mlx.core.tokens import Control
from qvq_mlx.memory.lock import BigModelLock

if TYPE_CHECKING:
    from qvq_mlx.warm.borrowing import BorrowedEngine


@dataclass(frozen=True, slots=True)
class _Held:
    """An engine, what it was made of, and the set-up that its weights were `loaded` for."""

    checkpoint: Checkpoint
    setup: Setup
    engine: Engine
    loaded: Setup


class ResidentModel:
    """One engine, or none yet. `load` is an `EngineLoader`; `close` at the end, in a `finally`.

    One question: `engine_for`, and `settle` in a `finally`. `servers` is the folder where running
    servers may lend the model; None: none is asked.
    """

    def __init__(self, load: EngineLoader, turn: BigModelLock, servers: Path | None = None) -> None:
        self.turn = turn
        self._load = load
        self._servers = servers
        self._borrowed: BorrowedEngine | None = None  # for the question that is asked now
        self._answered_elsewhere = False
        self._held: _Held | None = None
        self._alone = False

    def engine_for(self, plan: Plan, control: Control) -> Generator[Event, None, Engine | None]:
        """The engine that answers `plan`: a running server's where one lends it, else our own.

        None where `control` stopped it.
        """
        self._borrowed = yield from self._borrow(plan, control)
        self._answered_elsewhere = self._borrowed is not None
        if self._borrowed is None:
            return (yield from self._own(plan, control))
        return self._borrowed if (yield from self._borrowed.loaded()) else None

    def _own(self, plan: Plan, control: Control) -> Generator[Event, None, Engine | None]:
        """One big model at a time: the turn is taken before the load."""
        resolved, wait = plan.resolved, plan.request.policy.wait
        if plan.alone and not (yield from self.turn.take(control, wait=wait)):
            return None
        return (yield from self.load(resolved.checkpoint, resolved.setup, control))

    def _borrow(
        self, plan: Plan, control: Control
    ) -> Generator[Event, None, BorrowedEngine | None]:
        """None where no server runs, or where a model is held here."""
        if self._servers is None or self._held is not None or not plan.request.policy.server:
            return None
        if not (self._servers / "warm").exists():  # a running server makes it: few questions do
            return None
        from qvq_mlx.warm.places import folder_for, sockets

        folder = folder_for(self._servers)
        if not sockets(folder):
            return None
        from qvq_mlx.warm.borrowing import borrowed

        return (yield from borrowed(folder, plan, partial(self._own, plan), control))

    def load(
        self, checkpoint: Checkpoint, setup: Setup, control: Control
    ) -> Generator[Progress | Notice, None, Engine | None]:
        """The engine that is held where it is the same; else the new one, which is held then.

        None where `control` stopped the load.
        """
        held = self._held
        if held is not None and held.checkpoint == checkpoint:
            if held.setup == setup:
                return held.engine
            if _serves(held.loaded, setup):
                self._held = replace(held, setup=setup, engine=held.engine.under(setup))
                return self._held.engine
        held = self._held = None  # both names, or the old weights stay while the new ones come
        engine = yield from self._load(checkpoint, setup, control)
        if engine is not None:
            self._held = _Held(checkpoint, setup, engine, setup)
        return engine

    def told(self, event: Event) -> Event:
        """The same event of the question that is asked now, `Done` with the server that answered,
        if one did.
        """
        if self._borrowed is None or not isinstance(event, Done):
            return event
        return replace(event, stats=replace(event.stats, server_pid=self._borrowed.server_pid))

    @property
    def holds(self) -> bool:
        """True if a model is loaded, here or where it was borrowed last."""
        return self._held is not None or self._answered_elsewhere

    def settle(self, checkpoint: Checkpoint, *, alone: bool) -> None:
        """A question about `checkpoint` has ended, however: give back what was borrowed.

        The turn is kept only where it is needed.

        `alone`: no second big model may be loaded beside this one.
        """
        if self._borrowed is not None:
            self._borrowed.close()
            self._borrowed = None
        if self._held is not None and self._held.checkpoint == checkpoint:
            self._alone = alone
        if self._held is None or not self._alone:
            self.turn.release()

    def close(self) -> None:
        """Nothing is held any more. May be called at any time, and again."""
        self._held = None
        self.turn.release()


def _serves(loaded: Setup, wanted: Setup) -> bool:
    """True if what was read for one set-up is enough for another: whether a draft model or an MTP
    head is read depends on how it is to draft.
    """
    if wanted.drafting in (Drafting.NONE, Drafting.LOOKUP):
        return True
    return (loaded.drafting, loaded.draft_model) == (wanted.drafting, wanted.draft_model)
