"""A pull as a stream of events: what is known first, whom it asks, and when it fetches."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import LicenceError, UsageError
from qvq_mlx.store import licences
from qvq_mlx.store.download import Advice, Began, HubAccess, PullDone, PullPlan
from qvq_mlx.store.layout import RepoFolder
from qvq_mlx.store.pull import Consent, Order, Planned, pull
from tests.support.hub.server import REPO, Hub

FILES = {"config.json": b"{}", "model.safetensors": b"weights"}
CARD = ModelCard(REPO, "", "", "", repo=REPO)
STRICT = Advice("Strict", "fits", ("no weapons",))


@pytest.fixture
def served() -> Iterator[Hub]:
    with Hub(dict(FILES)) as server:
        yield server


def now() -> datetime:
    return datetime(2026, 11, 28, tzinfo=UTC)


def strict(_card: ModelCard, _plan: PullPlan) -> Advice:
    return STRICT


class Asked:
    """Says the same to every question about a licence, and counts them."""

    def __init__(self, *, yes: bool) -> None:
        self.yes = yes
        self.count = 0

    def __call__(self, planned: Planned) -> bool:
        assert planned.advice == STRICT
        self.count += 1
        return self.yes


def order(tmp_path: Path, **more: object) -> Order:
    return Order(CARD, RepoFolder(tmp_path / "hub", REPO), **more)  # type: ignore[arg-type]


def test_the_plan_comes_first_and_the_licence_is_asked_about_once(
    served: Hub, tmp_path: Path
) -> None:
    access, accepted, asked = HubAccess(served.endpoint), tmp_path / "l.json", Asked(yes=True)
    events = pull(order(tmp_path), access, strict, Consent(asked, accepted), now)
    first = next(events)
    assert isinstance(first, Planned)
    assert {fetch.file.path for fetch in first.plan.fetches} == set(FILES)
    assert (asked.count, served.served) == (0, 0)
    rest = list(events)
    assert isinstance(rest[0], Began)
    assert isinstance(rest[-1], PullDone)
    assert asked.count == 1
    assert licences.accepted(accepted, REPO, "Strict")
    again = list(pull(order(tmp_path), access, strict, Consent(asked, accepted), now))
    assert isinstance(again[0], Planned)
    assert not again[0].plan.fetches
    assert asked.count == 1


def test_a_licence_that_is_not_accepted_fetches_nothing(served: Hub, tmp_path: Path) -> None:
    consent = Consent(Asked(yes=False), tmp_path / "l.json")
    events = pull(order(tmp_path), HubAccess(served.endpoint), strict, consent, now)
    next(events)
    with pytest.raises(LicenceError, match="Strict"):
        next(events)
    assert served.served == 0
    assert not licences.accepted(tmp_path / "l.json", REPO, "Strict")


def test_a_dry_run_asks_nobody_and_ends_with_the_plan(served: Hub, tmp_path: Path) -> None:
    asked = Asked(yes=False)
    consent = Consent(asked, tmp_path / "l.json")
    dry = order(tmp_path, dry_run=True)
    (planned,) = pull(dry, HubAccess(served.endpoint), strict, consent, now)
    assert isinstance(planned, Planned)
    assert (asked.count, served.served) == (0, 0)


def test_a_file_that_the_repository_has_not_cannot_be_repaired(served: Hub, tmp_path: Path) -> None:
    consent = Consent(Asked(yes=True), tmp_path / "l.json")
    wrong = order(tmp_path, repair=("nope.json",))
    with pytest.raises(UsageError, match=r"nope\.json"):
        next(pull(wrong, HubAccess(served.endpoint), strict, consent, now))
