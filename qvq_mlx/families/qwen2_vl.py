"""Qwen2-VL and QVQ. Source: arXiv 2409.12191, transformers' Qwen2VLConfig."""

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
    divided_width,
    sectioned_rope,
)
from qvq_mlx.families.vision_config import encoder_sizes
from qvq_mlx.families.weight_names import mlx_name, renamed


class Qwen2Vision(Vision):
    """Patches of 14 px, image tokens of 28 px; boxes in thousandths of the picture."""

    package = "qwen2_vl"
    layout = PatchLayout()
    min_pixels = 4 * 28 * 28
    boxes = Coordinates.RELATIVE_1000
    token_ids = VisualTokens(image=151655, video=151656, vision_start=151652)
    returns_deepstack = False
    timestamps = False

    def clip_times(self, clip: Clip, tokens_per_s: float) -> list[tuple[int, ...]]:
        """One run; a step stands one position after the step before it."""
        del tokens_per_s
        return [tuple(range(clip.steps))]

    def tokens_per_s(self, eyes: Fields) -> float:
        """Positions follow no clock."""
        del eyes
        return 0.0

    def encoder_values(self, eyes: Fields, layout: PatchLayout, hidden: int) -> Values:
        """`embed_dim` is the encoder's width, `hidden_size` the language model's."""
        width = eyes.whole("embed_dim", 1280)
        return encoder_sizes(eyes, layout, depth=32, width=width) | {
            "embed_dim": width,
            "hidden_size": eyes.whole("hidden_size", hidden),
            "mlp_ratio": eyes.number("mlp_ratio", 4),
        }


class Qwen2VL(Family):
    """M-RoPE in three sections; heads are hidden / heads wide."""

    model_type = ModelType.QWEN2_VL
    package = "qwen2_vl"
    vision = Qwen2Vision()
    system = "You are a helpful assistant."
    nested_config = False
    call = CallNames("inputs_embeds", "position_ids", image_mask=None, deepstack=None)
    draft_head = None

    def text_values(self, text: Fields) -> Values:
        """A dense decoder."""
        head_dim = divided_width(text)
        return attention_values(text) | sectioned_rope(text, head_dim)

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
