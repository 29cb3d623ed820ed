"""`qvq ps` and `qvq stop`: the servers that run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def ps(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List your servers that run: model, address, memory, idle time."""
    from qvq_mlx.run.servers import list_servers

    world: World = context.obj
    list_servers(world.env, world.settings, as_json=as_json)


def stop(
    context: typer.Context,
    server: Annotated[
        str | None, typer.Argument(metavar="[MODEL|PID]", help="Needed where several run.")
    ] = None,
) -> None:
    """End a server of yours that runs, and wait until it has.

    What it writes is ended as on Ctrl-C: replies are finished and saved. Exit code 2 where there
    is none, or where it is not clear which; 75 where it does not end.
    """
    from qvq_mlx.run.servers import stop_server

    world: World = context.obj
    stop_server(server, world.env, world.settings)
