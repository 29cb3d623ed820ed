"""A question of a benchmark: its prompt, its pictures, its gold answer and its strata."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from qvq_mlx.core.request import Placement
from qvq_mlx.evaluate.gold import Gold

Strata = tuple[tuple[str, str], ...]
"""Pairs such as ("subject", "algebra"), in the order in which the report has them."""


class PromptStyle(StrEnum):
    """Whose prompts are used, and where the pictures stand."""

    OFFICIAL = "official"
    """The benchmark's own text; pictures at `<image n>`."""
    VLMEVALKIT = "vlmevalkit"
    """VLMEvalKit's text for Qwen2-VL and QVQ; pictures first."""

    @property
    def placement(self) -> Placement:
        """Return where the pictures stand in the prompt."""
        return Placement.INLINE if self is PromptStyle.OFFICIAL else Placement.PLAIN


@dataclass(frozen=True, slots=True)
class Outline:
    """The key of stratified sampling: a question's name and its strata."""

    id: str
    strata: Strata


@dataclass(frozen=True, slots=True)
class Question:
    """A question for the model. `prompt` has `<image 1>` where the first picture stands, and so on.

    A picture that has no such place stands before the prompt.
    """

    id: str
    prompt: str
    pictures: tuple[bytes, ...]
    gold: Gold
    strata: Strata
