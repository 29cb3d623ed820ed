"""Qwen2.5-VL. Source: arXiv 2502.13923, transformers' Qwen2_5_VLConfig."""

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
from qvq_mlx.families.prompt import paced
from qvq_mlx.families.text_config import (
    attention_in_every_layer,
    attention_values,
    divided_width,
    sectioned_rope,
)
from qvq_mlx.families.vision_config import encoder_sizes
from qvq_mlx.families.weight_names import mlx_name, renamed


class Qwen25Vision(Vision):
    """Windowed attention; positions of a clip follow the clock; boxes in pixels."""

    package = "qwen2_5_vl"
    layout = PatchLayout()
    min_pixels = 4 * 28 * 28
    boxes = Coordinates.RESIZED_PIXELS
    token_ids = VisualTokens(image=151655, video=151656, vision_start=151652)
    returns_deepstack = False
    timestamps = False

    def clip_times(self, clip: Clip, tokens_per_s: float) -> list[tuple[int, ...]]:
        """One run; a step stands where its seconds put it."""
        return [paced(clip, tokens_per_s)]

    def tokens_per_s(self, eyes: Fields) -> float:
        """Stated by the checkpoint."""
        return eyes.number("tokens_per_second", 4)

    def encoder_values(self, eyes: Fields, layout: PatchLayout, hidden: int) -> Values:
        """Some layers see all patches, the others a window of at least one image token."""
        window_px = eyes.whole("window_size", 112)
        if window_px < layout.factor_px:
            raise eyes.broken(f"says windows of {window_px} px, smaller than an image token")
        width = eyes.whole("hidden_size", 1280)
        return encoder_sizes(eyes, layout, depth=32, width=width) | {
            "hidden_size": width,
            "intermediate_size": eyes.whole("intermediate_size", 3420),
            "out_hidden_size": eyes.whole("out_hidden_size", hidden),
            "window_size": window_px,
            "fullatt_block_indexes": list(eyes.wholes("fullatt_block_indexes", (7, 15, 23, 31))),
        }


class Qwen25VL(Family):
    """M-RoPE in three sections; heads are hidden / heads wide."""

    model_type = ModelType.QWEN2_5_VL
    package = "qwen2_5_vl"
    vision = Qwen25Vision()
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
