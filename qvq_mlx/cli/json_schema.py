"""`qvq schema`: the JSON Schemas of what this version prints, as they are shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.world import World

_ENDING = ".schema.json"


def schema(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[result|events|boxes|batch|doctor]")
    ] = None,
) -> None:
    """Print the JSON Schema of what qvq prints as JSON.

    result is --json, events a line of --jsonl, boxes --boxes, batch a line of qvq batch. Without a
    name: the names. docs/json.md describes the fields.
    """
    from qvq_mlx.core.errors import UsageError
    from qvq_mlx.core.remedies import Typed
    from qvq_mlx.core.shipped import shipped

    world: World = context.obj
    folder = shipped("schema", "docs/schema")
    files = {path.name.removesuffix(_ENDING): path for path in folder.glob(f"*{_ENDING}")}
    if name is None:
        world.env.stdout.write("".join(f"{known}\n" for known in sorted(files)))
        return
    if name not in files:
        raise UsageError(
            f"no schema is called {name!r}; known: {', '.join(sorted(files))}", Typed("qvq schema")
        )
    world.env.stdout.write(files[name].read_text(encoding="utf-8"))
