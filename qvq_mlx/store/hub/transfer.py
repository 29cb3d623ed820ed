"""One file, from the first byte that is missing to a checked hash: a state machine, a generator.

    receiving at byte n ──bytes──▶ receiving at n + k ──size reached──▶ hash ──right──▶ done
        │  ▲                                                      wrong: n = 0, at most thrice
        ▼  │ after a pause: `Retry-After`, or 1 s, 2 s, 4 s … 30 s
      hitch (drop, stall, 429, 5xx, a reply that is not this file)

Law: a request asks for byte n and no earlier one. A reply is written only where it says that it
begins at n (or at 0, and then its first n bytes are passed over) and nothing contradicts size and
hash. Progress resets the pause; `tries` failures in a row without one new byte end it, fewer where
the reply cannot be right a minute later either (a redirect to no address, another file).
What it needs of the world comes in: the source of bytes, the part on disk, the pause.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from qvq_mlx.core.errors import AccessError, DamagedError, GatedError, NetworkError
from qvq_mlx.store import layout
from qvq_mlx.store.download import (
    BytesReceived,
    FileEvent,
    FileStarted,
    HubAccess,
    RemoteFile,
    Retrying,
    Verified,
)
from qvq_mlx.store.hub.wire import Head, Hitch, Reply

_DAMAGED_TRIES = 3
_LASTING_TRIES = 3
_PATIENCE_S = 600.0
_SAID_EVERY_S = 0.1


class Source(Protocol):
    """A source of bytes: a reply for a file from a byte on."""

    def __call__(self, file: RemoteFile, start_byte: int, /) -> AbstractContextManager[Reply]:
        """Raises Hitch, on entering or while its chunks are read."""


class Part(Protocol):
    """The bytes that are here."""

    @property
    def size_bytes(self) -> int:
        """Return the number of bytes."""

    def append(self, data: bytes) -> None:
        """Add some. Raises DiskFullError."""

    def blob(self) -> str:
        """The hash of all of them."""

    def restart(self) -> None:
        """Forget them."""


class Pace(Protocol):
    """Time, and whether to stop."""

    def clock(self) -> float:
        """Seconds from an arbitrary start."""

    def pause(self, seconds: float) -> None:
        """Wait. Raises whatever ends the transfer where it was stopped."""


def transfer(
    file: RemoteFile, source: Source, part: Part, pace: Pace, access: HubAccess
) -> Iterator[FileEvent]:
    """Complete `part`. Raises NetworkError, AccessError, DamagedError, DiskFullError."""
    yield FileStarted(file.path, file.size_bytes, part.size_bytes)
    failures = damages = 0
    while True:
        if part.size_bytes == file.size_bytes:
            if part.blob() == file.blob:
                yield Verified(file.path, file.blob)
                return
            damages += 1
            part.restart()
            reason = "the bytes that came are not the file's: their hash differs"
            if damages == _DAMAGED_TRIES:
                raise DamagedError(f"{file.path}: {reason}, {damages} times")
            yield Retrying(file.path, reason, 0.0, 0)
        before = part.size_bytes
        try:
            # a server that ignores ranges gets a second chance before its bytes are passed over
            yield from _receive(file, source, part, pace, skip=failures > 0)
        except Hitch as hitch:
            failures = 1 if part.size_bytes > before else failures + 1
            wait_s = _pause(failures, hitch, access)
            tries = min(access.tries, _LASTING_TRIES) if hitch.lasting else access.tries
            if failures > tries or wait_s > _PATIENCE_S:
                raise NetworkError(f"{file.path}: {hitch.reason}; {_came(part, file)}") from hitch
            yield Retrying(file.path, hitch.reason, wait_s, part.size_bytes)
            pace.pause(wait_s)


def judge(head: Head, file: RemoteFile, start_byte: int, *, skip: bool) -> int:
    """Return the bytes of the body to pass over.

    Raises Hitch, NetworkError where a new pull is of use, AccessError where nothing is.
    """
    if head.status in (401, 403) and not head.elsewhere:
        raise GatedError(
            f"{file.path}: the server refuses it (HTTP {head.status}): the repository is gated or"
            " private; ask for access on its page, then give a token of yours"
        )
    if head.error == "RevisionNotFound":
        raise NetworkError(f"{file.path}: its commit went away while it was fetched")
    if head.status in (404, 410, 451):
        raise AccessError(f"{file.path}: the server has no such file (HTTP {head.status})")
    if head.status not in (200, 206):
        raise Hitch(f"the server answers HTTP {head.status}", head.retry_after_s)
    if layout.is_blob(head.etag) and head.etag != file.blob:
        raise Hitch(
            f"the server has another file now ({head.etag[:12]}, not {file.blob[:12]})",
            lasting=True,
        )
    for stated in (head.total_bytes, head.linked_bytes):
        if stated is not None and stated != file.size_bytes:
            what = "a web page" if head.html else "another file"
            raise Hitch(
                f"the server sends {what}: {stated:,} bytes, not {file.size_bytes:,}",
                lasting=not head.html,
            )
    if head.html and not file.path.endswith((".html", ".htm")):
        raise Hitch("the server sends a web page instead of the file")
    if head.start_byte == start_byte:
        return 0
    if head.start_byte == 0 and skip:
        return start_byte
    raise Hitch(f"the server sends from byte {head.start_byte}, not from {start_byte:,}", 0.0)


def _receive(
    file: RemoteFile, source: Source, part: Part, pace: Pace, *, skip: bool
) -> Iterator[FileEvent]:
    """One request. Raises Hitch unless the file has its size afterwards."""
    said_s = float("-inf")
    with source(file, part.size_bytes) as reply:
        passed = judge(reply.head, file, part.size_bytes, skip=skip)
        for chunk in reply.chunks:
            pace.pause(0)
            fresh = chunk[passed:] if passed else chunk
            passed -= len(chunk) - len(fresh)
            fresh = fresh[: file.size_bytes - part.size_bytes]
            if fresh:
                part.append(fresh)
            if part.size_bytes == file.size_bytes:
                break
            if pace.clock() - said_s >= _SAID_EVERY_S:
                said_s = pace.clock()
                yield BytesReceived(file.path, part.size_bytes)
    yield BytesReceived(file.path, part.size_bytes)
    if part.size_bytes < file.size_bytes:
        raise Hitch("the body ended early")


def _pause(failures: int, hitch: Hitch, access: HubAccess) -> float:
    if hitch.wait_s is not None:
        return hitch.wait_s
    return access.retry_s * min(30.0, 2.0 ** (failures - 1))


def _came(part: Part, file: RemoteFile) -> str:
    return f"{part.size_bytes:,} of {file.size_bytes:,} bytes are here and are kept"
