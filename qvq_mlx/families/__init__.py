"""The model families that qvq runs: one file, one class each.

Law: this folder is the only one that names a family. Everything else holds a `Family` and asks it.
To add one: a member of `ModelType`, a file with its two classes (`Family`, and `Vision` where it
sees), an arm in `family_named`; `python -m tools.add_family` shows what is missing until then.
Nothing here imports mlx: a family gives names, values and orders of axes, and `engine/` makes the
arrays. So a folder's card (`store/`) is read without an engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from qvq_mlx.core.errors import UnsupportedModelError
from qvq_mlx.core.places import Coordinates
from qvq_mlx.core.remedies import PullModel, Show
from qvq_mlx.families.family import Family, ModelType

__all__ = ["Family", "ModelType", "coordinates_of", "family_named", "family_of"]

_NEAREST = (  # the first that fits; by size, and by whether they think
    ("glm4v_moe", "qwen3-vl-30b-thinking"),
    ("glm4v", "qwen3-vl-8b-thinking"),
    ("glm", "qwen3-vl-30b-thinking"),
    ("gemma3n", "qwen2.5-vl-3b"),
    ("gemma", "qwen2.5-vl-7b"),
    ("paligemma", "qwen2.5-vl-3b"),
    ("kimi", "qwen3-vl-30b-thinking"),
    ("internvl", "qwen2.5-vl-7b"),
)
"""The card of the nearest model that runs, for architectures that do not, by how they begin."""


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


def family_of(model_type: object, folder: Path) -> Family:
    """The family that the config.json in `folder` states.

    Raises UnsupportedModelError for a `model_type` that is not run.
    """
    for known in ModelType:
        if known == model_type:
            return family_named(known)
    told = f"{folder} is of the architecture {str(model_type)[:40]!r}"
    for beginning, nearest in _NEAREST:
        if str(model_type).startswith(beginning):
            raise UnsupportedModelError(
                f"{told}, which this version does not run; the nearest that it runs is {nearest}",
                PullModel(nearest),
            )
    raise UnsupportedModelError(f"{told}; this version runs {', '.join(ModelType)}", Show.MODELS)


def coordinates_of(model_type: object) -> Coordinates:
    """The box convention of a family; thousandths for text-only and unknown families."""
    for known in ModelType:
        if known == model_type and (vision := family_named(known).vision):
            return vision.boxes
    return Coordinates.RELATIVE_1000
