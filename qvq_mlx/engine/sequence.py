"""One sequence in flight: what its layers keep, and the forward pass that extends it.

Law: the caches hold exactly `length` tokens that count; what `trim` took back is never read again.
Every forward pass is given its positions; see engine/language.py.

A prompt is read at full precision, whatever comes after: `quantise` is for what is decoded. So what
is kept of a prompt serves every run, and where it was cut changes nothing.

A layer keeps the keys and values of every token, or a state of fixed size (`LayerCache`). The
former lose their last tokens at any time, the latter as far back as the last `mark`. Sequences of
different lengths share a pass (`forward_together`), and each keeps what it would keep alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

import mlx.core as mx

from qvq_mlx.engine.features import Embedded
from qvq_mlx.engine.language import Language
from qvq_mlx.engine.library import quantised, wrap_attention
from qvq_mlx.engine.prompt import Positions
from qvq_mlx.families.family import LayerCache

if TYPE_CHECKING:
    from qvq_mlx.engine.recurrent import RecurrentCache
    from qvq_mlx.engine.trace import Trace

KeyValues = tuple[mx.array, mx.array]
"""One layer's keys and values, each (rows, kv heads, tokens, head width)."""

State = tuple[mx.array, mx.array]
"""One recurrent layer's last inputs of its convolution, and its state (engine/recurrent.py)."""


@dataclass(frozen=True, slots=True)
class Saved:
    """Content of a sequence: keys and values by layer, and states of the recurrent layers."""

    attention: list[KeyValues]
    recurrent: list[State]

    @property
    def arrays(self) -> list[mx.array]:
        """All that mx.eval has to evaluate."""
        return [array for pair in (*self.attention, *self.recurrent) for array in pair]


Kind = tuple[int, int, mx.Dtype]
"""Heads, the width of a head, and the float type."""

StateKind = tuple[tuple[int, ...], mx.Dtype]
"""Shape and float type of one array of a recurrent layer."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Shapes and types that a model's layers write, whatever the number of tokens."""

    attention: list[tuple[Kind, Kind]]
    recurrent: list[tuple[StateKind, StateKind]]


class KVSequence:
    """The caches of one sequence on a language model."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.trace: Trace | None = None
        """The last hidden states, where somebody watches; None: they are not kept."""
        self._cache: list[Any] = language.new_cache()
        self._attention: list[Any] = self._of_kind(LayerCache.KEYS_VALUES)
        self._recurrent: list[RecurrentCache] = self._of_kind(LayerCache.RECURRENT)

    @property
    def length(self) -> int:
        """Tokens that the sequence holds."""
        return int(self._attention[0].offset)

    def watch(self) -> None:
        """From here on, keep the last hidden states. Only alone in a pass."""
        from qvq_mlx.engine.trace import Trace  # most models have nobody to watch

        self.trace = Trace(self.length)

    def layer(self, place: int) -> Any:
        """Return the cache of one layer."""
        return self._cache[place]

    def layout(self) -> Layout:
        """Return what the model's layers write. Nothing is computed: shapes and types of a pass are
        known before it is run.
        """
        scratch = KVSequence(self.language)
        scratch.forward(mx.array([[0]]), 0)
        held = scratch._held()
        return Layout(
            [(_kind(keys), _kind(values)) for keys, values in held.attention],
            [(_state_kind(window), _state_kind(state)) for window, state in held.recurrent],
        )

    def prefill(self, tokens: Embedded, positions: Positions) -> None:
        """Extend the caches by tokens at (3, tokens) positions, and wait for it. For good."""
        hidden = self.extended(tokens, positions)
        if self.trace is None:
            mx.eval(self._held().arrays)
            return
        self.trace.read(tokens.rows, hidden, positions)
        mx.eval(self._held().arrays, self.trace.arrays)

    def extended(self, tokens: Embedded, positions: Positions) -> mx.array:
        """Extend the caches, for good, and return the hidden states (1, tokens, hidden).

        Not evaluated, and no more than the caches has to be.
        """
        for layer in self._recurrent:
            layer.settle()
        # (3, batch, tokens)
        return self.language.extend(tokens, mx.array(positions)[:, None], self._cache)

    def forward(self, ids: mx.array, position: int) -> mx.array:
        """Logits (rows, tokens, vocab) after each of `ids` (rows, tokens): text from `position` on.

        Not evaluated: the caller decides when to wait.
        """
        rows, tokens = ids.shape
        where = mx.broadcast_to(position + mx.arange(tokens), (3, rows, tokens))
        if self.trace is None:
            return self.language.logits(ids, where, self._cache)
        logits, hidden = self.language.traced(ids, where, self._cache)
        self.trace.add(hidden)
        return logits

    def mark(self) -> None:
        """From here on, tokens can be taken back; what is before is for good.

        A recurrent layer keeps its state after every token until the next mark.
        """
        for layer in self._recurrent:
            layer.mark()

    def trim(self, tokens: int) -> None:
        """Take back the last `tokens` of every layer, at most those since the mark."""
        for layer in self._cache:
            layer.trim(tokens)
        if self.trace is not None:
            self.trace.trim(tokens)

    def saved(self) -> Saved:
        """Return what the layers hold. Later writes do not change it."""
        # sliced, also where nothing is cut off: mlx writes into the array object that it was given
        held = self._held()
        return Saved(
            [(_whole(keys), _whole(values)) for keys, values in held.attention],
            [(_whole(window), _whole(state)) for window, state in held.recurrent],
        )

    def restore(self, saved: Saved) -> None:
        """Make the sequence hold what was `saved`, and nothing else."""
        for layer, pair in zip(self._attention, saved.attention, strict=True):
            layer.state = (_whole(pair[0]), _whole(pair[1]))
        for recurrent, state in zip(self._recurrent, saved.recurrent, strict=True):
            recurrent.state = state

    def quantise(self, bits: int) -> None:
        """Keep keys and values in so many bits, 8 or 4, from here on. It is saved no more.

        Layer by layer: the memory of both is never needed for more than one.
        """
        if not self.length:
            return  # one token is the whole prompt
        for place, kind in enumerate(self.language.caches):
            if kind is LayerCache.KEYS_VALUES:
                small = quantised(self._cache[place], bits)
                mx.eval(small.keys, small.values)
                self._cache[place] = small
        self._attention = self._of_kind(LayerCache.KEYS_VALUES)

    def copy(self) -> KVSequence:
        """Return a sequence that holds the same, and goes its own way from here."""
        other = type(self)(self.language)
        other.restore(self.saved())
        return other

    @classmethod
    def together(
        cls, sequences: Sequence[KVSequence], ids: mx.array, positions: Sequence[int]
    ) -> mx.array:
        """Run one pass over several sequences; see `forward_together`."""
        # a single question loads none of it
        from qvq_mlx.engine.row_caches import AttentionRows, RecurrentRows, RowwiseAttention

        wrap_attention(RowwiseAttention)
        tokens = ids.shape[1]
        lengths = [sequence.length for sequence in sequences]
        offset = mx.array(lengths)
        where = mx.array(list(positions))[:, None] + mx.arange(tokens)  # (rows, tokens)
        language = sequences[0].language
        caches: list[Any] = []
        for place, kind in enumerate(language.caches):
            rows = [sequence.layer(place) for sequence in sequences]
            match kind:
                case LayerCache.KEYS_VALUES:
                    caches.append(AttentionRows(rows, lengths, offset))
                case LayerCache.RECURRENT:
                    caches.append(RecurrentRows(rows))
                case _:
                    assert_never(kind)
        return language.logits(ids, mx.broadcast_to(where, (3, *where.shape)), caches)

    def _of_kind(self, kind: LayerCache) -> list[Any]:
        kinds = self.language.caches
        return [layer for layer, its in zip(self._cache, kinds, strict=True) if its is kind]

    def _held(self) -> Saved:
        return Saved(
            [layer.state for layer in self._attention], [layer.state for layer in self._recurrent]
        )


def forward_together(
    sequences: Sequence[KVSequence], ids: mx.array, positions: Sequence[int]
) -> mx.array:
    """Logits (rows, tokens, vocab) of one pass over a row for each sequence.

    `ids` (rows, tokens) extend the sequences, text from these positions on. Not evaluated.
    """
    if len(sequences) == 1:
        return sequences[0].forward(ids, positions[0])
    return sequences[0].together(sequences, ids, positions)


def _kind(array: mx.array) -> Kind:
    return array.shape[1], array.shape[3], array.dtype


def _state_kind(array: mx.array) -> StateKind:
    return array.shape, array.dtype


def _whole(array: mx.array) -> mx.array:
    """The same data as another object."""
    return array[..., :, :]
