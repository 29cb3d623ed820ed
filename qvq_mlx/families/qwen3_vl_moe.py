"""Qwen3-VL with sparse experts. Source: transformers' Qwen3VLMoeConfig."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qvq_mlx.core.clip import Clip
from qvq_mlx.core.places import Coordinates
from qvq_mlx.families.experts import expert_path, expert_values, router_bits, stacked_experts
from qvq_mlx.families.family import (
    CallNames,
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
from qvq_mlx.families.text_config import (
    attention_in_every_layer,
    attention_values,
    sectioned_rope,
)
from qvq_mlx.families.vision_config import STACKED_PACKAGE, stacked_encoder
from qvq_mlx.families.weight_names import mlx_name


class Qwen3MoeVision(Vision):
    """Patches of 16 px, image tokens of 32 px; rows of middle layers too (deepstack)."""

    package = STACKED_PACKAGE
    layout = PatchLayout(patch_px=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    min_pixels = 64 * 32 * 32
    boxes = Coordinates.RELATIVE_1000
    token_ids = VisualTokens(image=151655, video=151656, vision_start=151652)
    returns_deepstack = True
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
        """Positions are learned; the deepstack layers are some of the encoder's."""
        return stacked_encoder(eyes, layout, hidden)


class Qwen3VLMoe(Family):
    """M-RoPE in three interleaved sections; the width of heads is stated."""

    model_type = ModelType.QWEN3_VL_MOE
    package = "qwen3_vl_moe"
    vision = Qwen3MoeVision()
    system = None
    nested_config = True
    call = CallNames(
        "inputs_embeds",
        "position_ids",
        image_mask="visual_pos_masks",
        deepstack="deepstack_visual_embeds",
    )
    draft_head = None

    def text_values(self, text: Fields) -> Values:
        """A decoder whose layers have experts, but for those that the config names."""
        head_dim = text.whole("head_dim", 128)
        return (
            attention_values(text)
            | {"head_dim": head_dim}
            | sectioned_rope(text, head_dim, (24, 20, 20))
            | expert_values(text)
        )

    def layer_caches(self, text: Fields) -> tuple[LayerCache, ...]:
        """Keys and values in every layer."""
        return attention_in_every_layer(text)

    def placements(self, shapes: Mapping[str, tuple[int, ...]]) -> Iterable[Placement]:
        """Renamed; the experts of a layer become three stacks, however they were stored."""
        return stacked_experts(shapes)

    def module_path(self, path: str) -> str:
        """Renamed like its weights."""
        return expert_path(mlx_name(path))

    def least_bits(self, path: str) -> int:
        """Routers keep 8 bits, as in the published conversions."""
        return router_bits(path)
