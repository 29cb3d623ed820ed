"""`qvq export`: a model as one file, for a machine without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def export(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name or a repository.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.tar", help="What to write, a new file.")],
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="REV", help="A revision that is on this disk."),
    ] = None,
) -> None:
    """Write a downloaded model into one file, with its hashes."""
    from qvq_mlx.cli.spelling import typed
    from qvq_mlx.core.errors import ModelNotOnDiskError
    from qvq_mlx.core.remedies import PullModel
    from qvq_mlx.core.sizes import size
    from qvq_mlx.render.clean import shown
    from qvq_mlx.render.transfers import Transfers
    from qvq_mlx.run.signals import stoppable
    from qvq_mlx.store import archive, local
    from qvq_mlx.store.places import present_model
    from qvq_mlx.store.verify import snapshot_bytes

    world: World = context.obj
    env, settings = world.env, world.settings
    place = present_model(model, settings.cards_folder, settings.hub_cache, revision)
    folder, commit = place.folder, place.commit or local.current_commit(place.folder)
    if commit is None:
        raise ModelNotOnDiskError(
            f"no snapshot of {folder.repo} is whole on this disk", PullModel(model)
        )
    target = file.expanduser()
    screen = Transfers(env, snapshot_bytes(folder, commit))
    with stoppable(f"{target} was not written", typed("qvq", "export", model, str(target))):
        screen.watch(archive.export(folder, commit, target))
    name = shown(str(target), env.stdout)
    back = shown(env.spelling.remedy(typed("qvq", "import", str(target))), env.stdout)
    env.stdout.write(f"{name} · {size(target.stat().st_size)}\n  try: {back}\n")
