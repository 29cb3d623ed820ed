"""Finds the folder in the Hugging Face cache that a name of a model or a data set stands for."""

from __future__ import annotations

from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import ModelError, ModelNotOnDiskError
from qvq_mlx.core.remedies import PullModel, Show
from qvq_mlx.store import registry
from qvq_mlx.store.layout import RepoFolder, data_set_folders


def repository(name: str, cards_folder: Path, hub_cache: Path) -> tuple[ModelCard, RepoFolder]:
    """The card, and its folder in the cache, which need not exist.

    Raises UnknownModelError, and ModelError for a model that no repository has.
    """
    card = registry.find(name, cards_folder)
    if not card.repo:
        where = "comes with qvq" if not card.folder.startswith("/") else "is a folder of yours"
        raise ModelError(f"{card.name} {where}: it is not in the cache", Show.MODELS)
    return card, RepoFolder(hub_cache, card.repo)


def present_model(name: str, cards_folder: Path, hub_cache: Path) -> RepoFolder:
    """The folder of a model of which something is on this disk. Raises ModelNotOnDiskError."""
    card, folder = repository(name, cards_folder, hub_cache)
    if not folder.root.is_dir():
        raise ModelNotOnDiskError(f"nothing of {card.repo} is on this disk", PullModel(name))
    return folder


def present(name: str, cards_folder: Path, hub_cache: Path) -> RepoFolder:
    """The same, also of a data set that was pulled: by its repository, or the name in it, so that
    `mathvision` is MathLLMs/MathVision. Case does not matter.
    """
    wanted = name.casefold()
    for folder in data_set_folders(hub_cache):
        repo = folder.repo.casefold()
        if wanted in (repo, repo.rpartition("/")[2]):
            return folder
    return present_model(name, cards_folder, hub_cache)
