"""Weights that are on this disk: where a snapshot lies, and whether it is whole.

The standard library alone: asking imports no network code. The layout of the cache is
huggingface_hub's: `models--org--name/refs/main` names a revision under `snapshots/`.
Law: a snapshot is whole when the files that a model needs are there, the index names shards that
hold what it says they hold, and every safetensors file is as long as its own header says
(8 + header + last offset). Hashes are `qvq verify`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import BrokenModelError, ModelNotOnDiskError
from qvq_mlx.core.remedies import Ask, Field, PullModel, RunProgram, Show, VerifyModel
from qvq_mlx.families import check_runs
from qvq_mlx.store import layout
from qvq_mlx.store.checkpoint import INDEX, INDEX_BYTES, read_json
from qvq_mlx.system.reading import parse_json, read_text

_REQUIRED = ("config.json", "tokenizer.json")
_HEADER_BYTES = INDEX_BYTES  # the format allows 100 MB, which JSON makes GiB of


def snapshot(card: ModelCard, hub_cache: Path) -> Path:
    """The whole snapshot of `card.repo`. Raises ModelNotOnDiskError or BrokenModelError."""
    repo = layout.RepoFolder(hub_cache, card.repo)
    folder = current(repo, card.revision)
    if folder is None:
        raise _absent(card, repo)
    check(folder, card)
    return folder.resolve()


def current(repo: layout.RepoFolder, revision: str = "") -> Path | None:
    """The snapshot of a revision; without one that of `main`, else the only one. None for none."""
    if revision:
        commit = repo.commit_of(revision)
        return repo.snapshot(commit) if commit else None
    with suppress(OSError, ValueError):  # it is no reference
        name = read_text(repo.root / "refs" / "main", layout.REFERENCE_BYTES).strip()
        if name and repo.snapshot(name).is_dir():
            return repo.snapshot(name)
    commits = [commit for commit in repo.commits() if repo.snapshot(commit).is_dir()]
    return repo.snapshot(commits[0]) if len(commits) == 1 else None


def current_commit(repo: layout.RepoFolder) -> str | None:
    """The commit of the snapshot that a question takes; None where there is none."""
    folder = current(repo)
    return folder.name if folder else None


def check(folder: Path, card: ModelCard) -> None:
    """Raise BrokenModelError where a file that is needed is missing, empty, cut or wrong, and
    UnsupportedModelError where it is a folder of another kind, or another architecture: that comes
    first, since no file that is missing would help.
    """
    check_kind(folder, card.repo)
    listing = RunProgram(("ls", "-l", str(folder)))
    wanted = (*_REQUIRED, *_weights(folder))
    missing = [name for name in wanted if not layout.size_of(folder / name)]
    if missing:
        more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
        if card.repo and _is_as_published(folder, card.repo, missing):
            raise BrokenModelError(
                f"{missing[0]}{more} missing in {card.repo} itself, which is here as it is",
                Show.MODELS,
            )
        raise BrokenModelError(
            f"{missing[0]}{more} missing in {folder}",
            PullModel(card.source) if card.repo else listing,
        )
    for fault in _faults(folder):
        raise BrokenModelError(
            f"{fault} in {folder}", VerifyModel(card.repo) if card.repo else listing
        )


def check_kind(folder: Path, repo: str = "") -> None:
    """Raise UnsupportedModelError for a folder of another kind or of an architecture that is not
    run, whatever else is wrong with it.
    """
    if not (folder / "config.json").is_file():
        from qvq_mlx.store.foreign import error_for_folder

        if error := error_for_folder(folder):
            raise error
        return
    with suppress(BrokenModelError):  # whoever needs it says so
        check_runs(read_json(folder / "config.json"), repo or folder)


def _is_as_published(folder: Path, repo: str, missing: Collection[str]) -> bool:
    """True if a pull brought all that the repository has there, and of `missing` nothing."""
    listed = layout.brought(layout.RepoFolder(folder.parent.parent.parent, repo), folder.name)
    return bool(listed) and listed.isdisjoint(missing)


def _faults(folder: Path) -> Iterator[str]:
    """Describe what is wrong with the weights."""
    mapped = _index(folder) or {}
    tensors: dict[str, set[str]] = {}
    for name in _weights(folder):
        try:
            tensors[name] = _tensors(folder / name)
        except ValueError as error:
            yield f"{name} is {error}"
            return
    for tensor, name in mapped.items():
        if tensor not in tensors[name]:
            yield f"{name} does not hold {tensor}, which the index says it holds,"
            return


def _tensors(path: Path) -> set[str]:
    """The names in a safetensors file. ValueError says what is wrong with it.

    Source: the format's definition: an unsigned 64-bit little-endian length, JSON, the bytes.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_HEADER_BYTES, size - 8):
            raise ValueError(f"no whole safetensors file ({size:,} bytes)")
        try:
            header: Any = parse_json(file.read(length))
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            ends = [int(entry["data_offsets"][1]) for entry in entries.values()]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            raise ValueError("no safetensors file: its header cannot be read") from None
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise ValueError(f"{size:,} bytes long and should be {expected:,}")
    return set(entries)


def weight_bytes(folder: Path) -> int:
    """The size of the weight files in `folder`; 0 where there are none."""
    files = (folder / name for name in _weights(folder))
    return sum(path.stat().st_size for path in files if path.is_file())


def holds_head(card: ModelCard, folder: Path) -> bool:
    """True if the checkpoint in `folder` holds an MTP head; only hybrid models have one.

    By its weights' names: many conversions drop the weights, and config.json still states them.
    """
    if card.shape is None or card.shape.recurrent is None or not folder.is_dir():
        return False
    return _names_head(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _names_head(folder: Path, _changed_ns: int) -> bool:
    """The same of a folder that was changed then, read once for all estimates of a run."""
    from qvq_mlx.families.hybrid import MTP  # most models are none

    names: set[str] = set(_index(folder) or ())
    with suppress(OSError, ValueError):
        if not names:
            names.update(*(_tensors(folder / name) for name in _weights(folder)))
    return any(name.startswith(MTP) or f".{MTP}" in name for name in names)


def fingerprint(folder: Path) -> str:
    """A hash that tells the checkpoint in `folder` from any other, without reading its weights.

    Law: a file of the hub's cache is known by its blob's name, which is the hash of its bytes; any
    other by its size and the time it was written: whoever rewrites a file changes its time.
    """
    digest = hashlib.sha256()
    for name in (*_REQUIRED, *_weights(folder)):
        path = folder / name
        blob = path.readlink().name if path.is_symlink() else ""
        if not layout.is_blob(blob):
            status = path.stat()
            blob = f"{status.st_size} {status.st_mtime_ns}"
        digest.update(f"{name} {blob}\n".encode())
    return digest.hexdigest()


def _weights(folder: Path) -> tuple[str, ...]:
    """The weight files that the folder must hold."""
    if not (folder / INDEX).is_file():
        found = tuple(sorted(path.name for path in folder.glob("[!.]*.safetensors")))
        return found or ("model.safetensors",)
    mapped = _index(folder)
    if not mapped:
        return (INDEX + " (readable)",)
    return tuple(sorted(set(mapped.values())))


def _index(folder: Path) -> dict[str, str] | None:
    """Tensor to file; None where there is no index that can be read."""
    try:
        names = dict(read_json(folder / INDEX)["weight_map"])
    except (BrokenModelError, ValueError, KeyError, TypeError):
        return None
    fine = all(isinstance(name, str) and layout.is_path(name) for name in names.values())
    return names if fine else None


def _absent(card: ModelCard, repo: layout.RepoFolder) -> ModelNotOnDiskError:
    """Nothing, or the beginning of it."""
    pull = PullModel(card.source)
    begun = layout.unfinished(repo)
    if begun is None and not card.revision and (commits := repo.commits()):
        names = [f"{card.name}@{repo.short(commit)}" for commit in commits]
        return ModelNotOnDiskError(
            f"{card.name} is not on this disk; {', '.join(names[:3])} can be taken",
            Ask(settings=((Field.MODEL, names[0]),)),
        )
    if begun is None:
        size = (
            f" ({card.download_bytes / 2**30:.1f} GiB to download)" if card.download_bytes else ""
        )
        return ModelNotOnDiskError(
            f"{card.name} is not on this disk{size}; nothing lies in {repo.root}", pull
        )
    files = {file.blob: file for file in begun.files}.values()
    here = sum(
        file.size_bytes if layout.is_whole(repo, file) else layout.arrived_bytes(repo, file)
        for file in files
    )
    total = sum(file.size_bytes for file in files)
    return ModelNotOnDiskError(
        f"{card.name} is only partly on this disk: {here:,} of {total:,} bytes; pulling it again"
        " goes on from there",
        pull,
    )
