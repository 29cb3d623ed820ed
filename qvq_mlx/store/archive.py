"""A model as one file, for machines that never see a network: a tar with a manifest of hashes.

    qvq-model.json        {"format": 1, "repo", "commit", "references", "files": [...]}
    blobs/<blob>          the bytes, each blob once, in the manifest's order

Law: the archive holds the sha256 of every file, and appears under its name only when all of it was
written and every byte hashed right. An import believes nothing: the manifest comes first and is
checked; then exactly its blobs, as plain files of the stated size and hash. Nothing appears in the
cache before the last hash; memory is one block. A link, another name or a path is refused, and so
is a file that a pull would not fetch. What an archive is called is its own word: it changes
nothing that is here without a question.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import (
    ArchiveError,
    BusyError,
    DamagedError,
    DiskFullError,
    UsageError,
)
from qvq_mlx.core.remedies import RunProgram, VerifyModel
from qvq_mlx.store import archive_manifest, layout, local, snapshots
from qvq_mlx.store.archive_manifest import Manifest
from qvq_mlx.store.digests import BLOCK_BYTES, blocks, digest_for
from qvq_mlx.store.download import (
    BytesReceived,
    FileStarted,
    Listing,
    RemoteFile,
    Verified,
)
from qvq_mlx.store.tar_members import Member, members
from qvq_mlx.system.files import PendingFile, move
from qvq_mlx.system.outputs import output_place

ArchiveEvent = FileStarted | BytesReceived | Verified


def export(folder: layout.RepoFolder, commit: str, target: Path) -> Iterator[ArchiveEvent]:
    """Write a whole snapshot to `target`. Raises ArchiveError, DamagedError, ModelError."""
    if target.exists():
        raise UsageError(f"{target} exists", RunProgram(("rm", str(target))))
    if not target.parent.is_dir():
        raise UsageError(
            f"there is no folder {target.parent}", RunProgram(("mkdir", "-p", str(target.parent)))
        )
    local.check(folder.snapshot(commit), ModelCard(folder.repo, "", "", "", repo=folder.repo))
    manifest = archive_manifest.of_snapshot(folder, commit)
    try:
        with PendingFile(output_place(target), sync=True) as pending:
            with pending.path.open("wb") as out:
                text = json.dumps(archive_manifest.to_json(manifest), indent=1).encode()
                out.write(_header(archive_manifest.NAME, len(text)) + text + _padding(len(text)))
                for blob, file in manifest.blobs.items():
                    sha256 = manifest.sha256s[blob]
                    yield from _add(out, layout.bytes_of(folder, blob), file, sha256, folder.repo)
                out.write(bytes(2 * tarfile.BLOCKSIZE))  # this is how a tar ends
                out.write(bytes(-out.tell() % tarfile.RECORDSIZE))
            pending.commit()
    except OSError as error:
        raise ArchiveError(f"{target} cannot be written: {error.strerror or error}") from error


def import_(
    source: Path,
    hub_cache: Path,
    free_bytes: Callable[[Path], int],
    ask: Callable[[str], None],
    repo: str = "",
) -> Iterator[ArchiveEvent | Listing]:
    """Put the model of an archive into the cache; the listing comes last.

    `repo`: the name that it gets, instead of the one that the archive says. Before anything that is
    here is changed, `ask` is told what, and raises where it must not be. Raises ArchiveError where
    anything is not as the manifest says, DiskFullError, BusyError, UsageError for a bad name.
    """
    if repo and not layout.is_repo(repo):
        raise UsageError(f"{repo} is no name of a model: ORG/NAME, or NAME")
    try:
        with source.open("rb") as file:
            yield from _import(members(file), source, hub_cache, free_bytes, ask, repo)
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise ArchiveError(f"{source} is no whole archive of qvq export: {error}") from error
    except FileNotFoundError as error:
        raise ArchiveError(f"there is no file {error.filename or source}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArchiveError(f"{source} cannot be imported: {reason}") from error


def _import(
    tar: Iterator[Member],
    source: Path,
    hub_cache: Path,
    free_bytes: Callable[[Path], int],
    ask: Callable[[str], None],
    repo: str,
) -> Iterator[ArchiveEvent | Listing]:
    manifest = archive_manifest.read(next(tar, None), source)
    if repo:
        manifest = replace(manifest, listing=replace(manifest.listing, repo=repo))
    folder = layout.RepoFolder(hub_cache, manifest.listing.repo)
    if change := archive_manifest.replaced(folder, manifest):
        ask(change)
    needed = sum(file.size_bytes for file in manifest.blobs.values())
    if free_bytes(hub_cache) < needed:
        raise DiskFullError(
            f"{source} holds {needed / 2**30:.1f} GiB; {free_bytes(hub_cache) / 2**30:.1f} GiB are"
            f" free in {hub_cache}",
            RunProgram(("df", "-h", str(hub_cache))),
        )
    with _staging(hub_cache) as staging:
        waiting = manifest.blobs
        for member in tar:
            file = waiting.pop(member.name.removeprefix("blobs/"), None)
            plain = file is not None and member.name == f"blobs/{file.blob}"
            if file is None or not plain or member.size != file.size_bytes:
                raise ArchiveError(f"{source} holds {member.name!r}, which its manifest does not")
            yield from _take(member, staging / file.blob, file, manifest.sha256s[file.blob])
        if waiting:
            missing = next(iter(waiting.values())).path
            raise ArchiveError(f"{source} ends early: {missing} is not in it")
        _settle(staging, folder, manifest)
    yield manifest.listing


def _settle(staging: Path, folder: layout.RepoFolder, manifest: Manifest) -> None:
    """From the staging folder into the cache: every hash was right."""
    with layout.locked(folder) as mine:
        if not mine:
            raise BusyError(f"{folder.repo} is being pulled by {layout.lock_holder(folder)}")
        folder.blobs.mkdir(parents=True, exist_ok=True)
        for blob in manifest.blobs:
            move(staging / blob, folder.blob(blob))
        for reference in manifest.references or (manifest.listing.commit,):
            listing = manifest.listing
            snapshots.publish(
                folder, Listing(listing.repo, reference, listing.commit, listing.files)
            )


def _add(
    out: IO[bytes], path: Path, file: RemoteFile, sha256: str, repo: str
) -> Iterator[ArchiveEvent]:
    """Write one blob into the archive, and hash it on the way.

    `TarFile.addfile` would read all of it at one go: nothing could be shown, and nobody could stop.
    """
    yield FileStarted(file.path, file.size_bytes, 0)
    digest = hashlib.sha256()
    out.write(_header(f"blobs/{file.blob}", file.size_bytes))
    written = 0
    for block in blocks(path, file.size_bytes):
        digest.update(block)
        out.write(block)
        written += len(block)
        yield BytesReceived(file.path, written)
    if written != file.size_bytes or digest.hexdigest() != sha256:
        raise DamagedError(f"{file.path} of {repo} is damaged", VerifyModel(repo))
    out.write(_padding(written))
    yield Verified(file.path, file.blob)


def _take(content: Member, target: Path, file: RemoteFile, sha256: str) -> Iterator[ArchiveEvent]:
    """One blob out of the archive; both of its hashes have to be right."""
    yield FileStarted(file.path, file.size_bytes, 0)
    checks = [(hashlib.sha256(), sha256), (digest_for(file.blob, file.size_bytes), file.blob)]
    read = 0
    with target.open("xb") as out:
        while block := content.read(BLOCK_BYTES):
            out.write(block)
            read += len(block)
            for digest, _ in checks:
                digest.update(block)
            yield BytesReceived(file.path, read)
    if read != file.size_bytes or any(digest.hexdigest() != want for digest, want in checks):
        raise ArchiveError(f"{file.path} is damaged in the archive: its hash is another one")
    yield Verified(file.path, file.blob)


def _header(name: str, size_bytes: int) -> bytes:
    """Return the head of a member. It has no owner and no time: a model gives one archive."""
    header = tarfile.TarInfo(name)
    header.size = size_bytes
    return header.tobuf(tarfile.PAX_FORMAT)


def _padding(size_bytes: int) -> bytes:
    """Return what fills a member of that size up to whole blocks."""
    return bytes(-size_bytes % tarfile.BLOCKSIZE)


@contextmanager
def _staging(hub_cache: Path) -> Iterator[Path]:
    """A folder on the cache's disk that is gone afterwards."""
    staging = hub_cache / f".qvq-import-{secrets.token_hex(4)}"
    staging.mkdir(parents=True)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
