"""List what is on this disk: models of the Hugging Face cache, shipped ones, pulled data sets.

Law: reading the disk never raises; what is half there is listed with what is wrong with it. A
repository that no card knows is listed where its architecture is one of the cards'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import BrokenModelError, ModelError
from qvq_mlx.core.remedies import Remedy, RunProgram
from qvq_mlx.store import layout, local, registry
from qvq_mlx.store.checkpoint import read_json


@dataclass(frozen=True, slots=True)
class Downloaded:
    """One model or data set on this disk. `problem` is empty where it is whole; `revision` may be.

    `remedy` mends it; None where nothing is to be mended.
    """

    name: str
    repo: str
    folder: Path
    revision: str
    size_bytes: int
    problem: str
    remedy: Remedy | None = None
    kind: layout.RepoKind = layout.RepoKind.MODEL


def inventory(cards: Sequence[ModelCard], hub_cache: Path) -> tuple[Downloaded, ...]:
    """Every model on this disk, in the order of the cards, then the repositories without one."""
    found = [entry for card in cards for entry in _of_card(card, hub_cache)]
    known = {card.repo.casefold() for card in cards if card.repo}
    families = {card.family for card in cards}
    for root in sorted(hub_cache.glob("models--*")):
        repo = root.name.removeprefix("models--").replace("--", "/")
        if repo.casefold() in known:
            continue
        card = ModelCard(name=repo, summary="", family="", licence="", repo=repo)
        snapshots = [folder for _, folder in _revisions(card, hub_cache)]
        if any(_model_type(folder) in families for folder in snapshots):
            found += _of_card(card, hub_cache)
    return tuple(found)


def data_sets(hub_cache: Path) -> tuple[Downloaded, ...]:
    """Every data set that qvq pulled, ordered by name."""
    return tuple(map(_of_data_set, layout.data_set_folders(hub_cache)))


def is_here(card: ModelCard, hub_cache: Path) -> bool:
    """True if the whole model is on this disk."""
    try:
        registry.folder_of(card, hub_cache)
    except (ModelError, OSError):
        return False
    return True


def _of_card(card: ModelCard, hub_cache: Path) -> Iterator[Downloaded]:
    """The model that a question takes, then its other revisions, called `name@revision`."""
    if card.folder:
        folder = registry.cards_folder() / card.folder
        if folder.is_dir():
            yield _entry(card, folder, folder)
        return
    root = hub_cache / f"models--{card.repo.replace('/', '--')}"
    revisions = _revisions(card, hub_cache)
    if not revisions and root.is_dir():
        yield _entry(card, root, None)
    for name, folder in revisions:
        yield _entry(replace(card, name=name), root, folder)


def _revisions(card: ModelCard, hub_cache: Path) -> list[tuple[str, Path]]:
    """The snapshots of a repository with the names that commands take; that of `main` first."""
    repo = layout.RepoFolder(hub_cache, card.repo)
    with suppress(OSError):
        main = local.current(repo, card.revision)
        others = [folder for folder in map(repo.snapshot, repo.commits()) if folder != main]
        named = [(f"{card.name}@{repo.short(folder.name)}", folder) for folder in others]
        return [(card.name, main), *named] if main else named
    return []


def _of_data_set(folder: layout.RepoFolder) -> Downloaded:
    commit = folder.commit_of("main")
    place = folder.snapshot(commit) if commit else folder.root
    size = sum(_size(path) for path in place.rglob("*"))
    problem = "" if commit and layout.unfinished(folder) is None else "not all of it is here"
    return Downloaded(
        folder.repo, folder.repo, place, commit or "", size, problem, kind=folder.kind
    )


def _entry(card: ModelCard, root: Path, folder: Path | None) -> Downloaded:
    problem, remedy = "", None
    try:
        if folder:
            local.check(folder, card)
        else:
            problem = "no snapshot"
            local.snapshot(card, root.parent)  # raises, with the remedy that gets one
    except ModelError as error:
        problem, remedy = problem or error.message, error.remedy
    except OSError as error:
        problem, remedy = problem or str(error), RunProgram(("ls", "-l", str(folder or root)))
    size = sum(_size(path) for path in (folder or root).rglob("*"))
    revision = folder.name if folder and folder.parent.name == "snapshots" else ""
    return Downloaded(card.name, card.repo, folder or root, revision, size, problem, remedy)


def _size(path: Path) -> int:
    """Of a file; 0 of anything else, such as a link to nothing."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _model_type(folder: Path) -> str:
    try:
        return str(read_json(folder / "config.json", missing_ok=True).get("model_type", ""))
    except BrokenModelError:
        return ""
