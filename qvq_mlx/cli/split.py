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
    """Split a saved output into thinking and answer, and look for loops.

    stdout gets the answer. The exit code is 3 where there is none.
    """
    from qvq_mlx.cli.spelling import typed
    from qvq_mlx.core.errors import NoAnswerError
    from qvq_mlx.guards.saved import has_answer, why_no_answer
    from qvq_mlx.records.split import split_record
    from qvq_mlx.render import listing
    from qvq_mlx.render.split import write_answer, write_findings
    from qvq_mlx.run.split import examined

    world: World = context.obj
    found = examined(file, model, world.env)
    whole = has_answer(found)
    if as_json:
        listing.write_json(world.env, split_record(found))
    else:
        write_findings(world.env, found)
        if whole:
            write_answer(world.env, found.transcript.answer)
    if not whole:
        raise NoAnswerError(
            why_no_answer(found), None if as_json else typed("qvq", "split", "--json", str(file))
        )
