"""The vision encoder's attention where mlx has no fused kernel for it.

Law: equal to mlx-vlm's attention within rounding, in memory that grows with the number of patches
and not with its square: scores exist for QUERY_ROWS patches at a time, heads * QUERY_ROWS * N
numbers instead of heads * N * N. Windows (Qwen2.5-VL) are shorter than that and run as they are.

On Metal mlx's fused kernel keeps no scores at all, so this is for the CPU backend alone. Waiting
for each part is what bounds the memory: mlx would else compute the parts of one layer at once.
"""

from __future__ import annotations

import itertools
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from qvq_mlx.memory.estimate import VISION_QUERY_ROWS as QUERY_ROWS


class BoundedAttention(nn.Module):  # type: ignore[name-defined, misc]  # untyped in mlx
    """Holds the weights of the attention that it replaces; takes and gives (patches, width).

    A module, so that they stay among the parameters of the model.
    """

    def __init__(self, replaced: Any, query_rows: int = QUERY_ROWS) -> None:
        super().__init__()
        self.num_heads = replaced.num_heads
        self.scale = replaced.scale
        self.qkv = replaced.qkv
        self.proj = replaced.proj
        self._query_rows = query_rows

    def __call__(self, x: mx.array, cu_seqlens: mx.array, rotary_pos_emb: mx.array) -> mx.array:
        """`cu_seqlens` are the ends of the segments that attend to themselves, from 0 on."""
        patches = x.shape[0]
        qkv = self.qkv(x).reshape(patches, 3, self.num_heads, -1)
        qkv = qkv.transpose(1, 2, 0, 3)  # (3, heads, patches, head width)
        angles = mx.tile(rotary_pos_emb, (1, 2))  # (patches, head width)
        queries, keys = _rotated(qkv[0], angles), _rotated(qkv[1], angles)
        ends: list[int] = cu_seqlens.tolist()  # type: ignore[assignment]
        parts = [
            self._segment(queries[:, begin:end], keys[:, begin:end], qkv[2, :, begin:end])
            for begin, end in itertools.pairwise(ends)
            if end > begin
        ]
        attended = mx.concatenate(parts, axis=1)  # (heads, patches, head width)
        output: mx.array = self.proj(attended.transpose(1, 0, 2).reshape(patches, -1))
        return output

    def _segment(self, queries: mx.array, keys: mx.array, values: mx.array) -> mx.array:
        """All of one segment, (heads, patches, head width) each."""
        parts = []
        for begin in range(0, queries.shape[1], self._query_rows):
            part = mx.fast.scaled_dot_product_attention(
                queries[None, :, begin : begin + self._query_rows],
                keys[None],
                values[None],
                scale=self.scale,
            )
            if queries.shape[1] > self._query_rows:
                mx.eval(part)
            parts.append(part[0])
        return mx.concatenate(parts, axis=1)


def bound_memory(tower: Any, query_rows: int = QUERY_ROWS) -> None:
    """Give every block of a vision encoder of a Qwen family a BoundedAttention."""
    for block in tower.blocks:
        block.attn = BoundedAttention(block.attn, query_rows)


def _rotated(heads: mx.array, angles: mx.array) -> mx.array:
    """(heads, patches, head width), turned by (patches, head width); in float32, as mlx-vlm."""
    first, second = mx.split(heads, 2, axis=-1)
    crossed = mx.concatenate([-second, first], axis=-1)
    return (heads * mx.cos(angles) + crossed * mx.sin(angles)).astype(heads.dtype)
