"""Find what can be deleted: a model, one of its revisions, or what nothing needs any more.

Law: a blob goes when no snapshot that stays links to it, and no unfinished pull wants it. First
the references and links go, then the bytes, so that a model whose removal is interrupted is
absent, not half. Only models and data sets that qvq pulled or imported are tidied up; others are
another program's business.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.store import layout
from qvq_mlx.store.verify import links

_DAY_S = 86_400.0
_UNFINISHED_S = 30 * _DAY_S


@dataclass(frozen=True, slots=True)
class Garbage:
    """Paths to delete, in this order, and the bytes that this frees."""

    what: str
    paths: tuple[Path, ...]

    @property
    def freed_bytes(self) -> int:
        """The sizes of the files; links are nothing."""
        files = {file for path in self.paths for file in _files(path)}
        return sum(file.stat().st_size for file in files)


def model(folder: layout.RepoFolder) -> Garbage:
    """All of a model: references, snapshots, bytes, and its locks."""
    names = ("refs", "snapshots", "blobs")
    first = tuple(path for name in names if (path := folder.root / name).exists())
    rest = tuple(path for path in (folder.root, folder.lock_file.parent) if path.exists())
    return Garbage(folder.repo, first + rest)


def revision(folder: layout.RepoFolder, commit: str) -> Garbage:
    """One revision, with the blobs that no other one links to."""
    others = [other for other in folder.commits() if other != commit]
    references = folder.root / "refs"
    named = [references / name for name, of in folder.references().items() if of == commit]
    kept = _linked(folder, others) | _wanted(folder)
    mine = sorted(_linked(folder, [commit]) - kept)
    blobs = [folder.blob(name) for name in mine]
    return Garbage(f"{folder.repo} at {commit}", (*named, folder.snapshot(commit), *blobs))


def leftovers(folder: layout.RepoFolder, now_s: float) -> Iterator[Garbage]:
    """Return what a repository holds for nothing: old revisions, unlinked blobs, stale parts.

    An old revision is one that no reference names, where a reference names another one.
    `now_s`: the time of day in seconds, to tell what is stale. A pull that was not gone on with
    for 30 days is.
    """
    if not layout.is_ours(folder):
        return
    named = set(folder.references().values()) & set(folder.commits())
    old = [commit for commit in folder.commits() if named and commit not in named]
    for commit in old:
        yield Garbage(f"{folder.repo}: old revision {commit[:12]}", (folder.snapshot(commit),))
    if begun := tuple(_unpublished(folder)):
        yield Garbage(f"{folder.repo}: snapshots that were not finished", begun)
    kept = _linked(folder, [c for c in folder.commits() if c not in old])
    kept |= _wanted(folder, now_s)
    loose, parts = [], []
    for path in sorted(folder.blobs.iterdir()) if folder.blobs.is_dir() else []:
        name = path.name.removesuffix(layout.PART_SUFFIX)
        if path.name.endswith(layout.PART_SUFFIX):
            if name not in kept or folder.blob(name).exists():
                parts.append(path)
        elif path.name.endswith(".incomplete"):
            if _age_s(path, now_s) > _DAY_S:
                parts.append(path)
        elif name not in kept:
            loose.append(path)
    if loose:
        yield Garbage(f"{folder.repo}: files that no revision uses", tuple(loose))
    if parts:
        yield Garbage(f"{folder.repo}: stale partial files", tuple(parts))


@contextmanager
def everywhere(hub_cache: Path, now_s: float) -> Iterator[tuple[Garbage, ...]]:
    """Return what the cache holds for nothing. Its models are locked until the block ends; one that
    another process is pulling is left out.
    """
    with ExitStack() as stack:
        found = list(stagings(hub_cache, now_s))
        for folder in (*layout.repo_folders(hub_cache), *layout.data_set_folders(hub_cache)):
            if layout.is_ours(folder) and stack.enter_context(layout.locked(folder)):
                found += leftovers(folder, now_s)
        yield tuple(found)


def stagings(hub_cache: Path, now_s: float) -> Iterator[Garbage]:
    """Return what a killed import left."""
    for path in sorted(hub_cache.glob(".qvq-import-*")):
        if _age_s(path, now_s) > _DAY_S:
            yield Garbage("an import that did not end", (path,))


def remove(garbage: Iterable[Garbage]) -> int:
    """Delete, and say how many bytes that freed. Raises OSError."""
    freed = 0
    for part in garbage:
        for path in part.paths:
            freed += sum(file.stat().st_size for file in _files(path))
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return freed


def _linked(folder: layout.RepoFolder, commits: Iterable[str]) -> set[str]:
    return {blob for commit in commits for _, blob in links(folder, commit)}


def _unpublished(folder: layout.RepoFolder) -> Iterator[Path]:
    """Snapshots that a pull was killed on, but for the files of one that may still go on."""
    wanted = layout.unfinished(folder)
    going_on = layout.unplaced(folder, wanted.commit) if wanted else None
    for path in sorted((folder.root / "snapshots").glob(".*.*")):
        if layout.is_commit(path.name[1:41]) and path != going_on and path.is_dir():
            yield path


def _wanted(folder: layout.RepoFolder, now_s: float = 0.0) -> set[str]:
    """The blobs of an unfinished pull."""
    listing = layout.unfinished(folder)
    if listing is None or _age_s(layout.marker(folder), now_s) > _UNFINISHED_S:
        return set()
    return {file.blob for file in listing.files}


def _age_s(path: Path, now_s: float) -> float:
    try:
        return now_s - path.stat().st_mtime
    except OSError:
        return 0.0


def _files(path: Path) -> Iterator[Path]:
    """The files at and below a path, without links."""
    if path.is_symlink():
        return
    if path.is_dir():
        for child in path.iterdir():
            yield from _files(child)
    elif path.is_file():
        yield path
