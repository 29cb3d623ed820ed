"""`qvq show`: all that is known of one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def show(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name, folder or repository.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show a model's card, shape and licence, and whether it fits here.

    What no source confirms is marked "unconfirmed".
    """
    from qvq_mlx.memory.candidates import candidate
    from qvq_mlx.records.models import ShowRecord
    from qvq_mlx.render import listing
    from qvq_mlx.render.models import write_model
    from qvq_mlx.run.catalogue import located

    world: World = context.obj
    card, folder = located(model, world.settings)
    path = None if folder is None else str(folder)
    known = candidate(card, world.env.machine(), on_disk=folder is not None)
    if as_json:
        listing.write_json(world.env, ShowRecord(card, path, known.estimate))
    else:
        write_model(world.env, known, path or "not on this disk")
