"""`qvq list`: the models on this disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


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
