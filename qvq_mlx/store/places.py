"""Finds the folder in the Hugging Face cache that a name of a model or a data set stands for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import ModelError, ModelNotOnDiskError, UsageError
from qvq_mlx.core.remedies import PullModel, Show
from qvq_mlx.store import registry
from qvq_mlx.store.layout import RepoFolder, data_set_folders, repo_folders


@dataclass(frozen=True, slots=True)
class Place:
    """A repository's folder, and one commit of it where one is meant."""

    folder: RepoFolder
    commit: str | None = None


def every(hub_cache: Path) -> tuple[Place, ...]:
    """The models and the data sets of a cache."""
    return tuple(map(Place, (*repo_folders(hub_cache), *data_set_folders(hub_cache))))


def repository(name: str, cards_folder: Path, hub_cache: Path) -> tuple[ModelCard, RepoFolder]:
    """The card, and its folder in the cache, which need not exist.

    Raises UnknownModelError, and ModelError for a model that no repository has.
    """
    card = registry.find(name, cards_folder)
    if not card.repo:
        where = "comes with qvq" if not card.folder.startswith("/") else "is a folder of yours"
        raise ModelError(f"{card.name} {where}: it is not in the cache", Show.MODELS)
    return card, RepoFolder(hub_cache, card.repo)


def present_model(
    name: str, cards_folder: Path, hub_cache: Path, revision: str | None = None
) -> Place:
    """The place of a model of which something is on this disk, of one revision where one is named.

    Raises ModelNotOnDiskError, and UsageError where `name` and `revision` name two revisions.
    """
    card, folder = repository(name, cards_folder, hub_cache)
    if not folder.root.is_dir():
        raise ModelNotOnDiskError(f"nothing of {card.repo} is on this disk", PullModel(name))
    wanted = one_revision(card, revision)
    commit = folder.commit_of(wanted) if wanted else None
    if wanted and commit is None:
        raise ModelNotOnDiskError(
            f"{card.repo} has no revision {wanted} on this disk", PullModel(f"{card.repo}@{wanted}")
        )
    return Place(folder, commit)


def one_revision(card: ModelCard, revision: str | None) -> str | None:
    """The revision that a card or an option names. Raises UsageError for two."""
    if revision and card.revision and revision != card.revision:
        raise UsageError(f"{card.name} names its revision, and {revision} is another one")
    return revision or card.revision or None


def present(name: str, cards_folder: Path, hub_cache: Path, revision: str | None = None) -> Place:
    """The same, also of a data set that was pulled: by its repository, or the name in it, so that
    `mathvision` is MathLLMs/MathVision. Case does not matter.
    """
    wanted = name.casefold()
    for folder in data_set_folders(hub_cache):
        repo = folder.repo.casefold()
        if wanted in (repo, repo.rpartition("/")[2]):
            return Place(folder, folder.commit_of(revision) if revision else None)
    return present_model(name, cards_folder, hub_cache, revision)
