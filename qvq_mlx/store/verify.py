"""Rehash what is in the cache, offline.

Law: nothing is changed. A blob's name is the hash of its bytes, so no list from elsewhere is
needed; each blob is read once, however many revisions link to it. A link to a file whose name is
no hash (some mirrors do that) is damage here, because nothing can vouch for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from qvq_mlx.store import layout
from qvq_mlx.store.digests import blocks, digest_for
from qvq_mlx.store.download import BytesReceived, CheckEvent, Damaged, FileStarted, Verified

_SAID_EVERY_BYTES = 32 << 20
# what file managers lay into every folder that they show
_BESIDE = (".DS_Store", ".localized", "Icon\r", "Thumbs.db", "desktop.ini", ".directory")


def verify(folder: layout.RepoFolder, commits: Iterable[str] | None = None) -> Iterator[CheckEvent]:
    """Every file of a repository's revisions, or of those in `commits`. Raises OSError."""
    done: set[str] = set()
    for commit in folder.commits() if commits is None else commits:
        for path, blob in links(folder, commit):
            if blob not in done:
                yield from _check(folder.snapshot(commit) / path, path, commit, blob)
            done.add(blob)


def total_bytes(folder: layout.RepoFolder, commits: Iterable[str]) -> int:
    """Files that `verify` will read."""
    sizes = {
        blob: layout.size_of(folder.snapshot(commit) / path) or 0
        for commit in commits
        for path, blob in links(folder, commit)
    }
    return sum(sizes.values())


def snapshot_bytes(folder: layout.RepoFolder, commit: str) -> int:
    """The sizes of a snapshot's files, each blob once. A link to nowhere counts for nothing."""
    names = {blob: path for path, blob in links(folder, commit)}
    return sum(layout.size_of(folder.snapshot(commit) / path) or 0 for path in names.values())


def links(folder: layout.RepoFolder, commit: str) -> Iterator[tuple[str, str]]:
    """The files of a snapshot with the names of their blobs, ordered by path."""
    root, hashes = folder.snapshot(commit), layout.placed(folder).get(commit, {})
    for link in sorted(root.rglob("*")):
        if link.is_symlink() or link.is_file():
            path = link.relative_to(root).as_posix()
            blob = link.readlink().name if link.is_symlink() else hashes.get(path, "")
            # nobody's file, unless the repository has one of that name
            if blob or not (link.name.startswith("._") or link.name in _BESIDE):
                yield path, blob


def _check(link: Path, path: str, commit: str, blob: str) -> Iterator[CheckEvent]:
    size = layout.size_of(link)
    if size is None:
        yield Damaged(path, commit, "is missing")
        return
    if not layout.is_blob(blob):
        yield Damaged(path, commit, "has no hash to check it against")
        return
    yield FileStarted(path, size, 0)
    digest = digest_for(blob, size)
    read = said = 0
    for block in blocks(link):
        digest.update(block)
        read += len(block)
        if read - said >= _SAID_EVERY_BYTES:
            said = read
            yield BytesReceived(path, read)
    if digest.hexdigest() != blob:
        yield Damaged(path, commit, f"is damaged: {size:,} bytes whose hash is not {blob[:12]}…")
        return
    yield BytesReceived(path, size)
    yield Verified(path, blob)
