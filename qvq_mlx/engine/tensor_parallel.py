"""Splits the layers of a language model among the machines of a group (tensor parallel).

Law: every machine computes its own heads and its own part of each MLP; the parts are summed twice
a layer, and what goes from layer to layer is whole and equal on all of them. Weights are cut
before they are read. Embeddings, head, norms, routers and the vision encoder are not cut.

The cutting and the sums are MLX's (`mlx.nn.layers.distributed`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.layers.distributed import shard_inplace, shard_linear

_HEADS = ("n_heads", "n_kv_heads", "num_attention_heads", "num_key_value_heads")
"""The names of both numbers of heads in mlx-vlm's classes."""


def split(language: Any, group: mx.distributed.Group) -> None:
    """Leave in the language model what this member of `group` computes; nothing is read.

    `language` is mlx-vlm's, its weights set. Raises ValueError where heads, or columns of a
    matrix, do not divide among the members.
    """
    for layer in language.model.layers:
        if "linear_attn" in layer:
            _split_delta_net(layer.linear_attn, group)
        else:
            _split_attention(layer.self_attn, group)
        if "switch_mlp" in layer.mlp:
            layer.mlp = _split_experts(layer.mlp, group)
        else:
            _split_mlp(layer.mlp, group)


def _split_attention(attention: Any, group: mx.distributed.Group) -> None:
    """Each member has a part of the heads, with their queries' gates where there are any."""
    for name in _HEADS:
        if hasattr(attention, name):
            setattr(attention, name, _part(getattr(attention, name), "heads", group))
    for name in ("q_proj", "k_proj", "v_proj"):
        attention[name] = shard_linear(attention[name], "all-to-sharded", group=group)
    attention.o_proj = _summed(attention.o_proj, group)


def _split_delta_net(net: Any, group: mx.distributed.Group) -> None:
    """Each member has a part of the key heads, and the value heads that belong to these."""
    segments = [net.key_dim, 2 * net.key_dim]  # queries, keys, values
    keys = _part(net.num_k_heads, "linear attention heads", group)
    values = net.num_v_heads // net.num_k_heads * keys
    net.in_proj_qkv = shard_linear(
        net.in_proj_qkv, "all-to-sharded", segments=segments, group=group
    )
    for name in ("in_proj_z", "in_proj_b", "in_proj_a"):
        net[name] = shard_linear(net[name], "all-to-sharded", group=group)
    shard_inplace(net.conv1d, lambda _path, _weight: (0, segments), group=group)
    mine = slice(group.rank() * values, (group.rank() + 1) * values)
    net.A_log, net.dt_bias = net.A_log[mine], net.dt_bias[mine]
    net.out_proj = _summed(net.out_proj, group)
    net.num_k_heads, net.num_v_heads = keys, values
    net.key_dim, net.value_dim = net.head_k_dim * keys, net.head_v_dim * values
    net.conv_dim = net.conv1d.groups = 2 * net.key_dim + net.value_dim


def _split_mlp(mlp: Any, group: mx.distributed.Group) -> None:
    for name in ("gate_proj", "up_proj"):
        mlp[name] = shard_linear(mlp[name], "all-to-sharded", group=group)
    mlp.down_proj = _summed(mlp.down_proj, group)


def _split_experts(block: Any, group: mx.distributed.Group) -> _Summed:
    """Each member has a part of every expert, the shared one included: one sum for all of them.

    The router is whole, so that all members choose the same experts.
    """
    for expert in _experts(block):
        for name in ("gate_proj", "up_proj"):
            _check_divides(expert[name].weight.shape[-2], "rows of an expert", group)
            shard_inplace(expert[name], "all-to-sharded", group=group)
        _check_columns(expert.down_proj, group)
        shard_inplace(expert.down_proj, "sharded-to-all", group=group)
    return _Summed(block, group)


def _experts(block: Any) -> Iterator[Any]:
    yield block.switch_mlp
    if "shared_expert" in block:
        yield block.shared_expert


class _Summed(nn.Module):  # type: ignore[name-defined, misc]  # untyped in mlx
    """A block of which each member of the group computes a summand."""

    def __init__(self, block: Any, group: mx.distributed.Group) -> None:
        super().__init__()
        self.block = block
        self._group = group

    def __call__(self, x: mx.array) -> mx.array:
        """The sum over all members, of the shape that the block gives."""
        total: mx.array = mx.distributed.all_sum(self.block(x), group=self._group)
        return total


def _summed(linear: Any, group: mx.distributed.Group) -> Any:
    """Cut a linear layer by columns; what it gives is summed over the members."""
    _check_columns(linear, group)
    return shard_linear(linear, "sharded-to-all", group=group)


def _check_columns(linear: Any, group: mx.distributed.Group) -> None:
    """A cut goes between two groups of quantized columns."""
    scales: Sequence[int] = linear.get("scales", linear.weight).shape
    what = "groups of quantized columns" if "scales" in linear else "columns of a matrix"
    _check_divides(scales[-1], what, group)


def _part(count: int, what: str, group: mx.distributed.Group) -> int:
    _check_divides(count, what, group)
    return count // group.size()


def _check_divides(count: int, what: str, group: mx.distributed.Group) -> None:
    if count % group.size():
        raise ValueError(f"{count} {what} do not divide among {group.size()} machines")
