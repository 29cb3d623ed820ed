"""Checks that what weights give are numbers.

Law: a token that was drawn from NaN or infinite logits is never handed out. A check costs one
small kernel beside a pass and no wait of its own: the first logits behind a prompt are checked
whole, later ones at the token that was drawn. That is enough, because argmax gives the place of a
NaN or of +inf where there is one, with noise or a mask on the logits and without.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import mlx.core as mx


class UnsoundLogitsError(Exception):
    """A model gave logits that are no numbers, or tell no token from another."""


def told_apart(logits: mx.array, vocabulary_size: int) -> mx.array:
    """True if all of `logits` (rows, tokens, vocab) are finite and not all equal; an array ()."""
    known = logits[..., :vocabulary_size]
    spread = known.max(axis=-1) > known.min(axis=-1)  # (rows, tokens); False where one is NaN
    return mx.all(mx.isfinite(known)) & mx.all(spread)


def at_drawn(logits: mx.array, drawn: mx.array) -> mx.array:
    """The logits (rows, tokens, vocab) of the ids `drawn` (rows, tokens), shape (rows, tokens)."""
    return mx.take_along_axis(logits, drawn[..., None], axis=-1)[..., 0]


def check_finite(at_drawn: mx.array) -> None:
    """Raise UnsoundLogitsError if one of the logits (rows, tokens) is no finite number; waits."""
    values = cast("list[list[float]]", at_drawn.tolist())
    if not all(math.isfinite(value) for row in values for value in row):
        raise UnsoundLogitsError


def first_unsound(weights: Iterable[tuple[str, mx.array]], *, small_only: bool = False) -> str:
    """The name of the first weight that holds a NaN or infinite value, or of the first scales that
    are all zero, which no quantization writes; '' where there is none.

    `small_only`: only those that cost nothing beside the reading of all: vectors, and the scales
    and biases of quantized weights.
    """
    checked = [
        (name, _is_sound(name, array))
        for name, array in weights
        if mx.issubdtype(array.dtype, mx.floating) and (_is_small(name, array) or not small_only)
    ]
    mx.eval([sound for _, sound in checked])
    return next((name for name, sound in checked if not sound.item()), "")


def _is_sound(name: str, array: mx.array) -> mx.array:
    sound = mx.all(mx.isfinite(array))
    return sound & mx.any(array != 0) if name.endswith(".scales") else sound


def _is_small(name: str, array: mx.array) -> bool:
    return array.ndim == 1 or name.endswith((".scales", ".biases"))
