"""Warnings about files that cannot be read and that the command does without."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from qvq_mlx.render.clean import clean_line

if TYPE_CHECKING:
    from pathlib import Path

    from qvq_mlx.core.env import Env
    from qvq_mlx.core.errors import QvqError


def warn_of_cards(env: Env, folder: Path) -> None:
    """Name the user's model cards that cannot be read, on stderr."""
    from qvq_mlx.store.registry import broken_cards

    warn(env, broken_cards(folder))


def warn(env: Env, faults: Iterable[QvqError]) -> None:
    """A line on stderr for each."""
    for fault in faults:
        said = env.spelling.sentence(fault.parts)
        env.stderr.write(clean_line(f"warning: {said}; it is left out") + "\n")
