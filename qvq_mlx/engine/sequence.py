"""One sequence in flight: its KV cache, and the forward pass that extends it.

Law: the cache holds exactly `length` entries that count; what `trim` took back is never read
again. Every forward pass is given its positions; see engine/language.py.

Covers caches that are plain keys and values per layer (the Qwen families). A lane has one row, or
after `repeat` several that march in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from qvq_mlx.engine.features import Embedded
from qvq_mlx.engine.language import Language
from qvq_mlx.engine.prompt import Positions

KeyValues = tuple[mx.array, mx.array]
"""One layer's keys and values, each (rows, kv heads, tokens, head width)."""


Kind = tuple[int, int, mx.Dtype]
"""Heads, the width of a head, and the float type."""

Layout = tuple[Kind, Kind]
"""What one layer's keys and values are, whatever the number of tokens."""


class KVSequence:
    """A KV cache on a language model."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._cache: list[Any] = language.new_cache()

    @property
    def length(self) -> int:
        """Tokens that the cache holds."""
        return int(self._cache[0].offset)

    def layout(self) -> list[Layout]:
        """The keys and values that the model's layers write. Nothing is computed: shapes and types
        of a pass are known before it is run.
        """
        scratch = KVSequence(self._language)
        scratch.forward(mx.array([[0]]), 0)
        return [(_kind(keys), _kind(values)) for keys, values in scratch._states()]

    def prefill(self, tokens: Embedded, positions: Positions) -> None:
        """Extend the cache by tokens at (3, tokens) positions, and wait for it."""
        # (3, batch, tokens)
        self._language.extend(tokens, mx.array(positions)[:, None], self._cache)
        mx.eval([layer.state for layer in self._cache])

    def forward(self, ids: mx.array, position: int) -> mx.array:
        """Logits (rows, tokens, vocab) after each of `ids` (rows, tokens): text from `position` on.

        Not evaluated: the caller decides when to wait.
        """
        rows, tokens = ids.shape
        where = mx.broadcast_to(position + mx.arange(tokens), (3, rows, tokens))
        return self._language.logits(ids, where, self._cache)

    def trim(self, tokens: int) -> None:
        """Take back the last `tokens` entries of every layer."""
        for layer in self._cache:
            layer.trim(tokens)

    def saved(self) -> list[KeyValues]:
        """Return the cache's content, layer by layer. Later writes do not change it."""
        # sliced, also where nothing is cut off: mlx writes into the array object that it was given
        return [(_whole(keys), _whole(values)) for keys, values in self._states()]

    def restore(self, saved: Sequence[KeyValues]) -> None:
        """Make the lane hold what was `saved`, and nothing else."""
        for layer, state in zip(self._cache, saved, strict=True):
            layer.state = tuple(_whole(array) for array in state)

    def repeat(self, rows: int) -> None:
        """Turn one row into `rows` equal ones."""
        self.restore([(mx.repeat(k, rows, 0), mx.repeat(v, rows, 0)) for k, v in self._states()])

    def keep(self, rows: Sequence[int]) -> None:
        """Drop every row but these, in this order."""
        kept = mx.array(list(rows))
        self.restore([(k[kept], v[kept]) for k, v in self._states()])

    def _states(self) -> list[KeyValues]:
        return [layer.state for layer in self._cache]


def _kind(array: mx.array) -> Kind:
    return array.shape[1], array.shape[3], array.dtype


def _whole(array: mx.array) -> mx.array:
    """The same data as another object."""
    return array[..., :, :]
