"""The model families that qvq runs: one file, one class each.

Law: this folder is the only one that names a family. Everything else holds a `Family` and asks it.
To add one: a member of `ModelType`, a file with its two classes (`Family`, and `Vision` where it
sees), an arm in `family_named`; `python -m tools.add_family` shows what is missing until then.
Nothing here imports mlx: a family gives names, values and orders of axes, and `engine/` makes the
arrays. So a folder's card (`store/`) is read without an engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from qvq_mlx.core.errors import UnsupportedModelError
from qvq_mlx.core.places import Coordinates
from qvq_mlx.core.remedies import PullModel, Show
from qvq_mlx.families.family import Family, ModelType

__all__ = [
    "Family",
    "ModelType",
    "check_runs",
    "coordinates_of",
    "family_named",
    "family_of",
]


def family_named(model_type: ModelType) -> Family:
    """The family of a `model_type`. Imports that family's file alone."""
    match model_type:
        case ModelType.QWEN2_VL:
            from qvq_mlx.families.qwen2_vl import Qwen2VL

            return Qwen2VL()
        case ModelType.QWEN2_5_VL:
            from qvq_mlx.families.qwen2_5_vl import Qwen25VL

            return Qwen25VL()
        case ModelType.QWEN2:
            from qvq_mlx.families.qwen2 import Qwen2

            return Qwen2()
        case ModelType.QWEN3_VL:
            from qvq_mlx.families.qwen3_vl import Qwen3VL

            return Qwen3VL()
        case ModelType.QWEN3_VL_MOE:
            from qvq_mlx.families.qwen3_vl_moe import Qwen3VLMoe

            return Qwen3VLMoe()
        case ModelType.QWEN3_5:
            from qvq_mlx.families.qwen3_5 import Qwen35

            return Qwen35()
        case ModelType.QWEN3_5_MOE:
            from qvq_mlx.families.qwen3_5_moe import Qwen35Moe

            return Qwen35Moe()
        case _:
            assert_never(model_type)


def family_of(config: Mapping[str, object], place: object) -> Family:
    """The family that the config.json of `place` states.

    Raises UnsupportedModelError for an architecture that is not run, and for none.
    """
    check_runs(config, place)
    for known in ModelType:
        if known == config.get("model_type"):
            return family_named(known)
    raise UnsupportedModelError(f"{place} states no model_type in its config.json", Show.MODELS)


def check_runs(config: Mapping[str, object], place: object) -> None:
    """Raise UnsupportedModelError, with the nearest model that runs, where the config.json of
    `place` states an architecture that is not run.

    The `model_type` decides; without one, the first of `architectures`. One that states neither
    passes: it may be cut, or no config of a model.
    """
    stated = config.get("model_type")
    if stated is None:
        named = config.get("architectures")
        stated = named[0] if isinstance(named, list) and named else None
    if stated is None or any(known == stated for known in ModelType):
        return
    from qvq_mlx.families.nearest import nearest_to

    nearest = nearest_to(str(stated), config)
    raise UnsupportedModelError(
        f"{place} is of the architecture {str(stated)[:40]!r}, which this version does not run;"
        f" the nearest that it runs is {nearest}",
        PullModel(nearest),
    )


def coordinates_of(model_type: object) -> Coordinates:
    """The box convention of a family; thousandths for text-only and unknown families."""
    for known in ModelType:
        if known == model_type and (vision := family_named(known).vision):
            return vision.boxes
    return Coordinates.RELATIVE_1000
