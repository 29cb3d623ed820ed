"""Finds the folder in the Hugging Face cache that a model's name stands for."""

from __future__ import annotations

from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import ModelError, ModelNotOnDiskError
from qvq_mlx.core.remedies import PullModel, Show
from qvq_mlx.store import registry
from qvq_mlx.store.layout import RepoFolder


def repository(name: str, cards_folder: Path, hub_cache: Path) -> tuple[ModelCard, RepoFolder]:
    """The card, and its folder in the cache, which need not exist.

    Raises UnknownModelError, and ModelError for a model that no repository has.
    """
    card = registry.find(name, cards_folder)
    if not card.repo:
        where = "comes with qvq" if not card.folder.startswith("/") else "is a folder of yours"
        raise ModelError(f"{card.name} {where}: it is not in the cache", Show.MODELS)
    return card, RepoFolder(hub_cache, card.repo)


def present(name: str, cards_folder: Path, hub_cache: Path) -> tuple[ModelCard, RepoFolder]:
    """The same, for a model of which something is on this disk. Raises ModelNotOnDiskError."""
    card, folder = repository(name, cards_folder, hub_cache)
    if not folder.root.is_dir():
        raise ModelNotOnDiskError(f"nothing of {card.repo} is on this disk", PullModel(name))
    return card, folder
