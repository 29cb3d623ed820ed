"""States of linear-attention layers are taken back to what they were, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qvq_mlx.engine.sequence import KVSequence, Saved
from qvq_mlx.families import ModelType
from tests.engine.families import (
    Checkpoint,
    all_logits,
    opened,
    started,
    write,
)

HYBRID = [ModelType.QWEN3_5, ModelType.QWEN3_5_MOE]
IDS = [5, 250, 77, 300, 12, 9, 411, 8]


def equal(one: Saved, other: Saved) -> bool:
    pairs = zip(one.arrays, other.arrays, strict=True)
    return all(np.array_equal(np.array(a), np.array(b)) for a, b in pairs)


def states_after(start: Saved, sequence: KVSequence, passes: list[list[int]]) -> Saved:
    """What `sequence` holds after these passes behind `start`."""
    import mlx.core as mx

    sequence.restore(start)
    for ids in passes:
        sequence.mark()
        sequence.forward(mx.array([ids]), sequence.length)
    return sequence.saved()


@pytest.mark.parametrize("family", HYBRID)
def test_what_is_taken_back_was_never_there(
    checkpoint: Callable[[ModelType], Checkpoint], family: ModelType
) -> None:
    """At every place of a block, over several passes since one mark, and twice in a row."""
    import mlx.core as mx

    there = checkpoint(family)
    sequence = started(there.session, there, "text").sequence
    start, length = sequence.saved(), sequence.length
    alone = states_after(start, sequence, [[token] for token in IDS])
    for kept in (0, 1, 3, 7, 8):
        expected = states_after(start, sequence, [IDS[:kept]] if kept else [])
        for passes in ([IDS], [IDS[:2], IDS[2:3], IDS[3:]]):
            sequence.restore(start)
            sequence.mark()
            for ids in passes:
                sequence.forward(mx.array([ids]), sequence.length)
            sequence.trim((len(IDS) - kept) // 2)
            sequence.trim(len(IDS) - kept - (len(IDS) - kept) // 2)
            assert sequence.length == length + kept
            if len(passes) == 1:
                assert equal(Saved([], sequence.saved().recurrent), Saved([], expected.recurrent))
            sequence.forward(mx.array([IDS[kept:] or [1]]), sequence.length)
            if kept < len(IDS):
                pairs = zip(sequence.saved().arrays, alone.arrays, strict=True)
                assert all(np.allclose(np.array(a), np.array(b), atol=1e-4) for a, b in pairs)


def test_nothing_is_taken_back_behind_the_mark(
    checkpoint: Callable[[ModelType], Checkpoint],
) -> None:
    import mlx.core as mx

    there = checkpoint(ModelType.QWEN3_5)
    sequence = started(there.session, there, "text").sequence
    with pytest.raises(AssertionError):
        sequence.trim(1)
    sequence.mark()
    sequence.forward(mx.array([IDS[:2]]), sequence.length)
    with pytest.raises(AssertionError):
        sequence.trim(3)


@pytest.mark.parametrize("family", HYBRID)
@pytest.mark.parametrize("prefix", ["mtp.", "language_model.mtp."])
def test_weights_of_an_mtp_head_change_nothing(
    checkpoint: Callable[[ModelType], Checkpoint], tmp_path: Path, family: ModelType, prefix: str
) -> None:
    """Some conversions hold them, others have dropped them; config.json says nothing of use."""
    import mlx.core as mx

    plain = checkpoint(family)
    folder = write(family, tmp_path / "made")
    path = folder / "model.safetensors"
    weights = mx.load(str(path))
    assert isinstance(weights, dict)
    width = plain.session.parts.model.embed([1], []).rows.shape[-1]
    head = {
        "fc.weight": (width, 2 * width),
        "norm.weight": (width,),
        "layers.0.input_layernorm.weight": (width,),
        "layers.0.self_attn.q_norm.weight": (32,),
    }
    mx.save_safetensors(
        str(path), weights | {f"{prefix}{name}": mx.ones(shape) for name, shape in head.items()}
    )
    there = Checkpoint(family, folder, opened(folder, family), plain.golden)
    assert np.array_equal(all_logits(there, "text"), all_logits(plain, "text"))
