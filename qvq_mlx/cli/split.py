"""`qvq split`: a saved output of a model, told apart into thinking and answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def split(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A text file, or - for stdin.")],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME", help="Whose output it is.")
    ] = "qvq",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Split a saved output into thinking and answer, and find loops.

    stdout gets the answer. The exit code is 3 where there is none.
    """
    from qvq_mlx.cli.spelling import typed
    from qvq_mlx.run.split import show_split

    world: World = context.obj
    more = None if as_json else typed("qvq", "split", "--json", str(file))
    show_split(world.env, file, model, more, as_json=as_json)
