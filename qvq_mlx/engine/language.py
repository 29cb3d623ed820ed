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

from qvq_mlx.core.families import Family
from qvq_mlx.engine.features import Embedded
from qvq_mlx.engine.library import new_cache


class Language:
    """The language model of a checkpoint."""

    def __init__(self, model: Any, family: Family) -> None:
        self._model = model
        self._family = family

    def new_cache(self) -> list[Any]:
        """An empty cache: keys and values per layer."""
        return new_cache(self._model)

    def embed(self, ids: Sequence[int]) -> mx.array:
        """Embeddings (1, tokens, hidden) of text."""
        rows: mx.array = self._model.model.embed_tokens(mx.array([ids]))
        return rows

    def extend(self, tokens: Embedded, positions: mx.array, cache: list[Any]) -> None:
        """Run tokens at (3, 1, tokens) positions for what they leave in the cache."""
        match self._family:
            case Family.QWEN2:
                self._model.model(None, cache=cache, input_embeddings=tokens.rows)
            case Family.QWEN3_VL:
                self._model.model(
                    None,
                    inputs_embeds=tokens.rows,
                    cache=cache,
                    position_ids=positions,
                    visual_pos_masks=mx.array(tokens.image[None]),
                    deepstack_visual_embeds=list(tokens.deepstack) if tokens.image.any() else None,
                )
            case _:
                self._model.model(
                    None, inputs_embeds=tokens.rows, cache=cache, position_ids=positions
                )

    def logits(self, ids: mx.array, positions: mx.array, cache: list[Any]) -> mx.array:
        """Logits (rows, tokens, vocab) after each of `ids` (rows, tokens) of text.

        `positions` is (3, rows, tokens).
        """
        if self._family is Family.QWEN2:
            output = self._model(ids, cache=cache)
        else:
            output = self._model(ids, cache=cache, position_ids=positions)
        logits: mx.array = output.logits
        return logits
