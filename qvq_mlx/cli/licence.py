"""`qvq licence`: what a model's licence asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def licence(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show a model's licence: its duties, and where the text lies.

    The summary is no legal text; the licence itself holds.
    """
    from qvq_mlx.run.catalogue import show_licence

    world: World = context.obj
    show_licence(model, world.env, world.settings, as_json=as_json)
