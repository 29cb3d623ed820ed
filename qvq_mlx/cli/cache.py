"""`qvq cache`: what earlier runs left on the disk to save time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from qvq_mlx.core.sizes import size

if TYPE_CHECKING:
    from qvq_mlx.engine.cache_files import KeptFiles
    from qvq_mlx.run.world import World

cache = typer.Typer(
    help="Show or empty the cache of image prefixes.",
    rich_markup_mode=None,
    no_args_is_help=False,
    add_completion=False,
)


@cache.callback(invoke_without_command=True)
def root(context: typer.Context) -> None:
    """Show or empty the cache of image prefixes.

    What a model computed for an image is kept, so that the next question about it starts at once.
    """
    if context.invoked_subcommand is None:
        info(context)


@cache.command("info")
def info(context: typer.Context) -> None:
    """Say where the cache lies, what it holds and what it may hold."""
    from qvq_mlx.render.clean import shown

    world: World = context.obj
    env, kept = world.env, _kept(world)
    entries = kept.entries()
    held = sum(entry.size_bytes for entry in entries)
    env.stdout.write(shown(str(kept.folder), env.stdout) + "\n")
    env.stdout.write(f"{len(entries)} prefixes, {size(held)} of at most {size(kept.cap_bytes)}\n")


@cache.command("clear")
def clear(context: typer.Context) -> None:
    """Remove everything from it."""
    world: World = context.obj
    gone = _kept(world).clear()
    freed = sum(entry.size_bytes for entry in gone)
    world.env.stdout.write(f"removed {len(gone)} prefixes, {size(freed)}\n")


def _kept(world: World) -> KeptFiles:
    from qvq_mlx.engine.cache_files import prefixes_in

    settings = world.settings
    return prefixes_in(settings.cache_folder, settings.cache_max_bytes)
