"""`qvq rm` and `qvq prune`: give disk space back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.world import World

_YES = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


def rm(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name or a repository.")],
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="REV", help="Only this revision.")
    ] = None,
    yes: _YES = False,
) -> None:
    """Delete a downloaded model, or a data set that was pulled."""
    from qvq_mlx.cli.spelling import typed
    from qvq_mlx.core.errors import BusyError
    from qvq_mlx.run.delete import delete
    from qvq_mlx.store import garbage, layout
    from qvq_mlx.store.places import present

    world: World = context.obj
    env, settings = world.env, world.settings
    place = present(model, settings.cards_folder, settings.hub_cache, revision)
    folder, commit = place.folder, place.commit
    again = typed("qvq", "rm", model, "-y")
    with layout.locked(folder) as mine:
        if not mine:
            holder = layout.lock_holder(folder) or "another process"
            raise BusyError(f"{holder} is pulling {folder.repo}", again)
        found = garbage.model(folder) if commit is None else garbage.revision(folder, commit)
        delete((found,), env, yes=yes, again=again)


def prune(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted.")] = False,
    yes: _YES = False,
) -> None:
    """Delete what no model needs: old revisions, stale partial files."""
    from qvq_mlx.cli.spelling import typed
    from qvq_mlx.run.delete import delete, list_garbage
    from qvq_mlx.store import garbage

    world: World = context.obj
    env = world.env
    with garbage.everywhere(world.settings.hub_cache, env.now().timestamp()) as found:
        if not found:
            env.stdout.write("nothing to prune\n")
        elif dry_run:
            list_garbage(found, env)
        else:
            delete(found, env, yes=yes, again=typed("qvq", "prune", "-y"))
