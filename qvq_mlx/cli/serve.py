"""`qvq serve`, `qvq ps` and `qvq stop`: a server, and those that run."""

from __future__ import annotations

from typing import Annotated

import typer

from qvq_mlx.cli import options

Names = Annotated[list[str] | None, typer.Option(metavar="NAME", help="A further name for it.")]
Sites = Annotated[list[str] | None, typer.Option(metavar="URL", help="Its pages may ask too.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")]
Keep = Annotated[str | None, typer.Option(metavar="TIME", help="Unload when idle so long: 10m.")]


def serve(
    context: typer.Context,
    model: options.Model = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Port = 8080,
    keep: Keep = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch pictures from https.")] = False,
    allow_host: Names = None,
    origin: Sites = None,
) -> None:
    """Serve a model over HTTP: OpenAI's API, Anthropic's, and a page."""
    from qvq_mlx.serve.listen import listening, serve

    names = (tuple(allow_host or ()), tuple(origin or ()))
    serve(model, listening(host, port, keep, names, may_fetch=fetch), context.obj)


def ps(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List your servers that run: model, address, memory, idle time."""
    from qvq_mlx.run.servers import list_servers

    list_servers(context.obj.env, context.obj.settings, as_json=as_json)


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

    stop_server(server, context.obj.env, context.obj.settings)
