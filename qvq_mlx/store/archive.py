"""A model as one file, for machines that never see a network: a tar with a manifest of hashes.

    qvq-model.json        {"format": 1, "repo", "commit", "references", "files": [...]}
    blobs/<blob>          the bytes, each blob once, in the manifest's order

Law: the archive holds the sha256 of every file, and appears under its name only when all of it was
written and every byte hashed right. An import believes nothing: the manifest comes first and is
checked; then exactly its blobs, as plain files of the stated size and hash. Nothing appears in the
cache before the last hash; memory is one block. A link, another name or a path is refused.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import (
    ArchiveError,
    BrokenModelError,
    BusyError,
    DamagedError,
    DiskFullError,
    UsageError,
)
from qvq_mlx.core.remedies import RunProgram, VerifyModel
from qvq_mlx.store import layout, local, snapshots
from qvq_mlx.store.digests import BLOCK_BYTES, blocks, digest_for
from qvq_mlx.store.download import (
    BytesReceived,
    FileStarted,
    Listing,
    RemoteFile,
    Verified,
)
from qvq_mlx.store.verify import links
from qvq_mlx.system.files import PendingFile, move
from qvq_mlx.system.outputs import output_place
from qvq_mlx.system.reading import parse_json

_MANIFEST = "qvq-model.json"
_MANIFEST_BYTES = 16 << 20
_FORMAT = 1

ArchiveEvent = FileStarted | BytesReceived | Verified


@dataclass(frozen=True, slots=True)
class _Manifest:
    listing: Listing
    references: tuple[str, ...]
    sha256s: dict[str, str]
    """Of each blob."""

    @property
    def blobs(self) -> dict[str, RemoteFile]:
        """Each once, in the order of the archive."""
        return {file.blob: file for file in reversed(self.listing.files)}


def export(folder: layout.RepoFolder, commit: str, target: Path) -> Iterator[ArchiveEvent]:
    """Write a whole snapshot to `target`. Raises ArchiveError, DamagedError, ModelError."""
    if target.exists():
        raise UsageError(f"{target} exists", RunProgram(("rm", str(target))))
    if not target.parent.is_dir():
        raise UsageError(
            f"there is no folder {target.parent}", RunProgram(("mkdir", "-p", str(target.parent)))
        )
    local.check(folder.snapshot(commit), ModelCard(folder.repo, "", "", "", repo=folder.repo))
    manifest = _manifest(folder, commit)
    try:
        with PendingFile(output_place(target), sync=True) as pending:
            with pending.path.open("wb") as out:
                text = json.dumps(_to_json(manifest), indent=1).encode()
                out.write(_header(_MANIFEST, len(text)) + text + _padding(len(text)))
                for blob, file in manifest.blobs.items():
                    sha256 = manifest.sha256s[blob]
                    yield from _add(out, layout.bytes_of(folder, blob), file, sha256, folder.repo)
                out.write(bytes(2 * tarfile.BLOCKSIZE))  # this is how a tar ends
                out.write(bytes(-out.tell() % tarfile.RECORDSIZE))
            pending.commit()
    except OSError as error:
        raise ArchiveError(f"{target} cannot be written: {error.strerror or error}") from error


def import_(
    source: Path, hub_cache: Path, free_bytes: Callable[[Path], int]
) -> Iterator[ArchiveEvent | Listing]:
    """Put the model of an archive into the cache; the listing comes last.

    Raises ArchiveError where anything is not as the manifest says, DiskFullError, BusyError.
    """
    try:
        with source.open("rb") as file, tarfile.open(fileobj=file, mode="r|") as tar:
            yield from _import(tar, source, hub_cache, free_bytes)
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise ArchiveError(f"{source} is no whole archive of qvq export: {error}") from error
    except FileNotFoundError as error:
        raise ArchiveError(f"there is no file {error.filename or source}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArchiveError(f"{source} cannot be imported: {reason}") from error


def _import(
    tar: tarfile.TarFile, source: Path, hub_cache: Path, free_bytes: Callable[[Path], int]
) -> Iterator[ArchiveEvent | Listing]:
    manifest = _read_manifest(tar, source)
    needed = sum(file.size_bytes for file in manifest.blobs.values())
    if free_bytes(hub_cache) < needed:
        raise DiskFullError(
            f"{source} holds {needed / 2**30:.1f} GiB; {free_bytes(hub_cache) / 2**30:.1f} GiB are"
            f" free in {hub_cache}",
            RunProgram(("df", "-h", str(hub_cache))),
        )
    with _staging(hub_cache) as staging:
        waiting = manifest.blobs
        while (member := tar.next()) is not None:
            file = waiting.pop(member.name.removeprefix("blobs/"), None)
            plain = member.isreg() and member.name == f"blobs/{file.blob}" if file else False
            if file is None or not plain or member.size != file.size_bytes:
                raise ArchiveError(f"{source} holds {member.name!r}, which its manifest does not")
            content = tar.extractfile(member)
            assert content is not None, "a regular file has content"
            yield from _take(content, staging / file.blob, file, manifest.sha256s[file.blob])
        if waiting:
            missing = next(iter(waiting.values())).path
            raise ArchiveError(f"{source} ends early: {missing} is not in it")
        _settle(staging, layout.RepoFolder(hub_cache, manifest.listing.repo), manifest)
    yield manifest.listing


def _settle(staging: Path, folder: layout.RepoFolder, manifest: _Manifest) -> None:
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


def _manifest(folder: layout.RepoFolder, commit: str) -> _Manifest:
    """Return the manifest of this snapshot's archive."""
    files, sha256s = [], {}
    for path, blob in links(folder, commit):
        size = layout.size_of(layout.bytes_of(folder, blob)) if layout.is_blob(blob) else None
        if size is None or not layout.is_path(path):
            raise BrokenModelError(
                f"{path} of {folder.repo} has no hash to go by", VerifyModel(folder.repo)
            )
        files.append(RemoteFile(path, blob, size))
        if len(blob) == 64:
            sha256s[blob] = blob
        elif blob not in sha256s:
            digest = hashlib.sha256()
            for block in blocks(layout.bytes_of(folder, blob)):
                digest.update(block)
            sha256s[blob] = digest.hexdigest()
    names = tuple(name for name, of in folder.references().items() if of == commit)
    return _Manifest(Listing(folder.repo, commit, commit, tuple(files)), names, sha256s)


def _to_json(manifest: _Manifest) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "repo": manifest.listing.repo,
        "commit": manifest.listing.commit,
        "references": list(manifest.references),
        "files": [
            {
                "path": file.path,
                "blob": file.blob,
                "size_bytes": file.size_bytes,
                "sha256": manifest.sha256s[file.blob],
            }
            for file in manifest.listing.files
        ],
    }


def _read_manifest(tar: tarfile.TarFile, source: Path) -> _Manifest:
    """The first member, believed only where every name in it is harmless."""
    first = tar.next()
    named = first is not None and first.name == _MANIFEST and first.isreg()
    if first is None or not named or first.size > _MANIFEST_BYTES:
        raise ArchiveError(f"{source} is no archive of qvq export: {_MANIFEST} does not come first")
    content = tar.extractfile(first)
    assert content is not None, "a regular file has content"
    try:
        document: Any = parse_json(content.read())
        if document["format"] != _FORMAT:
            raise ArchiveError(f"{source} has format {document['format']!r}, not {_FORMAT}")
        files = tuple(
            RemoteFile(str(entry["path"]), str(entry["blob"]), int(entry["size_bytes"]))
            for entry in document["files"]
        )
        sha256s = {str(entry["blob"]): str(entry["sha256"]) for entry in document["files"]}
        listing = Listing(
            str(document["repo"]), str(document["commit"]), str(document["commit"]), files
        )
        names = tuple(str(name) for name in document["references"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{source}: {_MANIFEST} cannot be read: {error!r}") from error
    paths = {file.path for file in files}
    harmless = (
        layout.is_repo(listing.repo)
        and layout.is_commit(listing.commit)
        and all(layout.is_path(file.path) and layout.is_blob(file.blob) for file in files)
        and all(file.size_bytes >= 0 for file in files)
        and len(paths) == len(files) > 0
        and not any(str(up) in paths for path in paths for up in PurePosixPath(path).parents)
        and len({(file.blob, file.size_bytes) for file in files}) == len(sha256s)
        and all(layout.is_revision(name) for name in names)
    )
    if not harmless:
        raise ArchiveError(f"{source}: {_MANIFEST} names what no model of qvq can have")
    return _Manifest(listing, names, sha256s)


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


def _take(
    content: IO[bytes], target: Path, file: RemoteFile, sha256: str
) -> Iterator[ArchiveEvent]:
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
