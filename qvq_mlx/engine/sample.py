"""Draws tokens from logits, with noise that is keyed by (seed, position).

Law: the same seed gives the same token at the same position from the same logits, whatever was
drawn before, in blocks or one by one. This is the Gumbel-max trick: argmax(logits / T + noise) is
a draw from softmax(logits / T), so a filter only has to push logits down.

Filters act in the order of transformers: temperature, top_k, top_p, min_p.
"""

from __future__ import annotations

import mlx.core as mx

from qvq_mlx.core.request import Sampling


class Sampler:
    """`vocabulary_size`: ids from there on are padding and are never drawn."""

    def __init__(self, sampling: Sampling, vocabulary_size: int) -> None:
        self._sampling = sampling
        self.vocabulary_size = vocabulary_size

    def __call__(
        self, logits: mx.array, position: int, allowed: mx.array | None = None
    ) -> mx.array:
        """Ids (tokens,) drawn from the rows of `logits` (tokens, vocab): the first at `position`,
        the next one position further on, and so forth. `allowed` (tokens, vocabulary) excludes ids.
        """
        scores = (
            logits[:, : self.vocabulary_size] if logits.shape[1] > self.vocabulary_size else logits
        )
        if allowed is not None:
            scores = mx.where(allowed, scores, -mx.inf)
        if self._sampling.temperature <= 0:
            return mx.argmax(scores, axis=-1)
        drawn = [self._draw(row, position + offset) for offset, row in enumerate(scores)]
        return mx.concatenate(drawn)

    def _draw(self, scores: mx.array, position: int) -> mx.array:
        """The id drawn at `position` from `scores` (vocabulary,), shape (1,)."""
        scores = scores.astype(mx.float32) / self._sampling.temperature
        scores = _filtered(scores, self._sampling)
        noise = mx.random.gumbel(scores.shape, key=_key(self._sampling.seed, position))
        return mx.argmax(scores + noise, keepdims=True)


def _filtered(scores: mx.array, sampling: Sampling) -> mx.array:
    """`scores` (vocab,) with -inf where a filter excludes an id."""
    if 0 < sampling.top_k < scores.size:
        kth = mx.min(mx.topk(scores, sampling.top_k))
        scores = mx.where(scores < kth, -mx.inf, scores)
    if sampling.top_p < 1:
        order = mx.argsort(-scores)
        chances = mx.softmax(scores[order])
        before = mx.cumsum(chances) - chances  # mass of everything likelier: 0 for the first
        kept = mx.where(before < sampling.top_p, scores[order], -mx.inf)
        scores = mx.put_along_axis(scores, order, kept, axis=0)
    if sampling.min_p > 0:
        chances = mx.softmax(scores)
        scores = mx.where(chances < sampling.min_p * mx.max(chances), -mx.inf, scores)
    return scores


def _key(seed: int, position: int) -> mx.array:
    """A key of its own for each position: splitmix64's mixing of the pair.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
    """
    mask = (1 << 64) - 1
    z = (seed + (position + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return mx.random.key(z ^ (z >> 31))
