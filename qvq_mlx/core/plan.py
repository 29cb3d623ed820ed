"""What will be done for one request, decided before anything heavy is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling


@dataclass(frozen=True, slots=True)
class Plan:
    """A request with every name resolved and every default filled in.

    `folder` is the absolute path of the checkpoint; `system` None sends no system message;
    `budget_tokens` None sets no bounds to the thinking.
    """

    question: str
    card: ModelCard
    folder: Path
    pictures: tuple[Picture, ...]
    system: str | None
    sampling: Sampling
    max_tokens: int
    budget_tokens: int | None = None
    answer_tokens: int = 1024
