"""`qvq convert`: a transformers checkpoint to one that MLX runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.core.sizes import size
from qvq_mlx.engine.recipe import Dtype, Recipe

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


class Bits(StrEnum):
    """Bits of a quantized weight."""

    THREE = "3"
    FOUR = "4"
    FIVE = "5"
    SIX = "6"
    EIGHT = "8"
    NONE = "none"


class GroupSize(StrEnum):
    """Weights that share one scale."""

    SMALL = "32"
    MIDDLE = "64"
    LARGE = "128"


def convert(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="SRC", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="DST", show_default=False)],
    bits: Annotated[
        Bits, typer.Option("--bits", help="Bits per weight of the language model.")
    ] = Bits.FOUR,
    group_size: Annotated[
        GroupSize, typer.Option("--group-size", help="Weights that share a scale.")
    ] = GroupSize.MIDDLE,
    dtype: Annotated[
        Dtype, typer.Option("--dtype", help="Of what is not quantized: the vision encoder.")
    ] = Dtype.BFLOAT16,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the checkpoint that DST holds.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only on stderr.")] = False,
) -> None:
    """Convert a checkpoint from transformers to MLX.

    SRC is a folder with config.json and *.safetensors, of one of the families that `qvq ask`
    runs. DST is a new folder; it appears when it is whole. Then: qvq ask -m DST IMAGE "question".
    """
    from qvq_mlx.render.clean import shown
    from qvq_mlx.store import staging

    world: World = context.obj
    staging.check(source, target, force=force)
    from qvq_mlx.run.convert import convert as run  # not before what fails at once: it needs mlx

    recipe = Recipe(0 if bits is Bits.NONE else int(bits), int(group_size), dtype)
    written_bytes = run(source, target, recipe, world.env, world.settings, quiet=quiet)
    spelled = "not quantized" if bits is Bits.NONE else f"{bits} bit"
    name = shown(str(target), world.env.stdout)
    world.env.stdout.write(f"{name}  {size(written_bytes)}  {spelled}\n")
