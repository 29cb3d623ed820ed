"""Plan a pull: what of a listing is missing. A pure function of the listing and sizes on disk."""

from __future__ import annotations

from collections.abc import Callable

from qvq_mlx.core.errors import DiskFullError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.store.download import Fetch, Listing, PullPlan, RemoteFile

_SPARE_BYTES = 64 << 20


def plan(
    listing: Listing,
    free_bytes: int,
    whole: Callable[[RemoteFile], bool],
    arrived: Callable[[RemoteFile], int],
) -> PullPlan:
    """The files to fetch, small ones first; each hash once.

    `whole`: the file is here; `arrived`: how many bytes of one that is not.
    """
    wanted = {file.blob: file for file in reversed(listing.files)}
    fetches = [Fetch(file, arrived(file)) for file in wanted.values() if not whole(file)]
    fetches.sort(key=lambda fetch: (fetch.file.path.endswith(".safetensors"), fetch.file.path))
    return PullPlan(listing, tuple(fetches), free_bytes)


def check_room(plan: PullPlan, place: str) -> None:
    """Raise DiskFullError where the disk will not hold what is missing."""
    needed = plan.fetch_bytes + _SPARE_BYTES
    if plan.fetches and plan.free_bytes < needed:
        raise DiskFullError(
            f"{needed / 2**30:.1f} GiB are needed and {plan.free_bytes / 2**30:.1f} GiB are free"
            f" in {place}",
            RunProgram(("df", "-h", str(place))),
        )
