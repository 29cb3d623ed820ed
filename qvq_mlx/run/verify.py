"""Rehashes models and data sets, shows how far it is, and says what has to be repaired."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import BrokenModelError, DamagedError, ModelError, UnsupportedModelError
from qvq_mlx.core.remedies import PullModel, Typed
from qvq_mlx.core.sizes import size
from qvq_mlx.render.clean import clean_line
from qvq_mlx.render.transfers import Transfers
from qvq_mlx.store import local
from qvq_mlx.store.download import Damaged, Verified
from qvq_mlx.store.layout import RepoKind
from qvq_mlx.store.places import Place
from qvq_mlx.store.verify import total_bytes, verify


@dataclass(frozen=True, slots=True)
class Repair:
    """A file to pull again, or with `path` empty all that is missing.

    `revision` is empty where it is the one that `main` names. `by_removal`: no pull helps.
    """

    repo: str
    path: str = ""
    revision: str = ""
    by_removal: bool = False


def verify_models(places: Iterable[Place], env: Env) -> tuple[Repair, ...]:
    """Check each place and print what was found. Nothing is changed on the disk."""
    return tuple(repair for place in places for repair in _verified(place, env))


def _verified(place: Place, env: Env) -> list[Repair]:
    """The repairs that one repository needs; none where all is well."""
    folder = place.folder
    commits = folder.commits() if place.commit is None else (place.commit,)
    total = total_bytes(folder, commits)
    screen = Transfers(env, total)
    damaged: list[Damaged] = []
    whole = 0
    try:
        screen.begin()
        for event in verify(folder, commits):
            screen.feed(event)
            if isinstance(event, Damaged):
                damaged.append(event)
            whole += isinstance(event, Verified)
    finally:
        screen.close()
    files = f"{whole} file" if whole == 1 else f"{whole} files"
    tail = f"; {len(damaged)} not" if damaged else ""
    env.stdout.write(f"{clean_line(folder.repo)}: {files} whole{tail} · {size(total)} read\n")
    for found in damaged:
        line = f"{found.path} {found.reason} (revision {found.commit[:12]})"
        env.stdout.write(f"  {clean_line(line)}\n")
    if folder.kind is RepoKind.DATASET:  # which files a data set has to have, nobody noted
        return [Repair(folder.repo, by_removal=True)] if damaged else []
    main = folder.references().get("main")
    repairs = [
        Repair(folder.repo, found.path, "" if found.commit == main else found.commit)
        for found in damaged
    ]
    return repairs or _incomplete(place, env)


def _incomplete(place: Place, env: Env) -> list[Repair]:
    """Every link is right; whether all that the model needs is linked is another question."""
    folder = place.folder
    card = ModelCard(folder.repo, "", "", "", repo=folder.repo, revision=place.commit or "")
    if not card.revision and local.current(folder) is None and folder.commits():
        return []  # several revisions, none of which is main: each has its own name
    try:
        local.snapshot(card, folder.hub_cache)
    except ModelError as error:
        line = env.spelling.sentence(error.parts)
        run = not isinstance(error, UnsupportedModelError)  # else no pull of it would help
        to_pull = run and isinstance(error.remedy, PullModel)
        broken = isinstance(error, BrokenModelError) and not to_pull
        if broken:  # every hash is right: what is wrong came so
            line += " (as its makers published it: pulling it again changes nothing)"
        env.stdout.write(f"  {clean_line(line)}\n")
        return [Repair(card.source, by_removal=broken)] if to_pull or broken else []
    return []


def tell_repairs(env: Env, commands: Sequence[str], *, of_any: bool) -> None:
    """Print the commands that repair what is damaged. `of_any` False: there was nothing to verify.

    Raises DamagedError, whose remedy is the last of them, where there are any.
    """
    if not of_any:
        env.stdout.write("no model is in the cache\n")
    if not commands:
        return
    env.stdout.write("".join(f"  repair: {clean_line(command)}\n" for command in commands[:-1]))
    count = "1 repair is" if len(commands) == 1 else f"{len(commands)} repairs are"
    raise DamagedError(f"{count} needed", Typed(commands[-1]))
