"""Runs a model: the only home of mlx, mlx_vlm, tokenizers and numpy. Arrays never leave it.

This module imports none of them, so that a status line can be shown before they are.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Engine
from qvq_mlx.core.events import Progress, Stage
from qvq_mlx.core.tokens import Control


def load(
    card: ModelCard, folder: Path, control: Control
) -> Generator[Progress, None, Engine | None]:
    """Read the checkpoint in `folder` (an absolute path). None where `control` stopped the load.

    Raises UnsupportedModelError or BrokenModelError. Opens no socket.
    """
    yield Progress(Stage.LOAD, 0, 0)
    from qvq_mlx.engine.session import load_session

    return (yield from load_session(card, folder, control))


def loaded(card: ModelCard, folder: Path) -> Engine:
    """`load` for a program that shows no progress and does not stop it."""
    steps = load(card, folder, Control())
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            engine: Engine = stop.value
            return engine
