"""Keys and values in 8 or 4 bits from the end of the prompt on: near the same, and one text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from qvq_mlx.core.card import Shape
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Asked, Continuation, Control, Generation, Prompt, Token
from qvq_mlx.engine.cache_files import KeptFiles
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.library import new_cache, quantised
from qvq_mlx.engine.prefill import Reader
from qvq_mlx.engine.prefix import PrefixCache
from qvq_mlx.engine.session import Session
from qvq_mlx.families import ModelType
from qvq_mlx.families.family import LayerCache
from qvq_mlx.memory.estimate import kv_bytes_per_token
from tests.engine.families import SEEING, SYSTEM, Checkpoint, started

Load = Callable[[ModelType], Checkpoint]
BITS = (8, 4)
WRITTEN = 24
SHAPE = Shape(layers=2, hidden=8192, heads=64, kv_heads=8, head_dim=128, intermediate=1, vocab=1)
"""Keys and values of two layers of QVQ-72B."""
SAMPLINGS = (Sampling(), Sampling(0.8, seed=3))


def plain(made: Checkpoint) -> Session:
    """Nobody drafts, and nothing is kept."""
    return Session(Reader(made.session.parts, PrefixCache(None)), Drafts(Drafting.NONE))


def prompts(made: Checkpoint) -> Iterator[Prompt]:
    """Prompts of several lengths, with pictures where the model sees."""
    for number in range(3):
        pictures = made.pictures(number) if made.family in SEEING else []
        yield made.session.prompt(f"{'word ' * 40 * number}Which one?", pictures, SYSTEM)


def ids(session: Session, prompt: Prompt, generation: Generation) -> list[int]:
    steps = session.generate(prompt, generation, Control())
    return [step.id for step in steps if isinstance(step, Token)]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("family", list(ModelType))
def test_drafts_and_caches_change_no_text(
    checkpoint: Load, tmp_path: Path, family: ModelType, bits: int
) -> None:
    made = checkpoint(family)
    parts, kept = made.session.parts, KeptFiles(tmp_path / "kept", 2**28)
    for prompt in prompts(made):
        for sampling in SAMPLINGS:
            generation = Generation(sampling, WRITTEN, kv_bits=bits)
            alone = ids(plain(made), prompt, generation)
            for drafts in (
                Drafts(Drafting.LOOKUP, always=4),
                Drafts(Drafting.MODEL, made.session.reader, always=3),
            ):
                cached = Session(Reader(parts, PrefixCache(kept)), drafts)
                assert ids(cached, prompt, generation) == alone
                assert ids(cached, prompt, generation) == alone, "from memory"


@pytest.mark.sampled(3)
@pytest.mark.parametrize("family", list(ModelType))
def test_rows_and_flight_write_what_each_writes_alone(checkpoint: Load, family: ModelType) -> None:
    """Some rows keep full precision, which the others leave them."""
    made = checkpoint(family)
    ways = [
        Generation(Sampling(0.8, seed=seed), WRITTEN, kv_bits=bits)
        for seed, bits in enumerate((8, None, 4, 8))
    ]
    *_, prompt = prompts(made)
    alone = [ids(plain(made), prompt, way) for way in ways]
    found: list[list[int]] = [[] for _ in ways]
    for step in plain(made).generate_rows(prompt, [(way, Control()) for way in ways]):
        if isinstance(step, Token):
            found[step.row].append(step.id)
    assert found == alone
    asked = [Asked(one, ways[number], Control()) for number, one in enumerate(prompts(made))]
    flown: list[list[int]] = [[] for _ in asked]
    for number, step in plain(made).generate_each(iter(asked), 3):
        if isinstance(step, Token):
            flown[number].append(step.id)
    assert flown == [ids(plain(made), one.prompt, one.generation) for one in asked]


class Rounded:
    """A cache at full precision of numbers that went through few bits."""

    def __init__(self, cache: Any, bits: int) -> None:
        self._cache, self._bits = cache, bits
        cache.state = tuple(map(self._rounded, cache.state))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> Any:
        return self._cache.update_and_fetch(self._rounded(keys), self._rounded(values))

    def _rounded(self, array: mx.array) -> mx.array:
        group = max(size for size in (32, 64) if array.shape[-1] % size == 0)
        few = mx.quantize(array, group_size=group, bits=self._bits)
        return mx.dequantize(*few, group_size=group, bits=self._bits)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("family", list(ModelType))
def test_a_pass_computes_with_the_numbers_that_are_kept(
    checkpoint: Load, family: ModelType, bits: int
) -> None:
    """The logits are those of keys and values that were rounded and written out again."""
    made = checkpoint(family)
    case = "two" if family in SEEING else "text"
    start, other, full = (started(made.session, made, case) for _ in range(3))
    start.sequence.quantise(bits)
    reference = other.sequence
    for place, kind in enumerate(reference.language.caches):
        if kind is LayerCache.KEYS_VALUES:
            reference._cache[place] = Rounded(reference._cache[place], bits)
    away = 0.0
    for count in range(8):
        token, position = mx.array([[start.ids[-1 - count]]]), start.position + count
        logits, theirs, exact = (
            np.array(one.sequence.forward(token, position)) for one in (start, other, full)
        )
        np.testing.assert_allclose(logits, theirs, rtol=0, atol=1e-4)
        away = max(away, float(np.abs(logits - exact).max() / np.ptp(exact)))
    assert 1e-6 < away < {8: 0.02, 4: 0.3}[bits], "of the range of the logits"


@pytest.mark.parametrize(("bits", "share"), [(8, 0.55), (4, 0.3)])
def test_the_memory_of_8192_tokens(bits: int, share: float) -> None:
    """Two layers of QVQ-72B's size: as much as `qvq fit` says, and little more than the bits."""
    full = small = 0
    for layer in new_cache([LayerCache.KEYS_VALUES] * SHAPE.layers):
        keys = mx.random.normal((1, SHAPE.kv_heads, 8192, SHAPE.head_dim)).astype(mx.bfloat16)
        layer.update_and_fetch(keys, keys)
        full += layer.nbytes
        small += quantised(layer, bits).nbytes
    assert full == 8192 * kv_bytes_per_token(SHAPE)
    assert small == 8192 * kv_bytes_per_token(SHAPE, bits)
    assert small <= share * full


def test_what_is_kept_of_a_prompt_is_at_full_precision(checkpoint: Load, tmp_path: Path) -> None:
    """A later question with all bits finds it, and writes what it writes alone."""
    made = checkpoint(ModelType.QWEN2_VL)
    *_, prompt = prompts(made)
    reader = Reader(made.session.parts, PrefixCache(KeptFiles(tmp_path / "kept", 2**28)))
    session = Session(reader, Drafts(Drafting.NONE))
    small, full = Generation(Sampling(), WRITTEN, kv_bits=4), Generation(Sampling(), WRITTEN)
    alone = ids(plain(made), prompt, full)
    ids(session, prompt, small)
    assert ids(session, prompt, full) == alone
    assert ids(session, prompt, small) == ids(plain(made), prompt, small)


def test_what_is_written_is_kept_for_no_next_turn(checkpoint: Load) -> None:
    made = checkpoint(ModelType.QWEN2_VL)
    prompt, *_ = prompts(made)
    for bits in (None, *BITS):
        kept = Continuation()
        ids(plain(made), prompt, Generation(Sampling(), 4, continuation=kept, kv_bits=bits))
        assert (kept.kept is None) is (bits is not None)
