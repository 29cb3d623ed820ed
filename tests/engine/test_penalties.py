"""Penalties act as transformers' and vLLM's do, in blocks as token by token."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from qvq_mlx.core.request import Sampling
from qvq_mlx.engine.penalties import Penalties

SIZE = 12
PROMPT = [1, 2, 2, 40]  # 40 is padding
BLOCK = [5, 5, 2, 7]


def logits(tokens: int) -> np.ndarray:
    return np.random.RandomState(3).standard_normal((tokens, SIZE + 4)).astype(np.float32)


def by_hand(row: np.ndarray, prompt: set[int], written: set[int], sampling: Sampling) -> np.ndarray:
    """One token's logits, as the two sources say it."""
    out = row[:SIZE].copy()
    for token in (prompt | written) & set(range(SIZE)):
        factor = sampling.repetition_penalty
        out[token] = out[token] / factor if out[token] > 0 else out[token] * factor
    for token in written:
        out[token] -= sampling.presence_penalty
    return out


@pytest.mark.parametrize(
    "sampling", [Sampling(repetition_penalty=1.3), Sampling(presence_penalty=1.5)]
)
def test_a_block_is_penalised_as_its_tokens_one_by_one(sampling: Sampling) -> None:
    rows = logits(len(BLOCK))
    there = Penalties(sampling, PROMPT, SIZE).applied(
        mx.array(rows), PROMPT, mx.array(BLOCK), taken=False
    )
    one_by_one = Penalties(sampling, PROMPT, SIZE)
    for place in range(len(BLOCK)):
        written = BLOCK[: place + 1]
        expected = by_hand(rows[place], set(PROMPT), set(written), sampling)
        assert np.allclose(np.array(there[place]), expected)
        [alone] = one_by_one.applied(
            mx.array(rows[place : place + 1]), PROMPT + written, mx.array(written[-1:]), taken=True
        )
        assert np.array_equal(np.array(alone), np.array(there[place]))


def test_the_prompts_last_token_is_not_written() -> None:
    sampling = Sampling(presence_penalty=1.5)
    rows = logits(1)
    [found] = Penalties(sampling, PROMPT, SIZE).applied(
        mx.array(rows), PROMPT, mx.array([2]), taken=True
    )
    assert np.array_equal(np.array(found), rows[0, :SIZE])


def test_without_a_penalty_nothing_costs() -> None:
    assert not Sampling().penalises
    assert Sampling(repetition_penalty=1.05).penalises
    assert Sampling(presence_penalty=-0.5).penalises
