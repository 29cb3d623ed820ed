"""A checkpoint's config.json, in whichever layout it was written, as one set of checked values.

Law: three layouts mean the same: the flat one of the published checkpoints, the nested one that
transformers writes since 4.52 (`text_config`), and its names since 5 (`rope_parameters`). Nothing
is written to the checkpoint's folder. What goes on from here is complete, of the right types, and
free of contradictions that would show only in the middle of a forward pass; anything else is a
BrokenModelError or an UnsupportedModelError of one line.

Where a key is missing, the default is the one of transformers' class for the family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from qvq_mlx.core.errors import UnsupportedModelError
from qvq_mlx.core.families import FACTS, Family, PatchLayout, family_of
from qvq_mlx.store.checkpoint import Fields, read_json

Values = dict[str, object]

_MOST_LAYERS = 1000
_ROPES = ("default", "linear", "yarn")
_QUANTIZED_BITS = (2, 3, 4, 5, 6, 8)


@dataclass(frozen=True, slots=True)
class Vision:
    """`values` are those of mlx-vlm's VisionConfig. `tokens_per_s` are M-RoPE's positions to a
    second of video, which only Qwen2.5-VL counts in.
    """

    values: Values
    layout: PatchLayout
    image_token_id: int
    video_token_id: int
    vision_start_token_id: int
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Architecture:
    """`text` are the values of mlx-vlm's TextConfig, less `tie_word_embeddings`.

    `tied` is None where the config does not say: then a checkpoint without lm_head is tied.
    `quantization` is MLX's, possibly with settings per module; empty for plain weights.
    """

    family: Family
    text: Values
    vision: Vision | None
    tied: bool | None
    eos_ids: frozenset[int]
    quantization: Mapping[str, object]


def read_architecture(folder: Path) -> Architecture:
    """What `folder` states. Raises BrokenModelError or UnsupportedModelError."""
    path = folder / "config.json"
    config = Fields(path, read_json(path))
    family = family_of(config.values.get("model_type"), folder)
    text = _text_fields(config)
    values = _text(text, family)
    return Architecture(
        family=family,
        text=values,
        vision=_vision(config, family, text.whole("hidden_size")),
        # the outer value alone: `text_config` has one of its own, which transformers ignores
        tied=(
            config.flag("tie_word_embeddings", default=False)
            if "tie_word_embeddings" in config
            else None
        ),
        eos_ids=_eos_ids(folder, config, text),
        quantization=_quantization(config),
    )


def _text_fields(config: Fields) -> Fields:
    """The language model's values: those of `text_config`, then those at the top.

    Conversions of 2024 wrote a `text_config` that is empty, or holds a part.
    """
    nested = config.inside("text_config")
    stated = {name: value for name, value in nested.values.items() if value is not None}
    return Fields(config.path, {**config.values, **stated}, nested.within if stated else "")


def _text(text: Fields, family: Family) -> Values:
    heads = text.whole("num_attention_heads")
    kv_heads = text.whole("num_key_value_heads", heads)
    hidden = text.whole("hidden_size")
    layers = text.whole("num_hidden_layers")
    if hidden % heads and family is not Family.QWEN3_VL:
        raise text.broken(f"says {heads} heads, which do not divide hidden_size {hidden}")
    if heads % kv_heads:
        raise text.broken(f"says {kv_heads} key-value heads, which do not divide {heads} heads")
    if layers > _MOST_LAYERS:
        raise text.broken(f"says {layers} layers; more than {_MOST_LAYERS} are not believed")
    if _slides(text, layers):
        raise UnsupportedModelError(
            f"{text.path} asks for sliding-window attention, which this version does not run",
            "qvq models",
        )
    values: Values = {
        "model_type": str(family),
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "intermediate_size": text.whole("intermediate_size"),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": text.number("rms_norm_eps"),
        "vocab_size": text.whole("vocab_size"),
        "max_position_embeddings": text.whole("max_position_embeddings", 32768),
    }
    head_dim = hidden // heads
    if family is Family.QWEN3_VL:
        head_dim = text.whole("head_dim", 128)
        values["head_dim"] = head_dim
    if head_dim % 2:
        raise text.broken(f"says heads {head_dim} wide; rotary positions need an even width")
    return values | _rope(text, family, head_dim)


def _rope(text: Fields, family: Family, head_dim: int) -> Values:
    """`rope_theta` and `rope_scaling`, from either of the two ways to state them."""
    name = "rope_parameters" if "rope_parameters" in text else "rope_scaling"
    rope = text.inside(name)
    kind = rope.word("rope_type", rope.word("type", "default"))
    theta = (rope if "rope_theta" in rope else text).number("rope_theta")
    known = _ROPES if family is Family.QWEN2 else ("default", "mrope")
    if kind not in known:
        raise UnsupportedModelError(
            f"{text.path} asks for {kind[:40]!r} positions; this version runs {', '.join(known)}",
            "qvq models",
        )
    if family is Family.QWEN2:
        return {"rope_theta": theta, "rope_scaling": _stretched(rope, kind)}
    sections = rope.wholes("mrope_section", (24, 20, 20) if family is Family.QWEN3_VL else None)
    if len(sections) != 3 or 2 * sum(sections) != head_dim:
        raise text.broken(f"says mrope_section {sections}, which do not fill heads {head_dim} wide")
    return {
        "rope_theta": theta,
        "rope_scaling": {"type": "default", "mrope_section": list(sections)},
    }


def _stretched(rope: Fields, kind: str) -> Values | None:
    """Positions beyond the trained ones, for text."""
    if kind == "default":
        return None
    values: Values = {"type": kind, "factor": rope.number("factor")}
    for name in ("original_max_position_embeddings", "beta_fast", "beta_slow"):
        if name in rope:
            values[name] = rope.number(name)
    return values


def _slides(text: Fields, layers: int) -> bool:
    """Whether a layer attends to a window only. Source: transformers' Qwen2Config."""
    if not text.flag("use_sliding_window", default=False) or "sliding_window" not in text:
        return False
    return text.whole("max_window_layers", layers, least=0) < layers


def _vision(config: Fields, family: Family, hidden: int) -> Vision | None:
    layout = FACTS[family].layout
    if layout is None:
        return None
    eyes = config.inside("vision_config")
    layout = PatchLayout(
        patch_px=_side(eyes, "patch_size", layout.patch_px),
        merge=eyes.whole("spatial_merge_size", layout.merge),
        temporal=_side(eyes, "temporal_patch_size", layout.temporal),
        mean=layout.mean,
        std=layout.std,
    )
    heads = eyes.whole("num_heads", 16)
    values: Values = {
        "model_type": str(family),
        "depth": eyes.whole("depth", 27 if family is Family.QWEN3_VL else 32),
        "num_heads": heads,
        "in_channels": 3,
        "patch_size": layout.patch_px,
        "spatial_merge_size": layout.merge,
        "temporal_patch_size": layout.temporal,
        **_tower(eyes, family, hidden, layout),
    }
    width = values["embed_dim" if family is Family.QWEN2_VL else "hidden_size"]
    assert isinstance(width, int)
    # a head holds sines and cosines of a row and of a column
    if width % (4 * heads):
        raise eyes.broken(f"says {heads} vision heads, which do not divide a width of {width}")
    if eyes.whole("depth", 1) > _MOST_LAYERS:
        raise eyes.broken(f"says {eyes.whole('depth')} vision layers")
    return Vision(
        values,
        layout,
        image_token_id=config.whole("image_token_id", 151655, least=0),
        video_token_id=config.whole("video_token_id", 151656, least=0),
        vision_start_token_id=config.whole("vision_start_token_id", 151652, least=0),
        tokens_per_s=eyes.number("tokens_per_second", 4) if family is Family.QWEN2_5_VL else 0.0,
    )


def _tower(eyes: Fields, family: Family, hidden: int, layout: PatchLayout) -> Values:
    """What only this family's vision encoder has. `hidden` is the language model's width."""
    match family:
        case Family.QWEN2_VL:
            return {
                "embed_dim": eyes.whole("embed_dim", 1280),
                "hidden_size": eyes.whole("hidden_size", hidden),
                "mlp_ratio": eyes.number("mlp_ratio", 4),
            }
        case Family.QWEN2_5_VL:
            window_px = eyes.whole("window_size", 112)
            if window_px < layout.factor_px:
                raise eyes.broken(f"says windows of {window_px} px, smaller than an image token")
            return {
                "hidden_size": eyes.whole("hidden_size", 1280),
                "intermediate_size": eyes.whole("intermediate_size", 3420),
                "out_hidden_size": eyes.whole("out_hidden_size", hidden),
                "window_size": window_px,
                "fullatt_block_indexes": list(
                    eyes.wholes("fullatt_block_indexes", (7, 15, 23, 31))
                ),
            }
        case Family.QWEN3_VL:
            stacked = eyes.wholes("deepstack_visual_indexes", (8, 16, 24))
            if any(index >= eyes.whole("depth", 27) for index in stacked):
                raise eyes.broken(f"says deepstack layers {stacked} of {eyes.whole('depth', 27)}")
            return {
                "hidden_size": eyes.whole("hidden_size", 1152),
                "intermediate_size": eyes.whole("intermediate_size", 4304),
                "out_hidden_size": eyes.whole("out_hidden_size", hidden),
                "num_position_embeddings": eyes.whole("num_position_embeddings", 2304),
                "deepstack_visual_indexes": list(stacked),
            }
        case Family.QWEN2:
            return {}
        case _:
            assert_never(family)


def _side(eyes: Fields, name: str, default: int) -> int:
    """A length that transformers also lets be a list, once per axis."""
    if not isinstance(eyes.values.get(name), list):
        return eyes.whole(name, default)
    sides = set(eyes.wholes(name))
    if len(sides) != 1 or 0 in sides:
        raise eyes.broken(f"says {name} is {sorted(sides)}; patches are square")
    return sides.pop()


def _eos_ids(folder: Path, config: Fields, text: Fields) -> frozenset[int]:
    path = folder / "generation_config.json"
    generation = Fields(path, read_json(path, missing_ok=True))
    for fields in (generation, config, text):
        if "eos_token_id" not in fields:
            continue
        if not isinstance(fields.values["eos_token_id"], list):
            return frozenset([fields.whole("eos_token_id", least=0)])
        if ids := fields.wholes("eos_token_id"):
            return frozenset(ids)
    raise config.broken("names no end token (eos_token_id)")


def _quantization(config: Fields) -> Mapping[str, object]:
    """MLX's own; what other programs write is refused."""
    name = "quantization" if "quantization" in config else "quantization_config"
    stated = config.inside(name)
    if not stated.values:
        return {}
    if name == "quantization_config" and "quant_method" in stated:
        method = stated.word("quant_method")[:40]
        raise UnsupportedModelError(
            f"{config.path} says that the weights are quantized by {method!r}; this version reads"
            " plain weights and MLX's own quantization",
            "qvq models",
        )
    mode = stated.word("mode", "affine")
    if mode == "affine" and stated.whole("bits") not in _QUANTIZED_BITS:
        raise stated.broken(f"says {stated.whole('bits')} bits, which MLX does not have")
    vision = config.inside("vision_config")
    return {
        **stated.values,
        "group_size": stated.whole("group_size"),
        "bits": stated.whole("bits"),
        "mode": mode,
        # an old mark of conversions that left the vision encoder as it was
        "skip_vision": vision.flag("skip_vision", default=False),
    }
