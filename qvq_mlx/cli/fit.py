"""`qvq fit`: whether a model fits, in numbers, and what would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.cli import options
from qvq_mlx.core.errors import ExitCode

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def fit(
    context: typer.Context,
    model: options.NamedModel = None,
    image: Annotated[
        list[str] | None,
        typer.Option("--image", "-i", metavar="FILE", help="Its tokens, not the largest image's."),
    ] = None,
    page: options.Pages = None,
    detail: options.Detail = None,
    budget: Annotated[
        int | None, typer.Option("--budget", min=0, metavar="N", help="Tokens of thinking.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option("--memory", metavar="SIZE", help="Of a Mac that is not this one: 36GB."),
    ] = None,
    chip: Annotated[
        str | None, typer.Option("--chip", metavar="NAME", help="Of that Mac: M4 Max.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> int:
    """Say whether a model fits in memory, and what fits instead.

    Shows the parts and the verdict. Without MODEL: the configured one, else the best of the
    catalogue that fits. With --hosts: on the first of machines like this one, which needs most.
    Exit code 0 where it fits, also tightly; 5 where it does not. docs/memory.md has the formula.
    """
    from qvq_mlx.core.image_options import ImageOptions, parse_detail, parse_pages
    from qvq_mlx.memory.estimate import Verdict
    from qvq_mlx.run.fit import Question, machine_for, show_fit
    from qvq_mlx.run.fit import fit as run
    from qvq_mlx.run.left_out import warn_of_cards

    world: World = context.obj
    env = world.env
    facts = machine_for(memory, chip, env)
    warn_of_cards(env, world.settings.cards_folder)
    how = ImageOptions(pages=parse_pages(page)) if page else ImageOptions()
    size = None if detail is None else parse_detail(detail)
    asked = Question(model, image or (), how, size, budget, world.kv_bits)
    found = run(asked, facts, env, world.settings)
    show_fit(env, found, memory, chip, as_json=as_json)
    return ExitCode.NO_MEMORY if found.estimate.verdict is Verdict.NO else ExitCode.OK
