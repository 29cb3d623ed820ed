"""A tiny model of every family, as transformers configures it: real proportions, few layers.

A new member of `ModelType` is a type error here until it has one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, assert_never

import torch
import transformers

from qvq_mlx.families import ModelType

CLIP_FPS = 3.0
"""Qwen2.5-VL then counts 8 / 3 positions to a step, which is cut to 0, 2, 5."""

TEXT: dict[str, Any] = {
    "vocab_size": 1024,
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 4096,
    "bos_token_id": 1010,
    "eos_token_id": 1012,
    "pad_token_id": 1010,
}
VISION: dict[str, Any] = {"num_heads": 2, "in_channels": 3}
SPECIAL: dict[str, Any] = {
    "image_token_id": 1022,
    "video_token_id": 1023,
    "vision_start_token_id": 1019,
    "vision_end_token_id": 1020,
}


@dataclass(frozen=True, slots=True)
class TinyModel:
    """A tiny model of one family. `patch_px` 0: it reads text only.

    `timestamps`: each step of a clip stands alone behind its time. `pace` is the number of M-RoPE
    positions from a step to the next one of the same run.
    """

    name: ModelType
    model: Any
    config: Any
    variant: str = ""
    """Another shape of the family; of these less is recorded."""
    patch_px: int = 14
    preopened: bool = False
    timestamps: bool = False
    pace: float = 1.0
    arguments: dict[str, torch.Tensor] = field(default_factory=dict)
    """What the model is given besides, where there is a clip."""
    processor: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where its files and goldens are stored."""
        return f"{self.name}-{self.variant}" if self.variant else str(self.name)


CHUNKED = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]}
INTERLEAVED = {
    "rope_type": "default",
    "rope_theta": 5e6,
    "mrope_section": [6, 5, 5],
    "mrope_interleaved": True,
}
WIDE = {"hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 128, **VISION}


# three heads for each of keys and values
NARROW: dict[str, Any] = {
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
}
# keys and values of every head
WIDE_HEADS: dict[str, Any] = {
    "intermediate_size": 320,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
PLAIN: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e4}
NARROW_CHUNKED: dict[str, Any] = {**NARROW, "rope_parameters": CHUNKED}
WIDE_CHUNKED: dict[str, Any] = {
    **WIDE_HEADS,
    "rope_parameters": {**CHUNKED, "mrope_section": [8, 12, 12]},
}
WIDE_INTERLEAVED: dict[str, Any] = {
    **WIDE_HEADS,
    "head_dim": 64,
    "rope_parameters": {**INTERLEAVED, "mrope_section": [12, 10, 10]},
}
# heads narrower than hidden / heads
THIN: dict[str, Any] = {
    "hidden_size": 96,
    "head_dim": 16,
    "num_hidden_layers": 4,
    "num_key_value_heads": 1,
    "rope_parameters": {**INTERLEAVED, "mrope_section": [4, 2, 2]},
}


PATCHES_OF_16: dict[str, Any] = {
    "patch_size": 16,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "size": {"shortest_edge": 65536, "longest_edge": 16777216},
}
SPARSE: dict[str, Any] = {
    "hidden_size": 96,
    "head_dim": 32,
    "num_hidden_layers": 3,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 40,
    "rope_parameters": INTERLEAVED,
}
# an odd number of experts; a layer without any
SOME_DENSE: dict[str, Any] = {
    "hidden_size": 64,
    "head_dim": 16,
    "num_hidden_layers": 4,
    "num_experts": 5,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 32,
    "mlp_only_layers": [1],
    "rope_parameters": {**INTERLEAVED, "mrope_section": [4, 2, 2]},
}
# all experts for every token, in every other layer; as wide inside as outside
SQUARE: dict[str, Any] = {
    "hidden_size": 96,
    "head_dim": 32,
    "num_hidden_layers": 4,
    "num_key_value_heads": 1,
    "num_experts": 4,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 96,
    "decoder_sparse_step": 2,
    "rope_parameters": INTERLEAVED,
}
# more value heads than key heads and wider heads than hidden / heads, as in Qwen3.5-4B
HYBRID: dict[str, Any] = {
    "num_hidden_layers": 4,
    "head_dim": 32,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 28,
    "linear_conv_kernel_dim": 4,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1e7,
        "mrope_section": [3, 3, 2],
        "mrope_interleaved": True,
        "partial_rotary_factor": 0.5,
    },
}
# attention in every third layer, and none in the last; a quarter of each head turns, as published
LINEAR_LAST: dict[str, Any] = {
    **HYBRID,
    "hidden_size": 96,
    "head_dim": 64,
    "num_key_value_heads": 1,
    "linear_num_key_heads": 4,
    "linear_value_head_dim": 16,
    "layer_types": ["linear_attention"] * 2 + ["full_attention", "linear_attention"],
    "rope_parameters": {**HYBRID["rope_parameters"], "partial_rotary_factor": 0.25},
}
# attention in every second layer; a shorter convolution
EVERY_OTHER: dict[str, Any] = {
    **HYBRID,
    "hidden_size": 64,
    "linear_value_head_dim": 24,
    "linear_conv_kernel_dim": 3,
    "linear_num_value_heads": 6,
    "layer_types": ["linear_attention", "full_attention"] * 2,
}
SOME_EXPERTS: dict[str, Any] = {
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 40,
    "shared_expert_intermediate_size": 56,
}
FEW_EXPERTS: dict[str, Any] = {**SOME_EXPERTS, "num_experts": 5, "num_experts_per_tok": 3}
SPARSE_HYBRID: dict[str, Any] = {
    **HYBRID,
    "hidden_size": 96,
    "linear_value_head_dim": 20,
    **SOME_EXPERTS,
}
ALL_EXPERTS: dict[str, Any] = {
    **EVERY_OTHER,
    **SOME_EXPERTS,
    "num_experts": 4,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 64,
}
# pictures, clips and opened thinking as Qwen3-VL has them
AS_QWEN3_VL: dict[str, Any] = {
    "patch_px": 16,
    "preopened": True,
    "timestamps": True,
    "pace": 0.0,
    "processor": PATCHES_OF_16,
}


def tiny_model(model_type: ModelType) -> TinyModel:
    """A family in real proportions, with few layers."""
    match model_type:
        case ModelType.QWEN2_VL:
            chunked = {"rope_parameters": CHUNKED}
            return _qwen2_vl("", chunked, {"depth": 2, "embed_dim": 32}, tied=True)
        case ModelType.QWEN2_5_VL:
            eyes = {"depth": 3, "window_size": 112, "fullatt_block_indexes": [1]}
            return _qwen2_5_vl("", {"rope_parameters": CHUNKED}, eyes, tied=False)
        case ModelType.QWEN2:
            plain = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
            return _qwen2("", plain, tied=False)
        case ModelType.QWEN3_VL:
            # heads wider than hidden / heads, as in Qwen3-VL-4B
            text: dict[str, Any] = {"hidden_size": 96, "head_dim": 32, "num_hidden_layers": 3}
            text |= {"rope_parameters": INTERLEAVED}
            return _qwen3_vl("", text, {"depth": 5, "deepstack_visual_indexes": [1, 3]}, tied=True)
        case ModelType.QWEN3_VL_MOE:
            return _qwen3_vl_moe("", SPARSE)
        case ModelType.QWEN3_5:
            return _qwen3_5("", HYBRID)
        case ModelType.QWEN3_5_MOE:
            return _qwen3_5_moe("", SPARSE_HYBRID)
        case _:
            assert_never(model_type)


def other_shapes() -> list[TinyModel]:
    """Further shapes: other widths, heads, depths, tied and untied; layers that differ."""
    return [
        _qwen2("tied", {**NARROW, "rope_parameters": PLAIN}, tied=True),
        _qwen2("wide-heads", {**WIDE_HEADS, "rope_parameters": PLAIN}, tied=False),
        _qwen2_vl(
            "untied", NARROW_CHUNKED, {"depth": 3, "embed_dim": 64, "num_heads": 4}, tied=False
        ),
        _qwen2_vl(
            "wide-heads", WIDE_CHUNKED, {"depth": 1, "embed_dim": 32, "num_heads": 1}, tied=True
        ),
        _qwen2_5_vl(
            "tied",
            NARROW_CHUNKED,
            {"depth": 4, "window_size": 56, "fullatt_block_indexes": [0, 3]},
            tied=True,
        ),
        _qwen2_5_vl(
            "no-window",
            {**WIDE_CHUNKED, "intermediate_size": 352},
            {"depth": 2, "window_size": 112, "fullatt_block_indexes": [0, 1]},
            tied=False,
        ),
        _qwen3_vl(
            "every-layer", THIN, {"depth": 4, "deepstack_visual_indexes": [0, 1, 2, 3]}, tied=False
        ),
        _qwen3_vl(
            "unstacked",
            {**WIDE_INTERLEAVED, "intermediate_size": 288},
            {"depth": 2, "deepstack_visual_indexes": []},
            tied=True,
        ),
        _qwen3_vl_moe("dense-too", SOME_DENSE, tied=False, stacked=(0, 2, 4)),
        _qwen3_vl_moe("square", SQUARE, tied=True, stacked=()),
        _qwen3_5("linear-last", {**LINEAR_LAST, "linear_value_head_dim": 18}, tied=True),
        _qwen3_5("every-other", EVERY_OTHER),
        _qwen3_5_moe("all-experts", ALL_EXPERTS, tied=True),
        _qwen3_5_moe("linear-last", {**LINEAR_LAST, **FEW_EXPERTS}),
    ]


def _qwen2_vl(variant: str, text: dict[str, Any], eyes: dict[str, Any], *, tied: bool) -> TinyModel:
    text = {**TEXT, **text}
    return TinyModel(
        ModelType.QWEN2_VL,
        transformers.Qwen2VLForConditionalGeneration,
        transformers.Qwen2VLConfig(
            text_config=text,
            vision_config={"hidden_size": text["hidden_size"], **VISION, **eyes},
            tie_word_embeddings=tied,
            **SPECIAL,
        ),
        variant=variant,
    )


def _qwen2_5_vl(
    variant: str, text: dict[str, Any], eyes: dict[str, Any], *, tied: bool
) -> TinyModel:
    text = {**TEXT, **text}
    width = {"out_hidden_size": text["hidden_size"], "patch_size": 14}
    return TinyModel(
        ModelType.QWEN2_5_VL,
        transformers.Qwen2_5_VLForConditionalGeneration,
        transformers.Qwen2_5_VLConfig(
            text_config=text,
            vision_config={**WIDE, **width, **eyes},
            tie_word_embeddings=tied,
            **SPECIAL,
        ),
        variant=variant,
        pace=4 * 2 / CLIP_FPS,
        arguments={"second_per_grid_ts": torch.tensor([2 / CLIP_FPS])},
    )


def _qwen2(variant: str, text: dict[str, Any], *, tied: bool) -> TinyModel:
    return TinyModel(
        ModelType.QWEN2,
        transformers.Qwen2ForCausalLM,
        transformers.Qwen2Config(**{**TEXT, **text}, tie_word_embeddings=tied),
        variant=variant,
        patch_px=0,
        preopened=True,
    )


def _qwen3_vl(variant: str, text: dict[str, Any], eyes: dict[str, Any], *, tied: bool) -> TinyModel:
    text = {**TEXT, **text}
    width = {"out_hidden_size": text["hidden_size"], "patch_size": 16}
    return TinyModel(
        ModelType.QWEN3_VL,
        transformers.Qwen3VLForConditionalGeneration,
        transformers.Qwen3VLConfig(
            text_config=text,
            vision_config={**WIDE, **width, "num_position_embeddings": 64, **eyes},
            tie_word_embeddings=tied,
            **SPECIAL,
        ),
        variant=variant,
        patch_px=16,
        preopened=True,
        timestamps=True,
        pace=0.0,
        processor=PATCHES_OF_16,
    )


def _qwen3_vl_moe(
    variant: str, text: dict[str, Any], *, tied: bool = False, stacked: tuple[int, ...] = (1, 3)
) -> TinyModel:
    vision = {"depth": 5, "num_position_embeddings": 64, "patch_size": 16}
    return TinyModel(
        ModelType.QWEN3_VL_MOE,
        transformers.Qwen3VLMoeForConditionalGeneration,
        transformers.Qwen3VLMoeConfig(
            text_config={**TEXT, **text, "tie_word_embeddings": tied},
            vision_config={
                **WIDE,
                **vision,
                "out_hidden_size": text["hidden_size"],
                "deepstack_visual_indexes": list(stacked),
            },
            tie_word_embeddings=tied,
            **SPECIAL,
        ),
        variant=variant,
        patch_px=16,
        preopened=True,
        timestamps=True,
        pace=0.0,
        processor=PATCHES_OF_16,
    )


def _qwen3_5(variant: str, text: dict[str, Any], *, tied: bool = False) -> TinyModel:
    return TinyModel(
        ModelType.QWEN3_5,
        transformers.Qwen3_5ForConditionalGeneration,
        transformers.Qwen3_5Config(**_hybrid(text, tied=tied)),
        variant=variant,
        **AS_QWEN3_VL,
    )


def _qwen3_5_moe(variant: str, text: dict[str, Any], *, tied: bool = False) -> TinyModel:
    return TinyModel(
        ModelType.QWEN3_5_MOE,
        transformers.Qwen3_5MoeForConditionalGeneration,
        transformers.Qwen3_5MoeConfig(**_hybrid(text, tied=tied)),
        variant=variant,
        **AS_QWEN3_VL,
    )


def _hybrid(text: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    text = {**TEXT, **text, "tie_word_embeddings": tied}
    eyes = {"depth": 3, "num_position_embeddings": 64, "patch_size": 16}
    return {
        "text_config": text,
        "vision_config": {**WIDE, **eyes, "out_hidden_size": text["hidden_size"]},
        "tie_word_embeddings": tied,
        **SPECIAL,
    }
