"""Penalties for tokens that have been written, on the logits of one row.

Law: the logits behind a token depend on the tokens before it alone, so that a block of drafted
tokens is penalised as single steps are, and rows as runs of their own.

    repetition   a token of the prompt or the text so far: its logit is divided by the penalty where
                 it is above 0, else multiplied. Source: transformers'
                 `RepetitionPenaltyLogitsProcessor`
    presence     a token of the text so far: the penalty is taken from its logit. Source: the
                 `presence_penalty` of OpenAI's API and of vLLM
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from qvq_mlx.core.request import Sampling


class Penalties:
    """The tokens of one row that count, and what they cost."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int], vocabulary_size: int) -> None:
        self._repetition = sampling.repetition_penalty
        self._presence = sampling.presence_penalty
        self._size = vocabulary_size
        self._read = len(prompt)
        self._prompt = mx.array(self._marked(np.zeros(vocabulary_size, np.bool_), prompt))
        self._written = np.zeros(vocabulary_size, np.bool_)

    def applied(
        self, logits: mx.array, sequence: Sequence[int], block: mx.array, *, taken: bool
    ) -> mx.array:
        """`logits` (tokens, vocab) behind each token of `block` (tokens,), penalised.

        `sequence` is the prompt and all that is committed. `taken`: the block is in it already.
        """
        self._marked(self._written, sequence[self._read :])
        self._read = len(sequence)
        written = mx.array(self._written)[None]  # (1 or tokens, vocabulary)
        if not taken:
            own = mx.arange(self._size)[None] == block[:, None]
            written = written | (mx.cumsum(own.astype(mx.int32), axis=0) > 0)
        scores = logits[:, : self._size].astype(mx.float32)
        if self._repetition != 1:
            cost = mx.where(scores > 0, scores / self._repetition, scores * self._repetition)
            scores = mx.where(written | self._prompt, cost, scores)
        return scores - self._presence * written

    def _marked(self, seen: np.ndarray, ids: Sequence[int]) -> np.ndarray:
        """`seen` with `ids` in it; ids beyond the vocabulary are padding."""
        seen[[token for token in ids if token < self._size]] = True
        return seen
