"""A pull as events: what will be fetched and what to know of it first, then the transfer.

Law of the stream: `Planned`, and unless it is a dry run what `store.download` says of a pull.
Nothing is fetched, and nobody is asked to accept a licence, before `Planned` was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import (
    AccessError,
    GatedError,
    LicenceError,
    NetworkError,
    UsageError,
)
from qvq_mlx.core.remedies import VerifyModel
from qvq_mlx.store import licences
from qvq_mlx.store.digests import matches
from qvq_mlx.store.download import Advice, Adviser, HubAccess, Listing, PullEvent, PullPlan
from qvq_mlx.store.layout import RepoFolder


@dataclass(frozen=True, slots=True)
class Order:
    """A wish to pull. `revision` None: main, or for a repair what is here.

    `repair`: files to check, and to fetch again where they are damaged.
    """

    card: ModelCard
    folder: RepoFolder
    revision: str | None = None
    repair: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan of a pull, and what to know before the first byte."""

    card: ModelCard
    plan: PullPlan
    advice: Advice


@dataclass(frozen=True, slots=True)
class Consent:
    """The way to accept a licence with duties: `ask` says whether the user does.

    What was accepted once is noted in `file`, and not asked again.
    """

    ask: Callable[[Planned], bool]
    file: Path


def pull(
    order: Order,
    access: HubAccess,
    advise: Adviser,
    consent: Consent,
    now: Callable[[], datetime],
) -> Iterator[Planned | PullEvent]:
    """Plan the pull, have the licence accepted, and fetch what is missing.

    Raises LicenceError, UsageError for a repair of a file that the repository has not, NetworkError
    and ModelError.
    """
    from qvq_mlx.store import hub

    revision = order.revision or "main"
    if order.repair and order.revision is None:  # what is here, not what is the newest
        revision = order.folder.references().get("main", "main")
    disk = hub.Disk()
    listing = hub.listing(order.card.repo, revision, access, hub.RealPace(), now)
    again = _damaged(order, listing)
    plan = hub.plan(order.folder, listing, disk, again)
    planned = Planned(order.card, plan, advise(order.card, plan))
    yield planned
    if order.dry_run:
        return
    _accept(planned, consent, now)
    try:
        yield from hub.pull(order.folder, listing, access, now, disk, again)
    except GatedError:
        raise
    except AccessError as error:  # a file that was listed is not there
        newest = hub.listing(order.card.repo, revision, access, hub.RealPace(), now).commit
        if newest == listing.commit:
            raise
        raise NetworkError(
            f"{listing.repo} has a new commit since this pull began ({newest[:12]}, not"
            f" {listing.commit[:12]}), and the files of the old one went away; what came is kept"
        ) from error


def _damaged(order: Order, listing: Listing) -> frozenset[str]:
    """The blobs of the files to repair that are not what their name says. Raises UsageError."""
    files = {file.path: file for file in listing.files}
    found = set()
    for path in order.repair:
        if path not in files:
            raise UsageError(f"{listing.repo} has no file {path}", VerifyModel(order.card.name))
        blob = files[path].blob
        if not order.folder.blob(blob).is_file() or not matches(order.folder.blob(blob), blob):
            found.add(blob)
    return frozenset(found)


def _accept(planned: Planned, consent: Consent, now: Callable[[], datetime]) -> None:
    """Have a licence with duties accepted, once. Raises LicenceError where it is not."""
    repo, told = planned.card.repo, planned.advice
    if not told.duties or licences.accepted(consent.file, repo, told.licence):
        return
    if not consent.ask(planned):
        raise LicenceError(f"the licence {told.licence} of {planned.card.name} is not accepted")
    licences.accept(consent.file, repo, told.licence, now().date().isoformat())
