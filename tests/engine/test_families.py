"""Every family gives what transformers gives for the same weights (tests/data/families)."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qvq_mlx.engine.patches import patches, read_layout
from qvq_mlx.engine.prompt import positions
from qvq_mlx.engine.sequence import forward_together
from qvq_mlx.families import ModelType
from tests.engine.families import (
    BOUND,
    CASES,
    CHUNKS,
    PICTURES,
    QUESTION,
    SEEING,
    SYSTEM,
    Checkpoint,
    all_logits,
    greedy,
    last_logits,
    opened,
    stacks,
    started,
)


@pytest.mark.parametrize(("family", "case"), CASES)
def test_prompt_and_positions_equal_the_reference(
    checkpoint: Callable[[ModelType], Checkpoint], family: ModelType, case: str
) -> None:
    made = checkpoint(family)
    prompt = made.session.prompt(QUESTION, made.pictures(PICTURES[case]), SYSTEM, labelled=False)
    assert list(prompt.ids) == made.golden[f"{case}.ids"].tolist()
    if f"{case}.positions" not in made.golden:
        return
    model, layout = made.session.parts.model, made.session.parts.layout
    grids = [layout.token_grid(picture) for picture in prompt.pictures]
    ours = positions(prompt.ids, grids, model.image_token_id)
    assert np.array_equal(ours, made.golden[f"{case}.positions"])


@pytest.mark.parametrize(("family", "case"), CASES)
def test_logits_equal_transformers(
    checkpoint: Callable[[ModelType], Checkpoint], family: ModelType, case: str
) -> None:
    made = checkpoint(family)
    logits = all_logits(made, case)
    expected = made.golden[f"{case}.logits"]
    assert expected.std() > 0.5
    assert np.abs(logits[made.golden[f"{case}.rows"]] - expected).max() <= BOUND
    assert np.array_equal(logits.argmax(-1), made.golden[f"{case}.argmax"])


@pytest.mark.parametrize("chunk_tokens", CHUNKS)
@pytest.mark.parametrize(("family", "case"), CASES)
def test_prefill_in_chunks_equals_transformers(
    checkpoint: Callable[[ModelType], Checkpoint], family: ModelType, case: str, chunk_tokens: int
) -> None:
    made = checkpoint(family)
    start = started(made.session.in_chunks_of(chunk_tokens), made, case)
    assert np.abs(last_logits(start) - made.golden[f"{case}.logits"][-1]).max() <= BOUND


@pytest.mark.parametrize("family", list(ModelType))
def test_120_greedy_tokens_equal_transformers(
    checkpoint: Callable[[ModelType], Checkpoint], family: ModelType
) -> None:
    made = checkpoint(family)
    start = started(made.session, made, "one" if family in SEEING else "text")
    assert list(greedy(start, 120)) == made.golden["greedy.ids"].tolist()


@pytest.mark.parametrize("family", SEEING)
def test_patches_equal_the_image_processor(
    checkpoint: Callable[[ModelType], Checkpoint], family: ModelType
) -> None:
    made = checkpoint(family)
    ours = patches(made.pictures(3)[2], made.session.parts.layout)
    assert np.abs(ours - made.golden["patches.2"]).max() < 1e-6


@pytest.mark.parametrize("family", SEEING)
def test_without_a_processor_file_the_familys_own_values_hold(
    checkpoint: Callable[[ModelType], Checkpoint], family: ModelType, tmp_path: Path
) -> None:
    made = checkpoint(family)
    folder = shutil.copytree(made.folder, tmp_path / "bare")
    (folder / "preprocessor_config.json").unlink()
    assert opened(folder, family).parts.layout == made.session.parts.layout
    assert read_layout(made.folder, replace(made.session.parts.layout, mean=(0, 0, 0)))


@pytest.mark.parametrize("family", SEEING)
def test_the_end_of_a_prompt_embeds_alone(
    checkpoint: Callable[[ModelType], Checkpoint], family: ModelType
) -> None:
    """With the features of only its own pictures; and a slice of a slice is a slice."""
    made = checkpoint(family)
    model, layout = made.session.parts.model, made.session.parts.layout
    prompt = made.session.prompt(QUESTION, made.pictures(3), SYSTEM)
    features = [model.encode(patches(p, layout), layout.grid(p)) for p in prompt.pictures]
    whole = model.embed(prompt.ids, features)
    cut = prompt.ids.index(model.image_token_id) + features[0].tokens  # after the first picture
    end, expected = model.embed(prompt.ids[cut:], features[1:]), whole[cut : len(whole)]
    assert len(end) == len(prompt.ids) - cut
    assert len(end.deepstack) == (2 if stacks(family) else 0)
    inner = whole[cut - 7 : len(whole)][7 : len(whole)]
    for part in (end, inner):
        assert np.array_equal(part.image, expected.image)
        assert np.array_equal(np.array(part.rows), np.array(expected.rows))
        for ours, theirs in zip(part.deepstack, expected.deepstack, strict=True):
            assert np.array_equal(np.array(ours), np.array(theirs))


@pytest.mark.parametrize("family", list(ModelType))
def test_rows_of_a_lane_and_a_block_of_tokens_equal_one_by_one(
    checkpoint: Callable[[ModelType], Checkpoint], family: ModelType
) -> None:
    import mlx.core as mx

    made = checkpoint(family)
    case = "one" if family in SEEING else "text"
    golden = made.golden["greedy.ids"][:4].tolist()
    starts = [started(made.session, made, case) for _ in range(3)]
    sequences = [start.sequence for start in starts]
    positions = [start.position for start in starts]
    for sequence in sequences:
        sequence.mark()
    block = mx.array([[starts[0].ids[-1], *golden]] * 3)
    drawn = np.array(mx.argmax(forward_together(sequences, block, positions), axis=-1))
    assert drawn.tolist() == [made.golden["greedy.ids"][:5].tolist()] * 3
    for sequence in sequences:
        sequence.trim(4)  # back to the last prompt token
    further = [position + 1 for position in positions]
    again = np.array(mx.argmax(forward_together(sequences, block[:, 1:], further), axis=-1))
    assert again.tolist() == drawn[:, 1:].tolist()


@pytest.mark.parametrize("family", list(ModelType))
def test_the_language_model_knows_every_name_that_it_is_called_with(
    checkpoint: Callable[[ModelType], Checkpoint], family: ModelType
) -> None:
    """mlx-vlm swallows unknown keyword arguments: a wrong name would be ignored in silence."""
    model = checkpoint(family).session.parts.model
    call = model.family.call
    names = {call.embeddings, call.positions, call.image_mask, call.deepstack} - {None}
    known = inspect.signature(type(model._language._model.model).__call__).parameters
    assert names <= set(known)


@pytest.mark.parametrize("family", list(ModelType))
def test_the_caches_are_those_that_mlx_vlm_would_make(
    checkpoint: Callable[[ModelType], Checkpoint], family: ModelType
) -> None:
    from mlx_vlm.models.cache import make_prompt_cache

    language = checkpoint(family).session.parts.model._language
    theirs = [type(layer).__name__ for layer in make_prompt_cache(language._model)]
    ours = {"ArraysCache": "RecurrentCache"}  # whose states can be taken back, see there
    expected = [ours.get(name, name) for name in theirs]
    assert [type(layer).__name__ for layer in language.new_cache()] == expected
