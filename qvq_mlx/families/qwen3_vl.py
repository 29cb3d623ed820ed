"""Qwen3-VL. Source: transformers' Qwen3VLConfig; `Qwen3VLProcessor` of transformers 4.57."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qvq_mlx.core.clip import Clip
from qvq_mlx.core.places import Coordinates
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
from qvq_mlx.families.weight_names import mlx_name, renamed


class Qwen3Vision(Vision):
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


class Qwen3VL(Family):
    """M-RoPE in three interleaved sections; the width of heads is stated."""

    model_type = ModelType.QWEN3_VL
    package = "qwen3_vl"
    vision = Qwen3Vision()
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
        """A dense decoder."""
        head_dim = text.whole("head_dim", 128)
        return (
            attention_values(text)
            | {"head_dim": head_dim}
            | sectioned_rope(text, head_dim, (24, 20, 20))
        )

    def layer_caches(self, text: Fields) -> tuple[LayerCache, ...]:
        """Keys and values in every layer."""
        return attention_in_every_layer(text)

    def placements(self, shapes: Mapping[str, tuple[int, ...]]) -> Iterable[Placement]:
        """Renamed, one to one."""
        return renamed(shapes)

    def module_path(self, path: str) -> str:
        """Renamed like its weights."""
        return mlx_name(path)

    def least_bits(self, path: str) -> int:
        """Every module takes any number of bits."""
        del path
        return 0
