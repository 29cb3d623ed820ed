"""Pulls a model and shows it: the machine's advice, the licence, the transfer, the folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ModelError
from qvq_mlx.core.remedies import Ask, Field
from qvq_mlx.memory.estimate import Verdict, estimate, typical
from qvq_mlx.records.models import PulledFile, PullRecord
from qvq_mlx.records.runs import VERSION
from qvq_mlx.render import listing
from qvq_mlx.render.clean import clean_line
from qvq_mlx.render.pulling import PullScreen
from qvq_mlx.run.ending import notifying
from qvq_mlx.settings import config
from qvq_mlx.settings.config import Settings
from qvq_mlx.store.download import Advice, Adviser, PullDone, PullPlan
from qvq_mlx.store.layout import RepoFolder
from qvq_mlx.store.licence import licence_of
from qvq_mlx.store.local import current_commit
from qvq_mlx.store.places import one_revision, repository
from qvq_mlx.store.pull import Consent, Order, Planned, pull
from qvq_mlx.system.awake import awake


@dataclass(frozen=True, slots=True)
class Wish:
    """A wish to pull. `yes`: the licence is accepted; `as_json`: one object on stdout.

    `revision` and `repair` are as in `store.pull.Order`.
    """

    model: str
    revision: str | None = None
    repair: tuple[str, ...] = ()
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False


def pull_model(wish: Wish, env: Env, settings: Settings, advise: Adviser | None = None) -> None:
    """Pull and show. `advise` says what to know before the first byte; None: the machine's facts.

    Raises a QvqError.
    """
    try:
        with (
            awake(env.environ),
            notifying(env, settings, f"the download of {clean_line(wish.model)}"),
        ):
            _pulled(wish, env, settings, advise or partial(machine_advice, env))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ModelError(f"{error.filename or wish.model}: {error.strerror or error}") from error


def machine_advice(env: Env, card: ModelCard, plan: PullPlan) -> Advice:
    """Return what is known of the licence and of this machine before the first byte."""
    measured = replace(card, download_bytes=plan.listing.size_bytes)
    found = estimate(measured, env.machine(), typical(card))
    word = {Verdict.YES: "fits this machine", Verdict.TIGHT: "a tight fit"}
    unfit = "does not fit this machine" if found.verdict is Verdict.NO else "fit not known"
    name = card.licence or plan.listing.licence
    licence = licence_of(name)
    return Advice(
        licence=name,
        fit=f"{word.get(found.verdict, unfit)}: {found.reason}",
        duties=licence.duties if licence.to_accept else (),
    )


def _pulled(wish: Wish, env: Env, settings: Settings, advise: Adviser) -> None:
    card, folder = repository(wish.model, settings.cards_folder, settings.hub_cache)
    revision = one_revision(card, wish.revision)
    order = Order(card, folder, revision, wish.repair, wish.dry_run)
    screen = PullScreen(env, document=wish.as_json)
    consent = Consent(partial(screen.consent, given=wish.yes), config.licences_file(env))
    planned: Planned | None = None
    done: PullDone | None = None
    try:
        for event in pull(order, config.hub(env), advise, consent, env.now):
            if isinstance(event, Planned):
                planned = event
                screen.planned(event.plan, event.advice)
                continue
            screen.feed(event)
            done = event if isinstance(event, PullDone) else done
    finally:
        screen.close()
    assert planned is not None, "a pull begins with Planned"
    if done is not None:
        name = _called(card, folder, done.folder.name)
        screen.finish(name, done, Ask(settings=((Field.MODEL, name),)))
    if wish.as_json:
        listing.write_json(env, _record(planned, done))


def _called(card: ModelCard, folder: RepoFolder, commit: str) -> str:
    """The name by which commands take a revision that is here: short where it is the usual one."""
    name = card.name.removesuffix(f"@{card.revision}")
    return name if commit == current_commit(folder) else f"{name}@{folder.short(commit)}"


def _record(planned: Planned, done: PullDone | None) -> PullRecord:
    """`done` None: nothing was fetched, it is a dry run."""
    plan, told = planned.plan, planned.advice
    missing = {fetch.file.blob: fetch for fetch in plan.fetches}
    return PullRecord(
        version=VERSION,
        repo=plan.listing.repo,
        revision=plan.listing.revision,
        commit=plan.listing.commit,
        licence=told.licence or None,
        fit=told.fit or None,
        size_bytes=plan.listing.size_bytes,
        fetch_bytes=plan.fetch_bytes,
        free_bytes=plan.free_bytes,
        snapshot=None if done is None else str(done.folder),
        files=tuple(
            PulledFile(
                path=file.path,
                hash=file.blob,
                size_bytes=file.size_bytes,
                have_bytes=missing[file.blob].have_bytes
                if file.blob in missing
                else file.size_bytes,
            )
            for file in plan.listing.files
        ),
    )
