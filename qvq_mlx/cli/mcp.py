"""`qvq mcp`: agents look at pictures, over the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.cli import options
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Typed
from qvq_mlx.core.request import Policy, Request

if TYPE_CHECKING:
    from qvq_mlx.run.world import World

Folders = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FOLDER]...", help="May be read besides the client's roots."),
]


def mcp(
    context: typer.Context,
    folders: Folders = None,
    model: options.Model = None,
    budget: options.BudgetText = None,
    no_save: options.NoSave = False,
) -> int:
    """Let an agent look at pictures: an MCP server on stdin and stdout.

    An agent starts it: `claude mcp add qvq -- qvq mcp`. Its tools are look, locate, read_pages
    and zoom. They read what lies in the folders that the agent shares, and in FOLDER.
    """
    from qvq_mlx.run.choose import model_for
    from qvq_mlx.run.groups import limits_of

    world: World = context.obj
    if world.env.stdin.isatty():
        raise UsageError("an agent starts qvq mcp", Typed("claude mcp add qvq -- qvq mcp"))
    name = model_for(world.env, world.settings, model)
    policy = Policy(offline=True, save=not no_save)
    base = Request("", (), name, limits=limits_of(budget), policy=policy)
    from qvq_mlx.serve.mcp.stdio import serve

    world.forbid_network()
    return serve(base, world.env, world.settings, tuple(folders or ()), 600.0)
