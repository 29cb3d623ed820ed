"""The names of stored weights, as far as several families share them.

Law: every naming that has been published means the same weight: transformers' old names
(`model.layers`, `visual.blocks`), its names since 4.52 (`model.language_model.layers`,
`model.visual.blocks`) and MLX's own (`language_model.model.layers`, `vision_tower.blocks`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from qvq_mlx.families.family import Placement

_RENAMED = (  # the first that fits
    ("model.language_model.", "language_model.model."),
    ("model.visual.", "vision_tower."),
    ("visual.", "vision_tower."),
    ("model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
)
_COMPUTED = ("rotary_emb.inv_freq", "position_ids")
"""Buffers that old checkpoints store and that follow from the config."""
_PATCHES = "vision_tower.patch_embed.proj.weight"
_COLOURS_LAST = (0, 2, 3, 4, 1)
"""torch has (out, rgb, frames, height, width), mlx the colours last."""


def renamed(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Placement]:
    """Each stored weight under its name in mlx-vlm; only the patch embedding is transposed."""
    for source, shape in shapes.items():
        if source.endswith(_COMPUTED):
            continue
        name = mlx_name(source)
        as_torch = name == _PATCHES and len(shape) == 5 and shape[-1] != 3
        yield Placement(name, (source,), _COLOURS_LAST if as_torch else ())


def mlx_name(name: str) -> str:
    """The name in mlx-vlm of a weight, or of a module."""
    for theirs, ours in _RENAMED:
        if f"{name}.".startswith(theirs):
            return f"{ours}{f'{name}.'.removeprefix(theirs)}".removesuffix(".")
    return name
