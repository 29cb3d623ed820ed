"""`qvq last`: what the last run said, and what it thought."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.saved import Form
    from qvq_mlx.run.world import World

ANSWER = Annotated[bool, typer.Option("--answer", help="The answer alone, as it was written.")]
THINKING = Annotated[bool, typer.Option("--thinking", help="The thinking, whole.")]
AS_JSON = Annotated[bool, typer.Option("--json", help="The run as qvq ask --json prints it.")]
AS_JSONL = Annotated[bool, typer.Option("--jsonl", help="Its events as qvq ask --jsonl does.")]
BOXED = Annotated[bool, typer.Option("-x", help="Only the last boxed value, else the answer.")]

BOXES = Annotated[bool, typer.Option("--boxes", help="What it points at, as qvq ask --boxes.")]
COPY = Annotated[bool, typer.Option("--copy", help="Put the answer on the clipboard.")]
CODE = Annotated[
    int | None,
    typer.Option("--code", min=1, metavar="N", help="With --copy: its Nth block of code alone."),
]
ANNOTATE = Annotated[
    Path | None, typer.Option("--annotate", metavar="OUT.png", help="Draw that on the image.")
]


def last(
    context: typer.Context,
    answer: ANSWER = False,
    thinking: THINKING = False,
    as_json: AS_JSON = False,
    as_jsonl: AS_JSONL = False,
    boxed: BOXED = False,
    boxes: BOXES = False,
    annotate: ANNOTATE = None,
    copy: COPY = False,
    code: CODE = None,
) -> None:
    """Print the answer of the last run, or its thinking.

    On a terminal the run is shown as it stood there when it ended.
    """
    from qvq_mlx.cli.past import (  # not before: `qvq --help` reads this module
        copy_last,
        draw,
        show_last,
    )

    world: World = context.obj
    form = wanted_form(answer, thinking, as_json, as_jsonl, boxed, boxes)
    if copy or code is not None:
        copy_last(world, form, code)
    elif annotate is None:
        show_last(world, form)
    else:
        draw(world, None, form, annotate)


def wanted_form(
    answer: bool, thinking: bool, as_json: bool, as_jsonl: bool, boxed: bool, boxes: bool
) -> Form:
    """The one that was asked for. Raises UsageError for two."""
    from qvq_mlx.cli.past import FORMS, form_of

    flags = (answer, thinking, as_json, as_jsonl, boxed, boxes)
    return form_of(option for option, given in zip(FORMS, flags, strict=True) if given)
