"""`qvq convert`: a transformers checkpoint to one that MLX runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.core.sizes import size
from qvq_mlx.engine.recipe import Dtype, Recipe

if TYPE_CHECKING:
    from qvq_mlx.core.card import ModelCard
    from qvq_mlx.core.env import Env
    from qvq_mlx.engine.convert import Conversion
    from qvq_mlx.run.world import World

_SPARE_BYTES = 2**26  # for the sidecars, and so that the disk is not filled to the last byte


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


# One parameter per option: typer reads the command line off this signature.
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
    from qvq_mlx.core.errors import BrokenModelError, OutputError, StoppedError
    from qvq_mlx.render.clean import shown
    from qvq_mlx.store import registry, staging
    from qvq_mlx.system import space

    world: World = context.obj
    env = world.env
    if not source.is_dir():
        raise BrokenModelError(f"{source} is no folder", f"ls -ld {source}")
    staging.check_target(target, source, force=force)
    settings = world.settings
    from qvq_mlx.engine.convert import Conversion  # not before what fails at once: it needs mlx

    recipe = Recipe(0 if bits is Bits.NONE else int(bits), int(group_size), dtype)
    conversion = Conversion(source.absolute(), recipe)
    card, _ = registry.resolve(str(source.absolute()), settings.hub_cache, settings.cards_folder)
    free = space.free_bytes(target)
    if conversion.write_bytes + _SPARE_BYTES > free:
        raise OutputError(
            f"{target} needs {size(conversion.write_bytes)} and {size(free)} are free",
            f"df -h {target.absolute().parent}",
        )
    try:
        with staging.staged(target) as folder:
            _write(conversion, folder, card, env, quiet=quiet)
    except KeyboardInterrupt:
        raise StoppedError(f"stopped; {target} is as it was") from None
    spelled = "not quantized" if bits is Bits.NONE else f"{bits} bit"
    name = shown(str(target), env.stdout)
    env.stdout.write(f"{name}  {size(conversion.write_bytes)}  {spelled}\n")


def _write(conversion: Conversion, folder: Path, card: ModelCard, env: Env, *, quiet: bool) -> None:
    from qvq_mlx.render.working import Working
    from qvq_mlx.store import registry
    from qvq_mlx.store.card_text import card_text

    total = conversion.read_bytes
    status = Working(env, quiet=quiet)
    try:
        status.show(f"convert 0 of {size(total)}")
        for done in conversion.write(folder):
            status.show(f"convert {size(done)} of {size(total)}")
    finally:
        status.close()
    (folder / registry.CARD).write_text(card_text(card), encoding="utf-8")
