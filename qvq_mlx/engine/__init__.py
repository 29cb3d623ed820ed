"""Runs a model: the only home of mlx, mlx_vlm, tokenizers and numpy. Arrays never leave it.

This module imports none of them, so that a status line can be shown before they are.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Engine
from qvq_mlx.core.events import Notice, Progress, Stage
from qvq_mlx.core.setup import Checkpoint, Setup
from qvq_mlx.core.tokens import Control


def load(
    checkpoint: Checkpoint, setup: Setup, control: Control
) -> Generator[Progress | Notice, None, Engine | None]:
    """Read a checkpoint and what `setup` adds to it. None where `control` stopped the load.

    Raises UnsupportedModelError or BrokenModelError. Opens no socket.
    """
    yield Progress(Stage.LOAD, 0, 0)
    import_mlx()
    from qvq_mlx.engine.session import load_session

    return (yield from load_session(checkpoint, setup, control))


def import_mlx() -> None:
    """Import MLX whole: it aborts the process where a handler raises while it is initialised."""
    with signals_waiting():
        import mlx.core  # noqa: F401


@contextmanager
def signals_waiting() -> Iterator[None]:
    """Have the handlers of SIGINT, SIGTERM and SIGHUP run when the block ends, and not within it.

    A mask would not do: a signal that another thread takes runs its handler in this one, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs no handler there
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in heard
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in map(signal.Signals, came):
            handler = before[number]
            if callable(handler):
                handler(number, None)
            else:
                signal.raise_signal(number)


def loaded(card: ModelCard, folder: Path, setup: Setup | None = None) -> Engine:
    """`load` for a program that shows no progress and does not stop it."""
    steps = load(Checkpoint(card, folder), setup or Setup(), Control())
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            engine: Engine = stop.value
            return engine
