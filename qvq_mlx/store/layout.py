"""The Hugging Face cache on this disk: names, links, references, partial files and the lock.

    models--org--name/         datasets--org--name/ likewise
      blobs/<hash>               the bytes of a file, named by their hash
      blobs/<hash>.qvq-part      the first bytes of one, from a pull that did not end
      snapshots/<commit>/<path>  links to blobs: what other tools read
      refs/<name>                the commit that a name means
      .qvq-pull.json             what qvq's last pull wants or wanted
      .qvq-files.json            the hashes of files that lie in snapshots, without links

Law: a file appears under its blob's name only when its bytes were hashed, by one rename; a
snapshot appears only when all of its files did; a reference is written last. So whatever kills the
process, nothing half is ever visible. huggingface_hub reads the result, and its own files are left
as they are. The standard library alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from qvq_mlx.system.files import write_shared
from qvq_mlx.system.locks import LockFile
from qvq_mlx.system.reading import read_json, read_text

if TYPE_CHECKING:
    from qvq_mlx.store.download import Listing, RemoteFile

PART_SUFFIX = ".qvq-part"
_MARKER = ".qvq-pull.json"
_MARKER_BYTES = 2**24
_PLACED = ".qvq-files.json"
REFERENCE_BYTES = 2**10
_COMMIT_BEGINNING = 7
"""Digits of a commit that are enough, as in git."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9_][\w.-]{0,95})?", re.ASCII)
_REVISION = re.compile(r"[\w][\w.+@/-]{0,199}", re.ASCII)
_BLOB = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class RepoKind(StrEnum):
    """What a repository holds; the name as the Hub has it."""

    MODEL = "model"
    DATASET = "dataset"


@dataclass(frozen=True, slots=True)
class RepoFolder:
    """One repository's folder in the cache. It need not exist."""

    hub_cache: Path
    repo: str
    kind: RepoKind = RepoKind.MODEL

    @property
    def root(self) -> Path:
        """`models--org--name`, or `datasets--org--name`."""
        return self.hub_cache / f"{self.kind}s--{self.repo.replace('/', '--')}"

    @property
    def blobs(self) -> Path:
        """Return the path of the bytes."""
        return self.root / "blobs"

    def blob(self, name: str) -> Path:
        """The file of a hash."""
        return self.blobs / name

    def part(self, name: str) -> Path:
        """Return the path at which the bytes of a hash are collected."""
        return self.blobs / f"{name}{PART_SUFFIX}"

    def snapshot(self, commit: str) -> Path:
        """The folder of links of a commit."""
        return self.root / "snapshots" / commit

    def commits(self) -> tuple[str, ...]:
        """The commits that have a snapshot, whole or not."""
        folder = self.root / "snapshots"
        names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
        return tuple(sorted(name for name in names if not name.startswith(".")))

    def references(self) -> dict[str, str]:
        """Name to commit."""
        folder = self.root / "refs"
        found = {}
        for path in sorted(path for path in folder.rglob("[!.]*") if path.is_file()):
            with suppress(OSError, ValueError):  # it is no reference
                commit = read_text(path, REFERENCE_BYTES).strip()
                found[str(path.relative_to(folder))] = commit
        return found

    def commit_of(self, revision: str) -> str | None:
        """The commit that a name, a commit or its only beginning means here; None for none."""
        known = self.commits()
        commit = self.references().get(revision, revision)
        if commit in known:
            return commit
        begun = [one for one in known if one.startswith(revision)]
        return begun[0] if len(begun) == 1 and len(revision) >= _COMMIT_BEGINNING else None

    def short(self, commit: str) -> str:
        """What a person types for a commit: a name that refers to it, else its beginning."""
        names = [name for name, of in self.references().items() if of == commit]
        if names:
            return min(names, key=len)
        others = [one for one in self.commits() if one != commit]
        lengths = range(_COMMIT_BEGINNING + 1, len(commit))
        return next(
            (commit[:n] for n in lengths if not any(o.startswith(commit[:n]) for o in others)),
            commit,
        )

    @property
    def lock_file(self) -> Path:
        """Beside huggingface_hub's own locks."""
        return self.hub_cache / ".locks" / self.root.name / "qvq-pull.lock"


def repo_folders(hub_cache: Path) -> tuple[RepoFolder, ...]:
    """Every model of the cache, ordered by name."""
    return _folders(hub_cache, RepoKind.MODEL)


def data_set_folders(hub_cache: Path) -> tuple[RepoFolder, ...]:
    """The data sets that qvq pulled, ordered by name; others are another program's business."""
    return tuple(filter(is_ours, _folders(hub_cache, RepoKind.DATASET)))


def is_repo(name: str) -> bool:
    """True if a server or an archive may call a repository so."""
    return _REPO.fullmatch(name) is not None and "--" not in name and ".." not in name


def is_commit(name: str) -> bool:
    """40 hex digits."""
    return _COMMIT.fullmatch(name) is not None


def is_revision(name: str) -> bool:
    """A branch, tag or commit whose name is safe as a path under `refs`."""
    return _REVISION.fullmatch(name) is not None and is_path(name)


def is_blob(name: str) -> bool:
    """True if `name` is the hash of a file, as a blob is called."""
    return _BLOB.fullmatch(name) is not None


def is_path(name: str) -> bool:
    """True if a file's name stays inside its snapshot and says what it is."""
    path = PurePosixPath(name)
    return (
        0 < len(name) <= 255
        and name.isprintable()
        and "\\" not in name
        and not path.is_absolute()
        and str(path) == name != "."
        and all(part != ".." for part in path.parts)
    )


def write_marker(folder: RepoFolder, listing: Listing, *, done: bool = False) -> None:
    """Note what is being pulled, so that its files are not taken for garbage."""
    document = {
        "commit": listing.commit,
        "revision": listing.revision,
        "done": done,
        "files": [[file.path, file.blob, file.size_bytes] for file in listing.files],
    }
    write_shared(marker(folder), json.dumps(document).encode())


def unfinished(folder: RepoFolder) -> Listing | None:
    """Return what an interrupted pull wanted; None where none is, or its note cannot be read."""
    listing, done = _noted(folder)
    return None if done else listing


def brought(folder: RepoFolder, commit: str) -> frozenset[str]:
    """The files of a commit, empty ones left out, that the last pull brought whole; none where it
    was of another commit, or did not come to its end.
    """
    listing, done = _noted(folder)
    if listing is None or not done or listing.commit != commit:
        return frozenset()
    return frozenset(file.path for file in listing.files if file.size_bytes)


def _noted(folder: RepoFolder) -> tuple[Listing | None, bool]:
    """The listing of the last pull, and whether it came to its end; None where no note is."""
    from qvq_mlx.store.download import Listing, RemoteFile

    try:
        document = read_json(marker(folder), _MARKER_BYTES)
        if not isinstance(document, dict):
            return None, False
        files = tuple(RemoteFile(str(p), str(b), int(n)) for p, b, n in document["files"])
        listing = Listing(
            folder.repo, str(document["revision"]), str(document["commit"]), files, kind=folder.kind
        )
        done = bool(document["done"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, False
    return (listing, done) if all(is_blob(file.blob) for file in files) else (None, False)


def marker(folder: RepoFolder) -> Path:
    """The note; it is as old as the last try."""
    return folder.root / _MARKER


def is_ours(folder: RepoFolder) -> bool:
    """True if qvq has pulled or imported here, so that tidying up is its business."""
    return marker(folder).is_file()


def is_whole(folder: RepoFolder, file: RemoteFile) -> bool:
    """True if the blob is here with its size. Its bytes were hashed before it got its name."""
    return size_of(bytes_of(folder, file.blob)) == file.size_bytes


def bytes_of(folder: RepoFolder, blob: str) -> Path:
    """Return the path of a hash's bytes: its own, or in a snapshot on a volume without links."""
    if not folder.blob(blob).is_file():
        for commit, files in placed(folder).items():
            for path, name in files.items():
                for place in (folder.snapshot(commit), unplaced(folder, commit)):
                    if name == blob and (place / path).is_file():
                        return place / path
    return folder.blob(blob)


def placed(folder: RepoFolder) -> dict[str, dict[str, str]]:
    """By commit and path the hashes of files that lie in snapshots; {} where links do."""
    try:
        document = read_json(folder.root / _PLACED, _MARKER_BYTES)
    except (OSError, ValueError):
        return {}
    found: dict[str, dict[str, str]] = {}
    for commit, files in document.items() if isinstance(document, dict) else ():
        if is_commit(commit) and isinstance(files, dict):
            found[commit] = {
                path: blob
                for path, blob in files.items()
                if is_path(path) and isinstance(blob, str) and is_blob(blob)
            }
    return found


def keep_placed(folder: RepoFolder, listing: Listing) -> None:
    """Note the hashes of files that are going to lie in a snapshot. Raises OSError."""
    files = {file.path: file.blob for file in listing.files}
    document = placed(folder) | {listing.commit: files}
    write_shared(folder.root / _PLACED, json.dumps(document).encode())


def unplaced(folder: RepoFolder, commit: str) -> Path:
    """Return the folder in which a snapshot is collected on a volume without links."""
    return folder.root / "snapshots" / f".{commit}.qvq-files"


def arrived_bytes(folder: RepoFolder, file: RemoteFile) -> int:
    """Return the number of bytes of an unfinished file that are here."""
    part = size_of(folder.part(file.blob)) or 0
    return part if part <= file.size_bytes else 0


def size_of(path: Path) -> int | None:
    """Bytes of a file, through links; None where there is none."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


@contextmanager
def locked(folder: RepoFolder) -> Iterator[bool]:
    """False while another process changes the repository, else this one may until the block ends.

    A volume without locks keeps nobody apart. Raises OSError.
    """
    folder.lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = LockFile(folder.lock_file, mode=0o644)
    try:
        yield lock.try_take().may_go_on
    finally:
        lock.release()


def lock_holder(folder: RepoFolder) -> str:
    """`process 123`, or empty where the lock does not say."""
    number = LockFile(folder.lock_file).holder()
    return "" if number is None else f"process {number}"


def _folders(hub_cache: Path, kind: RepoKind) -> tuple[RepoFolder, ...]:
    prefix = f"{kind}s--"
    names = sorted(path.name for path in hub_cache.glob(f"{prefix}*") if path.is_dir())
    repos = (name.removeprefix(prefix).replace("--", "/", 1) for name in names)
    return tuple(RepoFolder(hub_cache, repo, kind) for repo in repos)
