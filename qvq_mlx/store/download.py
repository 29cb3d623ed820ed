"""A download as values: what a repository lists, what is missing here, and what happens meanwhile.

Law of a pull's stream: `Waiting? Began (FileEvent | Idle)* PullDone`. Per path: `FileStarted`
first, `FileDone` last and only after `Verified`; what was received grows, but for a `Retrying`
that says why it is not believed any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.store.layout import RepoKind


@dataclass(frozen=True, slots=True)
class HubAccess:
    """Access to a hub. `stall_s`: a connection that is silent for so long is dropped."""

    endpoint: str
    token: str = field(default="", repr=False)
    stall_s: float = 30.0
    retry_s: float = 1.0
    """The first pause after a failure; it doubles, up to 30 times this."""
    tries: int = 8
    """How often in a row nothing at all may come before the pull gives up."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a commit. `blob`: its sha256 (64 hex digits) or git's sha1 (40)."""

    path: str
    blob: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Listing:
    """The files that a repository offers at one commit. `licence` is what it states, or empty."""

    repo: str
    revision: str
    commit: str
    files: tuple[RemoteFile, ...]
    licence: str = ""
    kind: RepoKind = RepoKind.MODEL

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Fetch:
    """A file to fetch; `have_bytes` of it lie here from an earlier try."""

    file: RemoteFile
    have_bytes: int


@dataclass(frozen=True, slots=True)
class PullPlan:
    """The plan of a pull. `free_bytes` is the disk's, before."""

    listing: Listing
    fetches: tuple[Fetch, ...]
    free_bytes: int

    @property
    def fetch_bytes(self) -> int:
        """Return the bytes that have to come over the network."""
        return sum(fetch.file.size_bytes - fetch.have_bytes for fetch in self.fetches)

    @property
    def have_bytes(self) -> int:
        """Return the bytes that are here: whole files, and the beginnings of others."""
        return self.listing.size_bytes - self.fetch_bytes


@dataclass(frozen=True, slots=True)
class Advice:
    """Advice before the first byte.

    `fit`: one line on whether this machine can run it, or empty where that is unknown.
    `duties`: what the licence asks of whoever uses the model, one line each; where there are any,
    it must be accepted once.
    """

    licence: str = ""
    fit: str = ""
    duties: tuple[str, ...] = ()


Adviser = Callable[[ModelCard, PullPlan], Advice]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another process pulls the same repository. `holder` names it, or is empty."""

    holder: str


@dataclass(frozen=True, slots=True)
class Began:
    """The repository is ours. So much of it is here now, perhaps more than before a wait."""

    have_bytes: int


@dataclass(frozen=True, slots=True)
class FileStarted:
    """A file is begun, or gone on with from `received_bytes`."""

    path: str
    size_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class BytesReceived:
    """Progress of a file: so much of it is on disk now."""

    path: str
    received_bytes: int


@dataclass(frozen=True, slots=True)
class Retrying:
    """Something went wrong; the next request for this file comes in `wait_s`."""

    path: str
    reason: str
    wait_s: float
    received_bytes: int


@dataclass(frozen=True, slots=True)
class Verified:
    """The hash of all bytes is what the repository lists."""

    path: str
    blob: str


@dataclass(frozen=True, slots=True)
class FileDone:
    """The file is in the cache."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing happened for half a second; a screen may want to say so."""


@dataclass(frozen=True, slots=True)
class PullDone:
    """All files are there, and the snapshot is visible. `fetched_bytes` came over the network."""

    folder: Path
    fetched_bytes: int


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file on this disk is not what its name says. `commit` is the snapshot that links to it."""

    path: str
    commit: str
    reason: str


FileEvent = FileStarted | BytesReceived | Retrying | Verified | FileDone
PullEvent = Waiting | Began | FileEvent | Idle | PullDone
CheckEvent = FileStarted | BytesReceived | Verified | Damaged
