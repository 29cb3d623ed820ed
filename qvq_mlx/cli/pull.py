"""`qvq pull`: fetch a model, and go on where the last try ended."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qvq_mlx.core.card import ModelCard
    from qvq_mlx.core.env import Env
    from qvq_mlx.render.transfers import Transfers
    from qvq_mlx.store.download import Advice, Adviser, Listing, PullDone, PullEvent, PullPlan
    from qvq_mlx.store.layout import RepoFolder


@dataclass(frozen=True, slots=True)
class Wish:
    """One command line."""

    model: str
    revision: str | None = None
    repair: tuple[str, ...] = ()
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False

    @property
    def command(self) -> str:
        """The same wish again."""
        words = ["qvq", "pull", self.model]
        words += ["--revision", self.revision] if self.revision else []
        words += [word for path in self.repair for word in ("--repair", path)]
        return shlex.join(words)


# One parameter per option: typer reads the command line off this signature.
def pull(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name or a repository.")],
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="REV", help="A branch, tag or commit; else main."),
    ] = None,
    repair: Annotated[
        list[str] | None,
        typer.Option("--repair", metavar="FILE", help="Check this file; fetch it if damaged."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Accept the model's licence; ask nothing.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Download a model; an interrupted download goes on where it stopped."""
    wish = Wish(model, revision, tuple(repair or ()), yes, dry_run, as_json)
    from qvq_mlx.run.signals import stoppable

    with stoppable("what came is kept", wish.command):
        run(wish, context.obj)


def run(wish: Wish, env: Env, advise: Adviser | None = None) -> None:
    """One pull. `advise` says what to know before the first byte; None: the machine's own facts.

    Raises a QvqError.
    """
    from qvq_mlx.core.errors import DamagedError, GatedError, ModelError, NetworkError

    again = wish.command
    try:
        _run(wish, env, advise or partial(_advice, env))
    except GatedError as error:
        raise GatedError(error.message, f"HF_TOKEN=YOUR_TOKEN {again}") from error
    except NetworkError as error:
        raise NetworkError(error.message, error.hint or again) from error
    except DamagedError as error:
        raise DamagedError(error.message, error.hint or again) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ModelError(f"{error.filename or wish.model}: {error.strerror or error}") from error


def _run(wish: Wish, env: Env, advise: Adviser) -> None:
    from qvq_mlx.cli.places import repository
    from qvq_mlx.render.transfers import Transfers
    from qvq_mlx.settings import config
    from qvq_mlx.store import hub

    card, folder = repository(wish.model, env)
    access = config.hub(env)
    revision = wish.revision or "main"
    if wish.repair and wish.revision is None:  # what is here, not what is the newest
        revision = folder.references().get("main", "main")
    disk = hub.Disk()
    listing = hub.listing(card.repo, revision, access, hub.RealPace(), env.now)
    again = _damaged(wish, folder, listing)
    plan = hub.plan(folder, listing, disk, again)
    told = advise(card, plan)
    screen = Transfers(
        env, listing.size_bytes, plan.have_bytes, verb="fetched", document=wish.as_json
    )
    if not wish.as_json:
        _facts(plan, told, screen)
    if not wish.dry_run:
        _accepted(wish, card, told, env, screen)
        events = hub.pull(folder, listing, access, env.now, disk, again)
        done = _watched(events, screen)
        _closing(wish, done, env, screen)
    if wish.as_json:
        _write_json(wish, plan, told, folder, env)


def _advice(env: Env, card: ModelCard, plan: PullPlan) -> Advice:
    """What is known of the licence and of this machine before the first byte."""
    from qvq_mlx.memory.estimate import Verdict, estimate_for, typical
    from qvq_mlx.store.download import Advice
    from qvq_mlx.store.licence import licence_of

    measured = replace(card, download_bytes=plan.listing.size_bytes)
    found = estimate_for(measured, env.machine(), typical(card))
    word = {Verdict.YES: "fits this machine", Verdict.TIGHT: "a tight fit"}
    unfit = "does not fit this machine" if found.verdict is Verdict.NO else "fit not known"
    name = card.licence or plan.listing.licence
    licence = licence_of(name)
    return Advice(
        licence=name,
        fit=f"{word.get(found.verdict, unfit)}: {found.reason}",
        duties=licence.duties if licence.to_accept else (),
    )


def _damaged(wish: Wish, folder: RepoFolder, listing: Listing) -> frozenset[str]:
    """The blobs of `--repair` that are not what their name says. Raises UsageError."""
    from qvq_mlx.core.errors import UsageError
    from qvq_mlx.store.digests import matches

    files = {file.path: file for file in listing.files}
    found = set()
    for path in wish.repair:
        if path not in files:
            raise UsageError(f"{listing.repo} has no file {path}", f"qvq verify {wish.model}")
        blob = files[path].blob
        if not folder.blob(blob).is_file() or not matches(folder.blob(blob), blob):
            found.add(blob)
    return frozenset(found)


def _facts(plan: PullPlan, told: Advice, screen: Transfers) -> None:
    """What there is to know before the first byte."""
    from qvq_mlx.core.sizes import size

    listing = plan.listing
    parts = [f"{listing.repo}: {size(listing.size_bytes)} in {len(listing.files)} files"]
    if not plan.fetches:
        parts.append("all of it is here")
    elif plan.have_bytes:
        parts.append(f"{size(plan.have_bytes)} here, {size(plan.fetch_bytes)} to fetch")
    screen.say(" · ".join(parts))
    licence = f"licence {told.licence}" if told.licence else "licence not stated"
    screen.say(" · ".join([f"{size(plan.free_bytes)} free on the disk", licence]))
    if told.fit:
        screen.say(told.fit)


def _accepted(wish: Wish, card: ModelCard, told: Advice, env: Env, screen: Transfers) -> None:
    """Have a licence with duties accepted, once. Raises LicenceError where it is not."""
    from qvq_mlx.cli.places import confirmed
    from qvq_mlx.core.errors import LicenceError
    from qvq_mlx.settings import config
    from qvq_mlx.store import licences

    file = config.licences_file(env)
    if not told.duties or licences.accepted(file, card.repo, told.licence):
        return
    for duty in told.duties:
        screen.say(f"  {told.licence}: {duty}")
    if not wish.yes and not confirmed(f"Do you accept the licence {told.licence}?", env):
        raise LicenceError(
            f"the licence {told.licence} of {card.name} is not accepted",
            f"{wish.command} -y",
        )
    licences.accept(file, card.repo, told.licence, env.now().date().isoformat())


def _watched(events: Iterator[PullEvent], screen: Transfers) -> PullDone:
    """Show the pull; an error leaves a clean screen."""
    from qvq_mlx.store.download import PullDone

    try:
        screen.begin()
        for event in events:
            screen.feed(event)
            if isinstance(event, PullDone):
                return event
    finally:
        screen.close()
    raise AssertionError("a pull ends with PullDone")


def _closing(wish: Wish, done: PullDone, env: Env, screen: Transfers) -> None:
    """The folder for a script; for a person, what to do next."""
    from qvq_mlx.core.sizes import size
    from qvq_mlx.render.clean import writable

    if wish.as_json:
        return
    if env.stdout.isatty():
        screen.say(f"{wish.model} is here · {size(done.fetched_bytes)} fetched")
        screen.say(f'  try: qvq ask -m {wish.model} IMAGE "question"')
    else:
        env.stdout.write(writable(f"{done.folder}\n", env.stdout))


def _write_json(wish: Wish, plan: PullPlan, told: Advice, folder: RepoFolder, env: Env) -> None:
    from qvq_mlx.records.runs import VERSION
    from qvq_mlx.render.clean import json_text

    listing = plan.listing
    missing = {fetch.file.blob: fetch for fetch in plan.fetches}
    document = {
        "version": VERSION,
        "repo": listing.repo,
        "revision": listing.revision,
        "commit": listing.commit,
        "licence": told.licence or None,
        "fit": told.fit or None,
        "size_bytes": listing.size_bytes,
        "fetch_bytes": plan.fetch_bytes,
        "free_bytes": plan.free_bytes,
        "snapshot": None if wish.dry_run else str(folder.snapshot(listing.commit)),
        "files": [
            {
                "path": file.path,
                "hash": file.blob,
                "size_bytes": file.size_bytes,
                "have_bytes": missing[file.blob].have_bytes
                if file.blob in missing
                else file.size_bytes,
            }
            for file in listing.files
        ],
    }
    env.stdout.write(json_text(document, indent=2) + "\n")
