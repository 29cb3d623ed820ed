"""Qwen3.5, 3.6 and 3.8, dense. Source: transformers' Qwen3_5Config; `Qwen3VLProcessor`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qvq_mlx.core.clip import Clip
from qvq_mlx.core.places import Coordinates
from qvq_mlx.families.family import (
    CallNames,
    DraftHead,
    Family,
    LayerCache,
    ModelType,
    PatchLayout,
    Placement,
    Values,
    Vision,
    VisualTokens,
)
from qvq_mlx.families.fields import Fields
from qvq_mlx.families.hybrid import (
    head_placements,
    hybrid_caches,
    hybrid_placements,
    hybrid_values,
)
from qvq_mlx.families.text_config import attention_values
from qvq_mlx.families.vision_config import plain_encoder
from qvq_mlx.families.weight_names import mlx_name


class Qwen35Vision(Vision):
    """Qwen3-VL's encoder without deepstack."""

    package = "qwen3_5"
    layout = PatchLayout(patch_px=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    min_pixels = 64 * 32 * 32
    boxes = Coordinates.RELATIVE_1000
    token_ids = VisualTokens(image=248056, video=248057, vision_start=248053)
    returns_deepstack = True  # of no layers
    timestamps = True

    def clip_times(self, clip: Clip, tokens_per_s: float) -> list[tuple[int, ...]]:
        """A run for each step, as if it were a picture; its time stands in the text."""
        del tokens_per_s
        return [(0,)] * clip.steps

    def tokens_per_s(self, eyes: Fields) -> float:
        """Positions follow no clock."""
        del eyes
        return 0.0

    def encoder_values(self, eyes: Fields, layout: PatchLayout, hidden: int) -> Values:
        """Positions are learned; no deepstack layers."""
        return plain_encoder(eyes, layout, hidden)


class Qwen35(Family):
    """Linear attention in three of four layers; gated attention with partial M-RoPE in one."""

    model_type = ModelType.QWEN3_5
    package = "qwen3_5"
    vision = Qwen35Vision()
    system = None
    nested_config = True
    call = CallNames("inputs_embeds", "position_ids", image_mask=None, deepstack=None)
    draft_head = DraftHead("Qwen3_5DecoderLayer", head_placements)

    def text_values(self, text: Fields) -> Values:
        """A dense decoder with hybrid attention."""
        return attention_values(text) | hybrid_values(text)

    def layer_caches(self, text: Fields) -> tuple[LayerCache, ...]:
        """Keys and values in every fourth layer."""
        return hybrid_caches(text)

    def placements(self, shapes: Mapping[str, tuple[int, ...]]) -> Iterable[Placement]:
        """Renamed; see `hybrid_placements`."""
        return hybrid_placements(shapes)

    def module_path(self, path: str) -> str:
        """Renamed like its weights."""
        return mlx_name(path)

    def least_bits(self, path: str) -> int:
        """Any number of bits will do for every module."""
        del path
        return 0
