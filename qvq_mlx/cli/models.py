"""`qvq models` and `qvq list`: the catalogue, what of it fits here, and what lies on this disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def models(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="All quantizations of each.")] = False,
    memory: Annotated[
        str | None,
        typer.Option("--memory", metavar="SIZE", help="Of a Mac that is not this one: 36GB."),
    ] = None,
    chip: Annotated[
        str | None, typer.Option("--chip", metavar="NAME", help="Of that Mac: M4 Max.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List the models that qvq knows, and which of them fit here.

    fits: the share of what the GPU may hold that a run needs (qvq fit MODEL explains it).
    tok/s: expected, 80 % of memory bandwidth / size (63 % on an Ultra).
    ~: the size is computed. ?: no source confirms the repository.
    """
    # all of it only now: `qvq --help` reads this module
    from qvq_mlx.render import listing
    from qvq_mlx.render.models import share_of, write_models
    from qvq_mlx.run.catalogue import candidates, models_record
    from qvq_mlx.run.fit import machine_for
    from qvq_mlx.run.left_out import warn_of_cards

    world: World = context.obj
    env, machine = world.env, machine_for(memory, chip, world.env)
    warn_of_cards(env, world.settings.cards_folder)
    if as_json:
        listing.write_json(env, models_record(world.settings, machine))
        return
    known = candidates(world.settings, machine, every=every)
    write_models(env, known, machine, _footer(share_of(machine)))


def _footer(limit: str) -> str:
    if not limit:
        return "The memory of this machine is not known; qvq models --memory 36GB assumes one."
    return f"fits: share of {limit}. qvq models --all lists every quantization."


def list_models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List the models on this disk: size, revision, state, place."""
    from qvq_mlx.render import listing
    from qvq_mlx.render.models import write_downloaded
    from qvq_mlx.run.catalogue import downloaded
    from qvq_mlx.run.left_out import warn_of_cards

    world: World = context.obj
    warn_of_cards(world.env, world.settings.cards_folder)
    record = downloaded(world.settings)
    if as_json:
        listing.write_json(world.env, record)
    else:
        write_downloaded(world.env, record.models)
