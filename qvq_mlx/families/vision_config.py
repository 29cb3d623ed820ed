"""Reading of a vision encoder's config values, as far as several families share it."""

from __future__ import annotations

from qvq_mlx.families.family import PatchLayout, Values
from qvq_mlx.families.fields import Fields
from qvq_mlx.families.text_config import MOST_LAYERS

STACKED_PACKAGE = "qwen3_vl"
"""mlx-vlm's module with Qwen3-VL's encoder. The sparse family has one of its own, whose blocks and
mergers have each other's GELU: features are off by 1e-3."""


def stated_layout(eyes: Fields, default: PatchLayout) -> PatchLayout:
    """The patches that `vision_config` states; its mean and spread stand in another file."""
    return PatchLayout(
        patch_px=_side(eyes, "patch_size", default.patch_px),
        merge=eyes.whole("spatial_merge_size", default.merge),
        temporal=_side(eyes, "temporal_patch_size", default.temporal),
        mean=default.mean,
        std=default.std,
    )


def encoder_sizes(eyes: Fields, layout: PatchLayout, depth: int, width: int) -> Values:
    """Layers, heads and patches of an encoder `width` wide. `depth` is the default."""
    heads, layers = eyes.whole("num_heads", 16), eyes.whole("depth", depth)
    # a head holds sines and cosines of a row and of a column
    if width % (4 * heads):
        raise eyes.broken(f"says {heads} vision heads, which do not divide a width of {width}")
    if layers > MOST_LAYERS:
        raise eyes.broken(f"says {layers} vision layers")
    return {
        "depth": layers,
        "num_heads": heads,
        "in_channels": 3,
        "patch_size": layout.patch_px,
        "spatial_merge_size": layout.merge,
        "temporal_patch_size": layout.temporal,
    }


def stacked_encoder(eyes: Fields, layout: PatchLayout, hidden: int) -> Values:
    """Qwen3-VL's encoder: positions are learned; the deepstack layers are some of its own."""
    depth = eyes.whole("depth", 27)
    stacked = eyes.wholes("deepstack_visual_indexes", (8, 16, 24))
    if any(index >= depth for index in stacked):
        raise eyes.broken(f"says deepstack layers {stacked} of {depth}")
    return _learned_positions(eyes, layout, hidden) | {"deepstack_visual_indexes": list(stacked)}


def plain_encoder(eyes: Fields, layout: PatchLayout, hidden: int) -> Values:
    """Qwen3-VL's encoder without deepstack, as Qwen3.5 has it."""
    if stacked := eyes.wholes("deepstack_visual_indexes", ()):
        raise eyes.broken(f"says deepstack layers {stacked}, which this family does not have")
    return _learned_positions(eyes, layout, hidden) | {"deepstack_visual_indexes": []}


def _learned_positions(eyes: Fields, layout: PatchLayout, hidden: int) -> Values:
    width = eyes.whole("hidden_size", 1152)
    return encoder_sizes(eyes, layout, depth=27, width=width) | {
        "hidden_size": width,
        "intermediate_size": eyes.whole("intermediate_size", 4304),
        "out_hidden_size": eyes.whole("out_hidden_size", hidden),
        "num_position_embeddings": eyes.whole("num_position_embeddings", 2304),
    }


def _side(eyes: Fields, name: str, default: int) -> int:
    """A length that transformers also lets be a list, once per axis."""
    if not isinstance(eyes.values.get(name), list):
        return eyes.whole(name, default)
    sides = set(eyes.wholes(name))
    if len(sides) != 1 or 0 in sides:
        raise eyes.broken(f"says {name} is {sorted(sides)}; patches are square")
    return sides.pop()
