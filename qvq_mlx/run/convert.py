"""Converts a checkpoint of transformers into one that MLX runs, and shows how far it is."""

from __future__ import annotations

from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import OutputError, StoppedError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.core.sizes import size
from qvq_mlx.engine.convert import Conversion
from qvq_mlx.engine.recipe import Recipe
from qvq_mlx.render.working import Working
from qvq_mlx.run.ending import notifying
from qvq_mlx.settings.config import Settings
from qvq_mlx.store import local, registry, staging
from qvq_mlx.store.card_text import card_text
from qvq_mlx.system import space

_SPARE_BYTES = 2**26  # for the sidecars, and so that the disk is not filled to the last byte


def convert(
    source: Path, target: Path, recipe: Recipe, env: Env, settings: Settings, *, quiet: bool
) -> int:
    """Write `source` in MLX's form to `target`, which appears when it is whole. Returns its bytes.

    The target was checked. Raises OutputError where the disk is too small, a ModelError for a
    checkpoint that cannot be read, and StoppedError for Ctrl-C.
    """
    local.check_kind(source.absolute())
    conversion = Conversion(source.absolute(), recipe)
    card, _ = registry.resolve(str(source.absolute()), settings.hub_cache, settings.cards_folder)
    free = space.free_bytes(target)
    if conversion.write_bytes + _SPARE_BYTES > free:
        raise OutputError(
            f"{target} needs {size(conversion.write_bytes)} and {size(free)} are free",
            RunProgram(("df", "-h", str(target.absolute().parent))),
        )
    try:
        with notifying(env, settings, "the conversion"), staging.staged(target) as folder:
            _write(conversion, folder, card, Working(env, quiet=quiet))
    except KeyboardInterrupt:
        raise StoppedError(f"stopped; {target} is as it was") from None
    return conversion.write_bytes


def _write(conversion: Conversion, folder: Path, card: ModelCard, status: Working) -> None:
    total = conversion.read_bytes
    try:
        status.show(f"convert 0 of {size(total)}")
        for done in conversion.write(folder):
            status.show(f"convert {size(done)} of {size(total)}")
    finally:
        status.close()
    (folder / registry.CARD).write_text(card_text(card), encoding="utf-8")
