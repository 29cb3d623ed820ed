"""`qvq verify`: rehash what is on this disk, and name the command that repairs it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.verify import Repair
    from qvq_mlx.run.world import World


def verify(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A name or a repository; else all.")
    ] = None,
) -> None:
    """Rehash models and data sets, offline, and name what is damaged."""
    from qvq_mlx.cli.spelling import typed
    from qvq_mlx.run.signals import stoppable
    from qvq_mlx.run.verify import tell_repairs, verify_models
    from qvq_mlx.store.places import every, present

    world: World = context.obj
    env, settings = world.env, world.settings
    cards, cache = settings.cards_folder, settings.hub_cache
    places = every(cache) if model is None else (present(model, cards, cache),)
    with stoppable("nothing was changed", typed("qvq", "verify", *([model] if model else []))):
        repairs = [_command(repair) for repair in verify_models(places, env)]
    tell_repairs(env, repairs, of_any=bool(places))


def _command(repair: Repair) -> str:
    """The command that fetches what is missing, or just that file of just that revision."""
    if repair.by_removal:
        return shlex.join(["qvq", "rm", repair.repo, "-y"])
    words = ["qvq", "pull", repair.repo]
    words += ["--repair", repair.path] if repair.path else []
    words += ["--revision", repair.revision] if repair.path and repair.revision else []
    return shlex.join(words)
