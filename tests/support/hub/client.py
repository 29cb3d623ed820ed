"""One pull of the loopback hub, with patience that a test can afford.

Imported by the processes that are killed, so it loads all that a pull needs at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2  # noqa: F401
import huggingface_hub.file_download  # noqa: F401

from qvq_mlx.store import hub
from qvq_mlx.store.download import HubAccess, Listing, PullEvent
from qvq_mlx.store.layout import RepoFolder
from tests.support.hub.server import REPO

PATIENCE_S = 600.0
"""A busy machine does not make a connection silent; what tests silence takes STALL_S."""
STALL_S = 0.08


def access(
    endpoint: str, token: str = "", tries: int = 3, stall_s: float = PATIENCE_S
) -> HubAccess:
    return HubAccess(endpoint, token, stall_s=stall_s, retry_s=0.001, tries=tries)


def now() -> datetime:
    return datetime.now(UTC)


def listing(endpoint: str, token: str = "", revision: str = "main") -> Listing:
    return hub.listing(REPO, revision, access(endpoint, token), hub.RealPace(), now)


def pull(
    endpoint: str,
    cache: Path,
    token: str = "",
    disk: hub.Disk | None = None,
    again: Collection[str] = (),
    tries: int = 3,
    stall_s: float = PATIENCE_S,
) -> Iterator[PullEvent]:
    found = listing(endpoint, token)
    where = RepoFolder(cache, REPO)
    how = access(endpoint, token, tries, stall_s)
    return hub.pull(where, found, how, now, disk or hub.Disk(), again)


def pull_all(endpoint: str, cache: str) -> None:
    for _ in pull(endpoint, Path(cache)):
        pass
