"""`qvq erase`: every trace of every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def erase(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Erase every trace of every run: history, pictures, prefixes.

    Measurements too. Says what remains. Models and settings stay. docs/privacy.md has what each
    option leaves.
    """
    from qvq_mlx.core.remedies import Typed
    from qvq_mlx.run.erase import erase_everything

    world: World = context.obj
    erase_everything(world.settings, world.env, yes=yes, remedy=Typed("qvq erase --yes"))
