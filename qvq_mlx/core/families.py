"""The architectures that the engine runs, as far as they are known before a file is read.

Law: these are the values of each family's published checkpoints; what a checkpoint states itself
comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from qvq_mlx.core.clip import Visual
from qvq_mlx.core.errors import UnsupportedModelError
from qvq_mlx.core.places import Coordinates

MAX_IMAGE_TOKENS = 1280
"""Per picture, where no card says otherwise: checkpoints allow 16,384, minutes of prefill."""


class Family(StrEnum):
    """An architecture, by the `model_type` of its config.json."""

    QWEN2_VL = "qwen2_vl"
    """Qwen2-VL, QVQ."""
    QWEN2_5_VL = "qwen2_5_vl"
    QWEN2 = "qwen2"
    """Text only: QwQ."""
    QWEN3_VL = "qwen3_vl"


@dataclass(frozen=True, slots=True)
class PatchLayout:
    """How pixels become patches, and patches image tokens.

    A patch is `patch_px` x `patch_px` pixels of `temporal` frames, a token `merge` x `merge`
    patches; a channel in 0..1 enters as (value - mean) / std.
    """

    patch_px: int = 14
    merge: int = 2
    temporal: int = 2
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)

    @property
    def factor_px(self) -> int:
        """The side of one image token."""
        return self.patch_px * self.merge

    def grid(self, picture: Visual) -> tuple[int, int]:
        """Rows and columns of patches, of one step where it is a clip."""
        return picture.height_px // self.patch_px, picture.width_px // self.patch_px

    def token_grid(self, picture: Visual) -> tuple[int, int]:
        """Rows and columns of image tokens."""
        rows, columns = self.grid(picture)
        return rows // self.merge, columns // self.merge


@dataclass(frozen=True, slots=True)
class FamilyFacts:
    """`layout` is None where the family reads text only.

    `system` is what the chat template puts in where no system message is given; None where it
    puts in nothing, or where the checkpoints of the family differ. `boxes`: how it points.
    """

    layout: PatchLayout | None
    min_pixels: int = 4 * 28 * 28
    system: str | None = None
    boxes: Coordinates = Coordinates.RELATIVE_1000


_ASSISTANT = "You are a helpful assistant."

FACTS = {
    Family.QWEN2_VL: FamilyFacts(PatchLayout(), system=_ASSISTANT),
    Family.QWEN2_5_VL: FamilyFacts(
        PatchLayout(), system=_ASSISTANT, boxes=Coordinates.RESIZED_PIXELS
    ),
    Family.QWEN2: FamilyFacts(None),
    Family.QWEN3_VL: FamilyFacts(
        PatchLayout(patch_px=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        min_pixels=64 * 32 * 32,
    ),
}


def coordinates_of(model_type: object) -> Coordinates:
    """What the numbers of a box mean to a family, where its card does not say."""
    facts = next((facts for family, facts in FACTS.items() if family == model_type), None)
    return facts.boxes if facts else Coordinates.RELATIVE_1000


def family_of(model_type: object, folder: Path) -> Family:
    """The family of the `model_type` of the config.json in `folder`.

    Raises UnsupportedModelError where the engine does not run it.
    """
    for family in Family:
        if family == model_type:
            return family
    raise UnsupportedModelError(
        f"{folder} is of the architecture {str(model_type)[:40]!r}; this version runs"
        f" {', '.join(Family)}",
        "qvq models",
    )
