"""`qvq integrate`: ask from the Finder, Shortcuts and Raycast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.integrate import Place

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def integrate(
    context: typer.Context,
    place: Annotated[Place, typer.Argument(help="Where to ask from.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take it away again.")] = False,
) -> None:
    """Put qvq into the Finder's menu, Shortcuts or Raycast.

    Says what is written, and what is left to do. Only what was made here is replaced or removed.
    """
    from qvq_mlx.integrate import desk

    world: World = context.obj
    (desk.remove if remove else desk.install)(place, world.env, world.settings)
