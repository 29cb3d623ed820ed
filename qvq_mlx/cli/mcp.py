"""`qvq mcp`: agents look at pictures, over the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qvq_mlx.cli import options
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Typed

Folders = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FOLDER]...", help="May be read besides the client's roots."),
]
Keep = Annotated[str | None, typer.Option(metavar="TIME", help="Unload when idle so long; 10m.")]


def mcp(
    context: typer.Context,
    folders: Folders = None,
    model: options.Model = None,
    budget: options.BudgetText = None,
    keep: Keep = None,
    no_save: options.NoSave = False,
) -> int:
    """Let an agent look at pictures: an MCP server on stdin and stdout.

    An agent starts it: `claude mcp add qvq -- qvq mcp`. Its tools are look, locate, read_pages
    and zoom. They read what lies in the folders that the agent shares, and in FOLDER.
    """
    if context.obj.env.stdin.isatty():
        raise UsageError("an agent starts qvq mcp", Typed("claude mcp add qvq -- qvq mcp"))
    from qvq_mlx.serve.mcp.stdio import serve

    return serve(context.obj, model, budget, tuple(folders or ()), keep, save=not no_save)
