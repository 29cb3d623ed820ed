"""Runs a model: the only home of mlx, mlx_vlm, tokenizers and numpy. Arrays never leave it.

This module imports none of them, so that a status line can be shown before they are.
"""

from __future__ import annotations

from collections.abc import Generator
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
    from qvq_mlx.engine.session import load_session

    return (yield from load_session(checkpoint, setup, control))


def loaded(card: ModelCard, folder: Path, setup: Setup | None = None) -> Engine:
    """`load` for a program that shows no progress and does not stop it."""
    steps = load(Checkpoint(card, folder), setup or Setup(), Control())
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            engine: Engine = stop.value
            return engine
