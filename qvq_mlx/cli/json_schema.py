"""`qvq schema`: the JSON Schemas of what this version prints, as they are shipped."""

from __future__ import annotations

from pathlib import Path
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

    world: World = context.obj
    env = world.env
    files = {path.name.removesuffix(_ENDING): path for path in schemas_folder().glob(f"*{_ENDING}")}
    if name is None:
        env.stdout.write("".join(f"{known}\n" for known in sorted(files)))
        return
    if name not in files:
        raise UsageError(
            f"no schema is called {name!r}; known: {', '.join(sorted(files))}", Typed("qvq schema")
        )
    env.stdout.write(files[name].read_text(encoding="utf-8"))


def schemas_folder() -> Path:
    """`qvq_mlx/schema` in an installed wheel, `docs/schema` in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "schema"
    return installed if installed.is_dir() else package.parent / "docs" / "schema"
