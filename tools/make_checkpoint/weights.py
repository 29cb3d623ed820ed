"""Random weights, tensor by tensor and the large ones row block by row block.

Law: a tensor depends on the seed and its own name alone. Scales: every linear layer keeps the
size of what it reads; the branches of all layers together weigh about `BRANCHES` times the
embedding. With a tied head the MLPs weigh more, else every token would predict itself; attention
does not, else the average of a long context would drown the token. Logits have a standard
deviation near `LOGITS`. Memory: one tensor in its final form plus `BLOCK_BYTES` times a few.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mlx.core as mx

BLOCK_BYTES = 2**26
LOGITS = 3.0
BRANCHES = 1.0
MLP_BRANCHES_OF_TIED = 200.0
BRANCHES_OF_CYCLE = 0.25

_INTO_THE_RESIDUAL = (
    "o_proj.weight",
    "out_proj.weight",
    "down_proj.weight",
    "attn.proj.weight",
    "fc2.weight",
)
_EXPERTS = ".switch_mlp."


@dataclass(frozen=True, slots=True)
class Recipe:
    """How tensors are drawn. `cycle` = 0, or the length of the cycles that greedy text runs in."""

    seed: int
    width: int
    layers: int
    tied: bool
    cycle: int = 0

    @property
    def embedding(self) -> float:
        """Standard deviation of the embedding."""
        return LOGITS / math.sqrt(self.width) if self.tied else 1.0

    def scale(self, name: str, shape: tuple[int, ...]) -> float:
        """Standard deviation of a tensor of two or more dimensions."""
        if name.endswith("embed_tokens.weight"):
            return self.embedding
        if name.endswith("lm_head.weight"):
            return LOGITS / math.sqrt(self.width)
        fan_in = shape[-1] if _EXPERTS in name else math.prod(shape[1:])
        if not name.endswith(_INTO_THE_RESIDUAL):
            return 1 / math.sqrt(fan_in)
        if name.startswith("vision_tower"):
            return 0.5 / math.sqrt(fan_in)
        share = BRANCHES_OF_CYCLE if self.cycle else BRANCHES
        if self.tied and name.endswith("down_proj.weight"):
            share = MLP_BRANCHES_OF_TIED
        return share * self.embedding / math.sqrt(2 * self.layers * fan_in)


def row_blocks(
    recipe: Recipe, name: str, shape: tuple[int, ...], dtype: mx.Dtype
) -> Iterator[mx.array]:
    """The tensor `name` in blocks of rows, evaluated."""
    if len(shape) == 1:
        yield _vector(recipe, name, shape[0]).astype(dtype)
        return
    draws = _rows_of(recipe, name, shape)
    rows = _rows_per_block(shape, recipe.cycle)
    for begin in range(0, shape[0], rows):
        block = draws(begin // rows, min(rows, shape[0] - begin)).astype(dtype)
        mx.eval(block)
        yield block


def _rows_per_block(shape: tuple[int, ...], cycle: int) -> int:
    rows = max(1, BLOCK_BYTES // (4 * math.prod(shape[1:])))
    return rows if cycle == 0 else max(cycle, rows - rows % cycle)


def _rows_of(recipe: Recipe, name: str, shape: tuple[int, ...]) -> Callable[[int, int], mx.array]:
    """Draws block number `index` of `count` rows."""
    scale = recipe.scale(name, shape)
    if not (recipe.cycle and name.endswith("lm_head.weight")):
        return lambda index, count: (
            scale * mx.random.normal((count, *shape[1:]), key=_key(recipe.seed, f"{name}:{index}"))
        )
    embedding = name.replace("lm_head", "model.embed_tokens")

    def after(index: int, count: int) -> mx.array:
        """Row r of the head is the embedding of r's predecessor, so that r follows it."""
        rows = mx.random.normal((count, *shape[1:]), key=_key(recipe.seed, f"{embedding}:{index}"))
        place = mx.arange(count)
        start = place - place % recipe.cycle
        length = mx.minimum(recipe.cycle, count - start)
        return scale * rows[start + (place - start - 1) % length]

    return after


def _vector(recipe: Recipe, name: str, length: int) -> mx.array:
    """A norm's weight, or a bias."""
    if name.endswith(".weight"):
        return mx.ones((length,))
    return 0.02 * mx.random.normal((length,), key=_key(recipe.seed, name))


def _key(seed: int, name: str) -> mx.array:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return mx.random.key(int.from_bytes(digest[:7], "big"))
