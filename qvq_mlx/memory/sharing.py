"""Computes the part of a model that each machine holds where several split its layers.

Law: embeddings, head and vision encoder are whole on the first machine and nowhere else; of every
layer each machine holds an equal part (engine/tensor_parallel.py).
"""

from __future__ import annotations

from qvq_mlx.core.card import ModelCard, Shape, VisionShape

QUANTIZED_COLUMNS = 64
"""A cut of a quantized matrix goes between two groups of so many columns."""


def weights_bytes(card: ModelCard, machines: int = 1) -> int:
    """The weights that the first of so many machines holds; 0 where their size is unknown.

    Where the card does not say how many parameters there are, nothing is taken to be split.
    """
    layers = layers_bytes(card) if machines > 1 else 0
    return card.download_bytes - layers + layers // machines


def layers_bytes(card: ModelCard) -> int:
    """The bytes of all layers of the language model: what is split. 0 where it is not known.

    The vision encoder counts as 16 bit, as most conversions leave it.
    """
    shape, whole = card.shape, card.download_bytes
    if shape is None or not shape.parameters:
        return 0
    matrices = 1 if shape.tied else 2
    rest = matrices * shape.vocab * shape.hidden * whole // shape.parameters
    if shape.vision is not None:
        rest += 2 * _vision_parameters(shape, shape.vision)
    return max(whole - rest, 0)


def undivided(card: ModelCard, machines: int) -> str:
    """Say what of the model does not divide among so many machines; empty where all does."""
    shape = card.shape
    if shape is None or machines == 1:
        return ""
    widths = [shape.dense_width]
    if shape.experts is not None:
        widths += [shape.experts.intermediate, shape.experts.shared_intermediate]
    group = QUANTIZED_COLUMNS if 0 < card.bits < 16 else 1
    counts = [(shape.kv_heads, "key-value heads")]
    counts += [(width // group, "groups of quantized columns") for width in widths if width]
    if shape.recurrent is not None:
        counts.append((shape.recurrent.key_heads, "linear attention heads"))
    for count, what in counts:
        if count % machines:
            return f"{count} {what} do not divide among {machines} machines"
    return ""


def _vision_parameters(shape: Shape, eyes: VisionShape) -> int:
    """Blocks of attention and an MLP of four times the width, patches, and the merger; no less than
    the card says.
    """
    merged = eyes.merge**2 * eyes.hidden
    blocks = eyes.depth * 12 * eyes.hidden**2 + 6 * eyes.patch**2 * eyes.hidden
    return max(eyes.parameters, blocks + merged**2 + merged * shape.hidden)
