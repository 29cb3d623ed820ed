"""Reading of a language model's config values, as far as several families share it.

Where a key is missing, the default is the one of transformers' class for the family.
"""

from __future__ import annotations

from qvq_mlx.core.errors import UnsupportedModelError
from qvq_mlx.core.remedies import Show
from qvq_mlx.families.family import LayerCache, Values
from qvq_mlx.families.fields import Fields

MOST_LAYERS = 1000
_STRETCHED = ("default", "linear", "yarn")
_SECTIONED = ("default", "mrope")


def attention_values(text: Fields) -> Values:
    """Sizes and counts of a dense decoder, checked against each other."""
    return decoder_values(text) | {"intermediate_size": text.whole("intermediate_size")}


def decoder_values(text: Fields) -> Values:
    """The same, less the width of its MLPs."""
    heads = text.whole("num_attention_heads")
    kv_heads = text.whole("num_key_value_heads", heads)
    hidden = text.whole("hidden_size")
    layers = text.whole("num_hidden_layers")
    if heads % kv_heads:
        raise text.broken(f"says {kv_heads} key-value heads, which do not divide {heads} heads")
    if layers > MOST_LAYERS:
        raise text.broken(f"says {layers} layers; more than {MOST_LAYERS} are not believed")
    if _slides(text, layers):
        raise UnsupportedModelError(
            f"{text.path} asks for sliding-window attention, which this version does not run",
            Show.MODELS,
        )
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": text.number("rms_norm_eps"),
        "vocab_size": text.whole("vocab_size"),
        "max_position_embeddings": text.whole("max_position_embeddings", 32768),
    }


def attention_in_every_layer(text: Fields) -> tuple[LayerCache, ...]:
    """Keys and values in each of the layers."""
    return (LayerCache.KEYS_VALUES,) * text.whole("num_hidden_layers")


def divided_width(text: Fields) -> int:
    """The width of a head where all heads together are as wide as the model."""
    heads, hidden = text.whole("num_attention_heads"), text.whole("hidden_size")
    if hidden % heads:
        raise text.broken(f"says {heads} heads, which do not divide hidden_size {hidden}")
    return hidden // heads


def sectioned_rope(text: Fields, head_dim: int, sections: tuple[int, ...] | None = None) -> Values:
    """M-RoPE: `rope_theta`, and how many frequencies time, height and width get.

    `sections` is the default where the config states none.
    """
    rope, _, theta = _rope(text, head_dim, _SECTIONED)
    stated = rope.wholes("mrope_section", sections)
    if len(stated) != 3 or 2 * sum(stated) != head_dim:
        raise text.broken(f"says mrope_section {stated}, which do not fill heads {head_dim} wide")
    return {
        "rope_theta": theta,
        "rope_scaling": {"type": "default", "mrope_section": list(stated)},
    }


def stretched_rope(text: Fields, head_dim: int) -> Values:
    """RoPE of text, with positions beyond the trained ones where the config asks for them."""
    rope, kind, theta = _rope(text, head_dim, _STRETCHED)
    if kind == "default":
        return {"rope_theta": theta, "rope_scaling": None}
    scaling: Values = {"type": kind, "factor": rope.number("factor")}
    for name in ("original_max_position_embeddings", "beta_fast", "beta_slow"):
        if name in rope:
            scaling[name] = rope.number(name)
    return {"rope_theta": theta, "rope_scaling": scaling}


def _rope(text: Fields, head_dim: int, known: tuple[str, ...]) -> tuple[Fields, str, float]:
    """The object with the settings, their kind and `rope_theta`, in either of the two layouts."""
    if head_dim % 2:
        raise text.broken(f"says heads {head_dim} wide; rotary positions need an even width")
    name = "rope_parameters" if "rope_parameters" in text else "rope_scaling"
    rope = text.inside(name)
    kind = rope.word("rope_type", rope.word("type", "default"))
    theta = (rope if "rope_theta" in rope else text).number("rope_theta")
    if kind not in known:
        raise UnsupportedModelError(
            f"{text.path} asks for {kind[:40]!r} positions; this version runs {', '.join(known)}",
            Show.MODELS,
        )
    return rope, kind, theta


def _slides(text: Fields, layers: int) -> bool:
    """True if a layer attends to a window only. Source: transformers' Qwen2Config."""
    if not text.flag("use_sliding_window", default=False) or "sliding_window" not in text:
        return False
    return text.whole("max_window_layers", layers, least=0) < layers
