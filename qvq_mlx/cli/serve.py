"""`qvq serve`: one loaded model for other programs, over HTTP."""

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
