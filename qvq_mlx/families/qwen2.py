"""Qwen2 and QwQ, which read text only. Source: transformers' Qwen2Config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qvq_mlx.families.family import CallNames, Family, LayerCache, ModelType, Placement, Values
from qvq_mlx.families.fields import Fields
from qvq_mlx.families.text_config import (
    attention_in_every_layer,
    attention_values,
    divided_width,
    stretched_rope,
)
from qvq_mlx.families.weight_names import mlx_name, renamed


class Qwen2(Family):
    """Positions are those of text; mlx-vlm counts them by the length of the cache."""

    model_type = ModelType.QWEN2
    package = "qwen2"
    vision = None
    system = None
    nested_config = True
    call = CallNames("input_embeddings", positions=None, image_mask=None, deepstack=None)
    draft_head = None

    def text_values(self, text: Fields) -> Values:
        """A dense decoder."""
        head_dim = divided_width(text)
        return attention_values(text) | stretched_rope(text, head_dim)

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
