"""`qvq import`: put a model from one file into the cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.tar", help="What qvq export wrote.")],
    name: Annotated[
        str, typer.Option("--as", metavar="NAME", help="Call it so, not as the archive does.")
    ] = "",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Change a model that is here, and ask nothing.")
    ] = False,
) -> None:
    """Put an exported model into the cache, every hash checked."""
    from qvq_mlx.cli.spelling import typed
    from qvq_mlx.run.signals import stoppable
    from qvq_mlx.run.unpack import unpack

    world: World = context.obj
    source = file.expanduser()
    words = ["qvq", "import", str(source), *(["--as", name] if name else [])]
    with stoppable("nothing was imported", typed(*words)):
        again = typed(*words, "--yes")
        unpack(source, world.settings.hub_cache, world.env, repo=name, yes=yes, again=again)
