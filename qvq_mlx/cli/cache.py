"""`qvq cache`: what earlier runs left on the disk to save time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
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
    from qvq_mlx.run.prefixes import show_prefixes

    world: World = context.obj
    show_prefixes(world.env, world.settings)


@cache.command("clear")
def clear(context: typer.Context) -> None:
    """Remove everything from it."""
    from qvq_mlx.run.prefixes import clear_prefixes

    world: World = context.obj
    clear_prefixes(world.env, world.settings)
