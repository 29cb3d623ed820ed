"""Warnings about files that the command does without: they cannot be read, or are no pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from qvq_mlx.render.clean import clean_line

if TYPE_CHECKING:
    from pathlib import Path

    from qvq_mlx.core.env import Env
    from qvq_mlx.core.errors import QvqError
    from qvq_mlx.images.folders import LeftOut


def warn_of_cards(env: Env, folder: Path) -> None:
    """Name the user's model cards that cannot be read, on stderr."""
    from qvq_mlx.store.registry import broken_cards

    warn(env, broken_cards(folder))


def warn_of_left_out(env: Env, left_out: Sequence[LeftOut]) -> None:
    """Say on stderr how many files of which kind a batch does not ask about."""
    from qvq_mlx.images.folders import counted

    env.stderr.write(clean_line(f"left out, not asked about: {counted(left_out)}") + "\n")


def warn(env: Env, faults: Iterable[QvqError]) -> None:
    """A line on stderr for each."""
    for fault in faults:
        said = env.spelling.sentence(fault.parts)
        env.stderr.write(clean_line(f"warning: {said}; it is left out") + "\n")
