"""The shape of a model as its config.json states it, flat or with a `text_config` inside.

Law: a config that lacks a number has no shape (None); nothing is guessed but the head size, which
is hidden / heads where it is not given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qvq_mlx.core.card import Experts, Recurrent, Shape, VisionShape
from qvq_mlx.store.checkpoint import read_json


def stated_shape(folder: Path) -> Shape | None:
    """The shape in `folder`/config.json; None where it is not all there."""
    config = read_json(folder / "config.json", missing_ok=True)
    text = config.get("text_config")
    text = config | text if isinstance(text, dict) else config
    try:
        hidden, heads = _whole(text, "hidden_size"), _whole(text, "num_attention_heads")
        return Shape(
            layers=_whole(text, "num_hidden_layers"),
            hidden=hidden,
            heads=heads,
            kv_heads=_whole(text, "num_key_value_heads", heads),
            head_dim=_whole(text, "head_dim", hidden // heads),
            intermediate=_whole(
                text, "intermediate_size", _whole(text, "moe_intermediate_size", 1)
            ),
            vocab=_whole(text, "vocab_size"),
            tied=text.get("tie_word_embeddings") is True,
            context_tokens=_whole(text, "max_position_embeddings", 1),
            vision=_vision(config.get("vision_config")),
            experts=_experts(text),
            recurrent=_recurrent(text),
            float_bytes=4 if (text.get("dtype") or text.get("torch_dtype")) == "float32" else 2,
        )
    except ValueError:
        return None


def _experts(text: dict[str, Any]) -> Experts | None:
    count = _whole(text, "num_experts", _whole(text, "num_local_experts", 1))
    if count == 1:
        return None
    shared = "shared_expert_intermediate_size"  # 0 where there is none
    dense = text.get("mlp_only_layers") or []
    if not isinstance(dense, list) or not all(type(layer) is int for layer in dense):
        raise ValueError("mlp_only_layers")
    step = _whole(text, "decoder_sparse_step", 1)
    sparse = range(step, _whole(text, "num_hidden_layers") + 1, step)  # counted from 1
    return Experts(
        count=count,
        active=_whole(text, "num_experts_per_tok"),
        intermediate=_whole(text, "moe_intermediate_size"),
        layers=len(sparse) - len({layer for layer in dense if layer + 1 in sparse}),
        shared_intermediate=_whole(text, shared) if text.get(shared) else 0,
    )


def _recurrent(text: dict[str, Any]) -> Recurrent | None:
    """Layers of linear attention, by their list or by every how many layers there is attention."""
    if "linear_num_value_heads" not in text:
        return None
    layers = _whole(text, "num_hidden_layers")
    kinds = text.get("layer_types")
    interval = _whole(text, "full_attention_interval", 4)
    attention, last = layers // interval, layers % interval != 0
    if isinstance(kinds, list) and kinds:
        attention, last = kinds.count("full_attention"), kinds[-1] != "full_attention"
    return Recurrent(
        layers=max(layers - attention, 0),
        key_heads=_whole(text, "linear_num_key_heads"),
        value_heads=_whole(text, "linear_num_value_heads"),
        key_dim=_whole(text, "linear_key_head_dim"),
        value_dim=_whole(text, "linear_value_head_dim"),
        window=_whole(text, "linear_conv_kernel_dim") - 1,
        last=last,
    )


def _vision(config: object) -> VisionShape | None:
    if not isinstance(config, dict):
        return None
    # Qwen2-VL calls the encoder's width embed_dim, and hidden_size is the language model's
    width = _whole(config, "embed_dim", _whole(config, "hidden_size", 1))
    return VisionShape(
        depth=_whole(config, "depth"),
        hidden=width,
        heads=_whole(config, "num_heads"),
        patch=_whole(config, "patch_size", _whole(config, "spatial_patch_size", 14)),
        merge=_whole(config, "spatial_merge_size", 2),
    )


def _whole(config: dict[str, Any], key: str, default: int | None = None) -> int:
    """A positive whole number below 2^40. Raises ValueError."""
    value = config.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**40:
        raise ValueError(key)
    return value
