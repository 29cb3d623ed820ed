"""Reading of hybrid language models: of some layers most are linear attention, one is attention.

Law: a gated delta net keeps one state of fixed size; every `full_attention_interval`-th layer keeps
keys and values. Norms are stored about zero by transformers (a scale of 1 is stored as 0), and as
they are by MLX's conversions. Which of the two wrote a folder is told by the convolution, which
torch stores as (channels, 1, width) and MLX as (channels, width, 1). Source: transformers'
Qwen3_5TextConfig and Qwen3_5RMSNorm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from qvq_mlx.core.errors import UnsupportedModelError
from qvq_mlx.core.remedies import Show
from qvq_mlx.families.family import LayerCache, Placement, Values
from qvq_mlx.families.fields import Fields
from qvq_mlx.families.text_config import sectioned_rope
from qvq_mlx.families.weight_names import renamed

_INTERVAL = 4
_LINEAR, _ATTENTION = "linear_attention", "full_attention"
_TURNED_SHARE = 0.25
"""Of a head's width, how much rotary positions turn."""
_CONVOLUTION = "linear_attn.conv1d.weight"
_WIDTH_LAST = (0, 2, 1)
_ABOUT_ZERO = (
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
    "self_attn.q_norm.weight",
    "self_attn.k_norm.weight",
    "language_model.model.norm.weight",
)
"""The norm inside a delta net is stored as it is."""
MTP = "mtp."
"""Weights of the head that guesses the token after the next one."""


def hybrid_values(text: Fields) -> Values:
    """Heads, rotary positions and the sizes of the linear layers."""
    interval = _interval(text)
    key_heads = text.whole("linear_num_key_heads", 16)
    value_heads = text.whole("linear_num_value_heads", 32)
    if value_heads % key_heads:
        raise text.broken(
            f"says {key_heads} linear key heads, which do not divide {value_heads} value heads"
        )
    head_dim = text.whole("head_dim", 256)
    return {
        "head_dim": head_dim,
        "attention_bias": text.flag("attention_bias", default=False),
        "full_attention_interval": interval,
        "linear_num_key_heads": key_heads,
        "linear_num_value_heads": value_heads,
        "linear_key_head_dim": text.whole("linear_key_head_dim", 128),
        "linear_value_head_dim": text.whole("linear_value_head_dim", 128),
        "linear_conv_kernel_dim": text.whole("linear_conv_kernel_dim", 4, least=2),
        "rope_parameters": _partial_rope(text, head_dim),
    }


def hybrid_caches(text: Fields) -> tuple[LayerCache, ...]:
    """Keys and values in every n-th layer, states in the others."""
    interval = _interval(text)
    return tuple(
        LayerCache.KEYS_VALUES if (layer + 1) % interval == 0 else LayerCache.RECURRENT
        for layer in range(text.whole("num_hidden_layers"))
    )


def hybrid_placements(
    shapes: Mapping[str, tuple[int, ...]],
    place: Callable[[Mapping[str, tuple[int, ...]]], Iterable[Placement]] = renamed,
) -> Iterator[Placement]:
    """As `place` does; convolutions transposed and norms raised by 1 where torch's layout says so.

    The MTP head is no part of the model itself.
    """
    by_torch = _by_torch(shapes)
    own = {name: shape for name, shape in shapes.items() if MTP not in name}
    for placement in place(own):
        if by_torch and placement.name.endswith(_CONVOLUTION):
            yield replace(placement, axes=_WIDTH_LAST)
        elif by_torch and placement.name.endswith(_ABOUT_ZERO):
            yield replace(placement, added=1.0)
        else:
            yield placement


def head_placements(
    shapes: Mapping[str, tuple[int, ...]],
    place: Callable[[Mapping[str, tuple[int, ...]]], Iterable[Placement]] = renamed,
) -> Iterator[Placement]:
    """The weights of the MTP head by their names in it (`fc.weight`, `layers.0...`), as `place`
    does; all its norms are raised by 1 where torch's layout says so. Nothing where there is none.
    """
    by_torch = _by_torch(shapes)
    own = {source.partition(MTP)[2]: source for source in shapes if MTP in source}
    for placement in place({name: shapes[source] for name, source in own.items()}):
        stored = replace(placement, sources=tuple(own[source] for source in placement.sources))
        norm = "norm" in placement.name.split(".")[-2:][0]
        yield replace(stored, added=1.0) if by_torch and norm else stored


def _by_torch(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """True if torch's layout is stored."""
    return any(name.endswith(_CONVOLUTION) and shape[-1] != 1 for name, shape in shapes.items())


def _interval(text: Fields) -> int:
    """Every how many layers there is attention: as stated, or as `layer_types` has it, or 4.

    Raises UnsupportedModelError for layers in another order than mlx-vlm runs.
    """
    layers = text.whole("num_hidden_layers")
    stated = text.values.get("layer_types")
    kinds = stated if isinstance(stated, list) else []
    first = kinds.index(_ATTENTION) + 1 if _ATTENTION in kinds else _INTERVAL
    interval = text.whole("full_attention_interval", first)
    if layers < interval:
        raise text.broken(f"says {layers} layers, and attention in every {interval}th of them")
    order = [_LINEAR if (layer + 1) % interval else _ATTENTION for layer in range(layers)]
    if stated is not None and stated != order:
        raise UnsupportedModelError(
            f"{text.path} says layer_types that are not attention in every {interval}th layer;"
            " this version runs no other order",
            Show.MODELS,
        )
    return interval


def _partial_rope(text: Fields, head_dim: int) -> Values:
    """Rotary positions of a part of each head, in sections for time, height and width."""
    stated = text.inside("rope_parameters" if "rope_parameters" in text else "rope_scaling")
    holder = stated if "partial_rotary_factor" in stated else text
    share = holder.number("partial_rotary_factor", _TURNED_SHARE)
    turned = int(head_dim * share)
    if share > 1 or turned < 2:
        raise text.broken(f"says partial_rotary_factor {share}, of heads {head_dim} wide")
    rope = sectioned_rope(text, turned, (11, 11, 10))
    sections = rope["rope_scaling"]
    assert isinstance(sections, dict)
    return {
        "type": "default",
        "mrope_section": sections["mrope_section"],
        "rope_theta": rope["rope_theta"],
        "partial_rotary_factor": share,
    }
