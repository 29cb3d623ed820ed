"""The list of what an archive of a model holds, its first member.

Law: it is believed only where every name in it is harmless, and a pull would fetch every file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from qvq_mlx.core.errors import ArchiveError, BrokenModelError
from qvq_mlx.core.remedies import VerifyModel
from qvq_mlx.store import layout
from qvq_mlx.store.digests import blocks
from qvq_mlx.store.download import Listing, RemoteFile
from qvq_mlx.store.tar_members import Member
from qvq_mlx.store.verify import links
from qvq_mlx.store.wanted import is_wanted
from qvq_mlx.system.reading import parse_json

NAME = "qvq-model.json"
_BYTES = 16 << 20
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive says it holds."""

    listing: Listing
    references: tuple[str, ...]
    sha256s: dict[str, str]
    """Of each blob."""

    @property
    def blobs(self) -> dict[str, RemoteFile]:
        """Each once, in the order of the archive."""
        return {file.blob: file for file in reversed(self.listing.files)}


def of_snapshot(folder: layout.RepoFolder, commit: str) -> Manifest:
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
    return Manifest(Listing(folder.repo, commit, commit, tuple(files)), names, sha256s)


def to_json(manifest: Manifest) -> dict[str, Any]:
    """Return it as the document that `read` takes."""
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


def read(first: Member | None, source: Path) -> Manifest:
    """The first member, believed only where every name in it is harmless.

    Raises ArchiveError, also for a file that a pull would not fetch.
    """
    if first is None or first.name != NAME or first.size > _BYTES:
        raise ArchiveError(f"{source} is no archive of qvq export: {NAME} does not come first")
    content = first.whole()
    try:
        document: Any = parse_json(content)
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
        raise ArchiveError(f"{source}: {NAME} cannot be read: {error!r}") from error
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
        raise ArchiveError(f"{source}: {NAME} names what no model of qvq can have")
    if needless := [file.path for file in files if not is_wanted(file.path)]:
        raise ArchiveError(f"{source} holds {needless[0]!r}, which no model of qvq needs")
    return Manifest(listing, names, sha256s)


def replaced(folder: layout.RepoFolder, manifest: Manifest) -> str:
    """What the archive would change of a model that is here; '' for nothing."""
    repo, commit = folder.repo, manifest.listing.commit
    here = folder.references()
    for name in manifest.references:
        if here.get(name, commit) != commit:
            return f"{name} of {repo} is {here[name][:12]} here, and {commit[:12]} in the archive"
    if commit in folder.commits():
        blobs = dict(links(folder, commit))
        for file in manifest.listing.files:
            if blobs.get(file.path, file.blob) != file.blob:
                return f"{file.path} of {repo} is another file here than in the archive"
    return ""
