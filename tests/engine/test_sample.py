"""Drawing tokens: the filters of transformers, noise keyed by seed and position."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.core.request import Sampling
from qvq_mlx.engine.sample import Sampler, _filtered, _key

LOGITS = np.random.default_rng(5).normal(0, 3, 50).astype(np.float32)


def reference(scores: np.ndarray, sampling: Sampling) -> np.ndarray:
    """The filters as transformers' logits warpers define them, in numpy."""

    def softmax(x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max())
        return e / e.sum()

    out = scores.astype(np.float64).copy()
    if sampling.top_k:
        out[out < np.sort(out)[-sampling.top_k]] = -np.inf
    if sampling.top_p < 1:
        order = np.argsort(out)  # ascending, as TopPLogitsWarper sorts
        mass = softmax(out[order]).cumsum()
        remove = mass <= 1 - sampling.top_p
        remove[-1] = False
        out[order[remove]] = -np.inf
    if sampling.min_p:
        chances = softmax(out)
        out[chances < sampling.min_p * chances.max()] = -np.inf
    return out


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(1.0, top_k=5),
        Sampling(1.0, top_p=0.8),
        Sampling(1.0, top_p=0.01),
        Sampling(1.0, min_p=0.1),
        Sampling(1.0, top_p=0.9, top_k=20, min_p=0.05),
        Sampling(1.0),
    ],
)
def test_filters_keep_what_transformers_keeps(sampling: Sampling) -> None:
    kept = np.isfinite(np.array(_filtered(mx.array(LOGITS), sampling)))
    assert np.array_equal(kept, np.isfinite(reference(LOGITS, sampling)))


def draw(sampling: Sampling, position: int, logits: np.ndarray = LOGITS, size: int = 50) -> int:
    drawn = Sampler(sampling, size)(mx.array(logits)[None], position)
    assert drawn.shape == (1,)
    return int(drawn.item())


def test_temperature_zero_takes_the_likeliest() -> None:
    assert {draw(Sampling(0.0, seed=seed), 3) for seed in range(5)} == {int(LOGITS.argmax())}


@given(st.integers(0, 2**63), st.integers(0, 10**6))
def test_the_same_seed_and_position_draw_the_same(seed: int, position: int) -> None:
    sampling = Sampling(1.5, seed=seed)
    assert draw(sampling, position) == draw(sampling, position)


def test_seeds_and_positions_give_keys_of_their_own() -> None:
    keys = {tuple(_key(s, p).tolist()) for s in range(40) for p in range(40)}
    assert len(keys) == 1600


def test_draws_follow_the_distribution() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    draws = [draw(Sampling(1.0, seed=1), p, logits, 4) for p in range(4000)]
    shares = np.bincount(draws, minlength=4) / len(draws)
    # four standard deviations of a binomial share
    assert np.all(np.abs(shares - np.exp(logits)) < 4 * np.sqrt(0.25 / len(draws)))


def test_rows_beyond_the_tokenizer_are_never_drawn() -> None:
    padded = np.concatenate([LOGITS, np.full(14, 50.0, dtype=np.float32)])
    assert draw(Sampling(0.0), 0, padded) == int(LOGITS.argmax())
    assert all(draw(Sampling(2.0, seed=s), 0, padded) < 50 for s in range(50))
