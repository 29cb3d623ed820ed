"""Caches of several sequences behind one forward pass: rows of different prompts and lengths.

Law: a row's layer keeps what it would keep alone, in a cache of its own; nothing is padded, and no
row sees another one. What multiplies by weights runs for all rows at once, which is what a pass
costs; attention and its cache run row by row, with the kernel and the shapes of a single sequence.
So rows join and leave between two passes without a copy, and memory is the sum of the rows'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import mlx.core as mx

if TYPE_CHECKING:
    from qvq_mlx.engine.recurrent import RecurrentCache


class AttentionRows:
    """One attention layer's caches, row by row, as mlx-vlm's models use a cache.

    `offset` (rows,) counts the tokens before this pass; `_idx` is the name by which mlx-vlm finds
    the largest of them without waiting for an array.
    """

    def __init__(self, caches: Sequence[Any], lengths: Sequence[int], offset: mx.array) -> None:
        self.caches = caches
        self.offset = offset
        self._idx = max(lengths)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[_ByRow, _ByRow]:
        """Append (rows, kv heads, tokens, width) and return what every row holds now."""
        held = [
            cache.update_and_fetch(keys[row : row + 1], values[row : row + 1])
            for row, cache in enumerate(self.caches)
        ]
        return _ByRow([pair[0] for pair in held]), _ByRow([pair[1] for pair in held])

    def make_mask(self, tokens: int, **_: object) -> str | None:
        """Return the mask of a pass over so many tokens a row: none for one, else causal."""
        return None if tokens == 1 else "causal"


class RecurrentRows:
    """One linear-attention layer's caches, row by row; see `engine.recurrent.RecurrentCache`."""

    lengths = None

    def __init__(self, caches: Sequence[RecurrentCache]) -> None:
        self._caches = caches

    def __getitem__(self, index: int) -> mx.array:
        """The last inputs of the convolution (index 0) or the recurrent state (1), of all rows."""
        return mx.concatenate([cache.state[index] for cache in self._caches], axis=0)

    def update_window(self, index: int, inputs: mx.array, width: int, *, lengths: None) -> None:
        """Take the inputs (rows, width + tokens, channels) of a pass."""
        for row, cache in enumerate(self._caches):
            cache.update_window(index, inputs[row : row + 1], width, lengths=lengths)

    def update_recurrent(
        self, index: int, tokens: int, update: Callable[[mx.array | None, int | None], Any]
    ) -> tuple[mx.array, mx.array]:
        """Run `update` over a pass of all rows; outputs and the last states."""
        between = self._caches[0].between(tokens)
        outputs, last, *states = update(self[index], between)
        for row, cache in enumerate(self._caches):
            own = states[0][row : row + 1] if states else None
            cache.take(own, last[row : row + 1])
        return outputs, last


class RowwiseAttention:
    """mlx-vlm's `scaled_dot_product_attention`, which takes `AttentionRows` row by row."""

    def __init__(self, plain: Callable[..., mx.array]) -> None:
        self._plain = plain

    def __call__(
        self,
        queries: mx.array,
        keys: object,
        values: object,
        cache: object,
        scale: float,
        mask: object,
        **rest: object,
    ) -> mx.array:
        """Queries (rows, heads, tokens, width) over what each row holds."""
        if not isinstance(keys, _ByRow):
            return self._plain(queries, keys, values, cache, scale=scale, mask=mask, **rest)
        assert isinstance(values, _ByRow)
        assert isinstance(cache, AttentionRows)
        attended = [
            self._plain(queries[row : row + 1], *held, own, scale=scale, mask=mask, **rest)
            for row, (*held, own) in enumerate(
                zip(keys.rows, values.rows, cache.caches, strict=True)
            )
        ]
        return mx.concatenate(attended, axis=0)


class _ByRow:
    """Keys or values, an entry for each row."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = rows
