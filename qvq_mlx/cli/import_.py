"""`qvq import`: put a model from one file into the cache."""

from __future__ import annotations

from functools import partial
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
    """Put an exported model into the cache, after every hash was checked."""
    from qvq_mlx.cli.spelling import typed
    from qvq_mlx.core.remedies import Ask, Field
    from qvq_mlx.core.sizes import size
    from qvq_mlx.render.clean import clean_line
    from qvq_mlx.render.transfers import Transfers
    from qvq_mlx.run.delete import allow
    from qvq_mlx.run.signals import stoppable
    from qvq_mlx.store import archive
    from qvq_mlx.store.layout import size_of
    from qvq_mlx.system.space import free_bytes

    world: World = context.obj
    env = world.env
    source = file.expanduser()
    screen = Transfers(env, size_of(source) or 0)
    with stoppable("nothing was imported", typed("qvq", "import", str(source))):
        again = typed("qvq", "import", str(source), "--yes")
        ask = partial(allow, env=env, yes=yes, remedy=again)
        events = archive.import_(source, world.settings.hub_cache, free_bytes, ask, name)
        found = screen.watch(events)
    assert found is not None, "the listing comes last"
    env.stdout.write(f"{clean_line(found.repo)} · {size(found.size_bytes)} · every hash is right\n")
    asked = Ask(settings=((Field.MODEL, found.repo),))
    env.stdout.write(f"  try: {clean_line(env.spelling.remedy(asked))}\n")
