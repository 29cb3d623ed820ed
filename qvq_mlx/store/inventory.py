"""List what is on this disk: models of the Hugging Face cache, shipped ones, pulled data sets.

Law: reading the disk never raises; what is half there is listed with what is wrong with it. A
repository that no card knows is listed where its architecture is one of the cards'.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
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
    found = [entry for card in cards if (entry := _of_card(card, hub_cache))]
    known = {card.repo.casefold() for card in cards if card.repo}
    families = {card.family for card in cards}
    for root in sorted(hub_cache.glob("models--*")):
        repo = root.name.removeprefix("models--").replace("--", "/")
        if repo.casefold() in known:
            continue
        folder = _snapshot(root)
        if folder and _model_type(folder) in families:
            card = ModelCard(name=repo, summary="", family="", licence="", repo=repo)
            found.append(_entry(card, root, folder))
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


def _of_card(card: ModelCard, hub_cache: Path) -> Downloaded | None:
    if card.folder:
        folder = registry.cards_folder() / card.folder
        return _entry(card, folder, folder) if folder.is_dir() else None
    root = hub_cache / f"models--{card.repo.replace('/', '--')}"
    return _entry(card, root, _snapshot(root)) if root.is_dir() else None


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


def _snapshot(root: Path) -> Path | None:
    """The snapshot that a question would take."""
    repo = root.name.removeprefix("models--").replace("--", "/")
    with suppress(OSError):
        return local.current(layout.RepoFolder(root.parent, repo))
    return None


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
