"""mlx-vlm's language models behind one signature.

Law: every forward pass of an M-RoPE family is given its positions. mlx-vlm keeps the positions of
the last prompt on the model object and reuses them for the next one; nothing on the model object
is ever read or relied on. A text-only family counts by the length of the cache, which is the same:
without pictures, positions are indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from qvq_mlx.engine.features import Embedded
from qvq_mlx.engine.library import new_cache
from qvq_mlx.families.family import CallNames, LayerCache


class Language:
    """The language model of a checkpoint.

    `names` are its parameters, `caches` has a member per layer.
    """

    def __init__(self, model: Any, names: CallNames, caches: Sequence[LayerCache]) -> None:
        self._model = model
        self._names = names
        self.caches = caches

    def new_cache(self) -> list[Any]:
        """An empty cache, layer by layer."""
        return new_cache(self.caches)

    def embed(self, ids: Sequence[int]) -> mx.array:
        """Embeddings (1, tokens, hidden) of text."""
        return self.embedded(mx.array([ids]))

    def embedded(self, ids: mx.array) -> mx.array:
        """Embeddings (rows, tokens, hidden) of `ids` (rows, tokens) of text."""
        rows: mx.array = self._model.model.embed_tokens(ids)
        return rows

    def output(self, hidden: mx.array) -> mx.array:
        """Logits (rows, tokens, vocab) of hidden states (rows, tokens, hidden)."""
        tied = self._model.args.tie_word_embeddings
        head = self._model.model.embed_tokens.as_linear if tied else self._model.lm_head
        logits: mx.array = head(hidden)
        return logits

    def extend(self, tokens: Embedded, positions: mx.array, cache: list[Any]) -> mx.array:
        """Run tokens at (3, 1, tokens) positions for what they leave in the cache.

        Returns their hidden states (1, tokens, hidden), which nothing has to evaluate.
        """
        names = self._names
        arguments = {names.embeddings: tokens.rows, **self._positioned(positions)}
        if names.image_mask is not None:
            arguments[names.image_mask] = mx.array(tokens.image[None])
        if names.deepstack is not None:
            arguments[names.deepstack] = list(tokens.deepstack) if tokens.image.any() else None
        hidden: mx.array = self._model.model(None, cache=cache, **arguments)
        return hidden

    def run(self, rows: mx.array, positions: mx.array, cache: list[Any]) -> mx.array:
        """Hidden states (rows, tokens, hidden) after a pass over embeddings of text."""
        arguments = {self._names.embeddings: rows, **self._positioned(positions)}
        hidden: mx.array = self._model.model(None, cache=cache, **arguments)
        return hidden

    def logits(self, ids: mx.array, positions: mx.array, cache: list[Any]) -> mx.array:
        """Logits (rows, tokens, vocab) after each of `ids` (rows, tokens) of text.

        `positions` is (3, rows, tokens).
        """
        logits: mx.array = self._model(ids, cache=cache, **self._positioned(positions)).logits
        return logits

    def traced(
        self, ids: mx.array, positions: mx.array, cache: list[Any]
    ) -> tuple[mx.array, mx.array]:
        """Logits as of `logits`, and the hidden states (rows, tokens, hidden) that gave them.

        Of families that have draft heads.
        """
        output = self._model(ids, cache=cache, return_hidden=True, **self._positioned(positions))
        return output.logits, output.hidden_states[-1]

    def _positioned(self, positions: mx.array) -> dict[str, Any]:
        """The argument that holds the positions, of a model that is given any."""
        return {} if self._names.positions is None else {self._names.positions: positions}
