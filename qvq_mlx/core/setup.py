"""Set-up of an engine besides its weights: who drafts for it, and what it may cache."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qvq_mlx.core.card import ModelCard


class Drafting(StrEnum):
    """The drafters: who proposes tokens for the model to verify. It never changes the text."""

    AUTO = "auto"
    """The card's draft model where it is on this disk, else the checkpoint's own MTP head, else
    prompt lookup; whichever pays."""
    NONE = "none"
    """Nobody: one token a pass."""
    LOOKUP = "lookup"
    """The prompt and the output themselves, where they repeat."""
    MTP = "mtp"
    """The checkpoint's own head for multi-token prediction."""
    MODEL = "model"
    """The draft model that the user named."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A card, and the absolute folder of its weights."""

    card: ModelCard
    folder: Path


@dataclass(frozen=True, slots=True)
class Setup:
    """`draft_model` is there for AUTO, where the card's is on this disk, and for MODEL.

    `draft_tokens` 0 drafts as many tokens as pay; otherwise always as many, whatever it costs.
    `cache_folder` None keeps nothing on disk; otherwise prefixes of images up to `cache_max_bytes`
    together, and what drafting costs on this machine.
    """

    drafting: Drafting = Drafting.NONE
    draft_model: Checkpoint | None = None
    draft_tokens: int = 0
    cache_folder: Path | None = None
    cache_max_bytes: int = 0
