"""Reading of a vision encoder's config values, as far as several families share it."""

from __future__ import annotations

from qvq_mlx.families.family import PatchLayout, Values
from qvq_mlx.families.fields import Fields
from qvq_mlx.families.text_config import MOST_LAYERS


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


def _side(eyes: Fields, name: str, default: int) -> int:
    """A length that transformers also lets be a list, once per axis."""
    if not isinstance(eyes.values.get(name), list):
        return eyes.whole(name, default)
    sides = set(eyes.wholes(name))
    if len(sides) != 1 or 0 in sides:
        raise eyes.broken(f"says {name} is {sorted(sides)}; patches are square")
    return sides.pop()
