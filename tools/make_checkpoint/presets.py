"""The shapes that can be built, and their config.json.

Law: a preset's config states every size once. Those of Qwen2-VL and QVQ are flat, as the published
conversions have it; those of other families are nested, and their numbers are those of a card.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qvq_mlx.core.card import Experts, ModelCard, Recurrent, Shape, VisionLimits, VisionShape
from qvq_mlx.families import ModelType
from qvq_mlx.store import registry
from tools.tiny import hub

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Preset:
    """One architecture: its config.json without token ids and quantization.

    `rows` are the rows of the embedding, more than the tokenizer has ids. `limits` None: those of
    the embedded model.
    """

    config: Mapping[str, Any]
    rows: int
    tied: bool
    real_tokenizer: bool
    dtype: str
    bits: int | None
    limits: VisionLimits | None = None

    @property
    def ids(self) -> dict[str, int]:
        """The id of every special token."""
        if not self.real_tokenizer:
            return hub.SPECIAL_IDS
        return {token: FIRST_QWEN_SPECIAL_ID + i for i, token in enumerate(hub.SPECIAL_TOKENS)}

    @property
    def text(self) -> Mapping[str, Any]:
        """The language model's part of the config."""
        text: Mapping[str, Any] = self.config.get("text_config", self.config)
        return text


FIRST_QWEN_SPECIAL_ID = 151_643

PRESETS = {
    # two layers and the tokenizer of the embedded model, with 64 rows that no id reaches
    "tiny": Preset(
        hub.model_config(
            hub.Shape(
                vision_width=64,
                vision_layers=2,
                vision_heads=2,
                width=128,
                layers=2,
                heads=4,
                kv_heads=2,
                mlp_width=256,
                rope_theta=1e6,
            )
        ),
        rows=hub.VOCAB_SIZE + 64,
        tied=False,
        real_tokenizer=False,
        dtype="float32",
        bits=None,
    ),
    # 91 M parameters, 78 M of them the tied embedding: a separate head would add as much again.
    # One vision layer of two heads: on a CPU, attention over 5,000 patches outweighs all else.
    "mid": Preset(
        hub.model_config(
            hub.Shape(
                vision_width=128,
                vision_layers=1,
                vision_heads=2,
                width=512,
                layers=4,
                heads=8,
                kv_heads=2,
                mlp_width=1536,
                rope_theta=1e6,
                mrope_section=(8, 12, 12),
            )
        ),
        rows=152_064,
        tied=True,
        real_tokenizer=True,
        dtype="float32",
        bits=None,
    ),
    # the same tokenizer, other padding, as Qwen2-VL's 2B has it against its 72B
    "mid-draft": Preset(
        hub.model_config(
            hub.Shape(
                vision_width=64,
                vision_layers=1,
                vision_heads=1,
                width=256,
                layers=2,
                heads=4,
                kv_heads=2,
                mlp_width=1024,
                rope_theta=1e6,
                mrope_section=(8, 12, 12),
            )
        ),
        rows=151_936,
        tied=True,
        real_tokenizer=True,
        dtype="float32",
        bits=None,
    ),
}


FROM_CARDS = (
    "qwen2.5-vl-3b",
    "qwq-32b",
    "qwen3-vl-4b-thinking",
    "qwen3-vl-30b-thinking",
    "qwen3.5-4b",
    "qwen3.6-27b",
    "qwen3.6-35b",
)
"""Built from their cards, with the embedded model's tokenizer: nothing is fetched."""
SMALL_CARDS = ("qwen2.5-vl-3b", "qwen3-vl-4b-thinking", "qwen3.5-4b")
"""Of these a layer is drawn in seconds; one of a large model takes minutes, and gigabytes."""

_VISION_WIDTHS = {1024: 4096, 1152: 4304, 1280: 3420}
"""The width of the encoder's MLPs, by the width of the encoder."""
_ROPE = {
    ModelType.QWEN2: (1e6, None),
    ModelType.QWEN2_5_VL: (1e6, (16, 24, 24)),
    ModelType.QWEN3_VL: (5e6, (24, 20, 20)),
    ModelType.QWEN3_VL_MOE: (5e6, (24, 20, 20)),
    ModelType.QWEN3_5: (1e7, (11, 11, 10)),
    ModelType.QWEN3_5_MOE: (1e7, (11, 11, 10)),
}
"""Base and sections of rotary positions."""
_SHARES = {
    ModelType.QWEN2_5_VL: ("fullatt_block_indexes", (7 / 32, 15 / 32, 23 / 32, 31 / 32)),
    ModelType.QWEN3_VL: ("deepstack_visual_indexes", (5 / 24, 11 / 24, 17 / 24)),
    ModelType.QWEN3_VL_MOE: ("deepstack_visual_indexes", (8 / 27, 16 / 27, 24 / 27)),
}
"""Special layers of the encoder, and how far behind its first layer they stand."""
_INTERVAL = 4
"""Of so many layers the last one is attention, in models with linear attention."""


def of_card(card: ModelCard) -> Preset:
    """A preset with the numbers of `card`, which has a shape."""
    shape = card.shape
    assert shape is not None
    family = ModelType(card.family)
    theta, sections = _ROPE[family]
    rope = {"rope_type": "default", "rope_theta": theta}
    text: Config = {
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "rms_norm_eps": 1e-6,
        "rope_parameters": rope | ({"mrope_section": list(sections)} if sections else {}),
    }
    text |= _sparse(shape.experts) | _hybrid(shape.recurrent)
    config: Config = {"model_type": card.family}
    if shape.vision is None:
        config |= text
    else:
        config |= {"text_config": text, "vision_config": _vision(family, shape.vision, shape)}
    whole = resized(config, None, None)
    return Preset(whole, shape.vocab, shape.tied, False, "bfloat16", 4, card.vision)


def _flat(
    card: ModelCard, *, real_tokenizer: bool, layers: int | None = None, vision_layers: int = 0
) -> Preset:
    """A preset of Qwen2-VL's family in the flat layout, with the numbers of `card`."""
    shape = card.shape
    assert shape is not None
    assert shape.vision is not None
    flat = hub.Shape(
        vision_width=shape.vision.hidden,
        vision_layers=vision_layers or shape.vision.depth,
        vision_heads=shape.vision.heads,
        width=shape.hidden,
        layers=layers or shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        mlp_width=shape.intermediate,
        rope_theta=1e6,
        mrope_section=(16, 24, 24),
    )
    config = hub.model_config(flat)
    return Preset(config, shape.vocab, shape.tied, real_tokenizer, "bfloat16", 4)


def _sparse(experts: Experts | None) -> Config:
    if experts is None:
        return {}
    shared = experts.shared_intermediate
    return {
        "num_experts": experts.count,
        "num_experts_per_tok": experts.active,
        "moe_intermediate_size": experts.intermediate,
    } | ({"shared_expert_intermediate_size": shared} if shared else {})


def _hybrid(linear: Recurrent | None) -> Config:
    if linear is None:
        return {}
    return {
        "linear_num_key_heads": linear.key_heads,
        "linear_num_value_heads": linear.value_heads,
        "linear_key_head_dim": linear.key_dim,
        "linear_value_head_dim": linear.value_dim,
        "linear_conv_kernel_dim": linear.window + 1,
    }


def _vision(family: ModelType, eyes: VisionShape, shape: Shape) -> Config:
    return {
        "depth": eyes.depth,
        "hidden_size": eyes.hidden,
        "intermediate_size": _VISION_WIDTHS[eyes.hidden],
        "num_heads": eyes.heads,
        "out_hidden_size": shape.hidden,
        "patch_size": eyes.patch,
        "spatial_merge_size": eyes.merge,
        "temporal_patch_size": 2,
        "in_channels": 3,
    } | ({"window_size": 112} if family is ModelType.QWEN2_5_VL else {})


def resized(config: Mapping[str, Any], layers: int | None, vision_layers: int | None) -> Config:
    """The config with other depths, and what follows from a depth."""
    changed = copy.deepcopy(dict(config))
    text, eyes = changed.get("text_config", changed), changed.get("vision_config")
    text["num_hidden_layers"] = layers or text["num_hidden_layers"]
    if "linear_num_key_heads" in text:
        text["full_attention_interval"] = min(_INTERVAL, text["num_hidden_layers"])
    if eyes is not None:
        eyes["depth"] = depth = vision_layers or eyes["depth"]
        name, shares = _SHARES.get(ModelType(changed["model_type"]), ("", ()))
        if name:
            eyes[name] = sorted({int(share * depth + 1e-9) for share in shares})
    return changed


def model_config(preset: Preset) -> Config:
    """config.json without its quantization."""
    ids = preset.ids
    named = {
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "vision_token_id": ids["<|vision_pad|>"],
        "max_position_embeddings": 32_768,
        "tie_word_embeddings": preset.tied,
        "torch_dtype": preset.dtype,
        "vocab_size": preset.rows,
    }
    return dict(preset.config) | named


PRESETS |= {
    # Qwen2-VL-2B as it is, with the embedded model's tokenizer: nothing is fetched
    "2b": _flat(registry.find("qwen2-vl-2b"), real_tokenizer=False),
    # QVQ-72B-Preview's widths; of its 80 language and 32 vision layers one and two
    "qvq-1layer": _flat(
        registry.find("qvq-72b-preview"), real_tokenizer=True, layers=1, vision_layers=2
    ),
}
PRESETS |= {name: of_card(registry.find(name)) for name in FROM_CARDS}
