"""What a run keeps beside its KV cache, against the arrays that it keeps."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.request import Request, Sampling
from qvq_mlx.core.setup import Drafting, Setup
from qvq_mlx.core.tokens import Control, Generation
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.prefill import Reader
from qvq_mlx.engine.prefix import PrefixCache
from qvq_mlx.engine.sequence import KVSequence
from qvq_mlx.engine.session import Session
from qvq_mlx.engine.speculation import MOST_TOKENS
from qvq_mlx.families import ModelType
from qvq_mlx.memory import admission, estimate
from qvq_mlx.memory.machine import hypothetical
from qvq_mlx.store import local, registry
from qvq_mlx.store.shape import stated_shape
from tests.conftest import World
from tests.engine.families import Checkpoint, card_of, layout_of, made, picture_of
from tests.engine.heads import HYBRID, headed
from tools.families import drawn

GIB = 2**30
SIDE = 10
"""Image tokens in a row, and rows."""


def pictures_of(there: Checkpoint, count: int) -> list[Picture]:
    layout = layout_of(there.family)
    assert layout is not None
    px = SIDE * layout.factor_px
    return [picture_of(drawn.picture(px, px, n + 1), SIDE**2) for n in range(count)]


@pytest.mark.parametrize("family", [*HYBRID, ModelType.QWEN2_VL, ModelType.QWEN3_VL])
@pytest.mark.parametrize("count", [1, 3])
def test_the_image_prefix_is_as_large_as_what_is_kept(
    tmp_path: Path, family: ModelType, count: int
) -> None:
    there = made(family, tmp_path / "made")
    shape = stated_shape(there.folder)
    assert shape is not None
    pictures = pictures_of(there, count)
    cache = PrefixCache(None)
    session = Session(Reader(there.session.parts, cache), Drafts(Drafting.NONE))
    prompt = session.prompt("word " * 30, pictures, None)
    list(session.generate(prompt, Generation(Sampling(), 2), Control()))
    states = sum(array.nbytes for kept in cache._states.values() for pair in kept for array in pair)
    linear = shape.recurrent
    assert states == (count * linear.state_bytes(shape.float_bytes) if linear else 0)
    # keys and values are a part of an array that has grown by steps
    tokens = cache._attention[0][0].shape[2]
    held = -(-tokens // 256) * 256 * estimate.kv_bytes_per_token(shape)
    assert sum(array.nbytes for pair in cache._attention for array in pair) <= held
    card = replace(card_of(family, there.folder), shape=shape)
    image = count * SIDE**2
    use = estimate.Use(image, len(prompt.ids) - image, 2, 0, images=count)
    assert estimate.estimate(card, Machine(), use).prefix_bytes == held + states
    nothing = estimate.estimate(card, Machine(), estimate.Use(0, 100, 2, 0))
    assert nothing.prefix_bytes == 0


@pytest.mark.parametrize("family", [ModelType.QWEN3_5, ModelType.QWEN2_VL])
def test_a_run_holds_its_cache_and_the_image_prefix(tmp_path: Path, family: ModelType) -> None:
    """Once the cache has grown, the prefix is an array of its own."""
    import mlx.core as mx

    there = made(family, tmp_path / "made")
    session = Session(Reader(there.session.parts, PrefixCache(None)), Drafts(Drafting.NONE))
    prompt = session.prompt("word " * 30, pictures_of(there, 3), None)
    gc.collect()
    mx.clear_cache()
    before, held = mx.get_active_memory(), 0
    steps = session.generate(prompt, Generation(Sampling(), 300), Control())
    for number, _ in enumerate(steps):
        if number > 280:
            held = max(held, mx.get_active_memory() - before)
    card = replace(card_of(family, there.folder), shape=stated_shape(there.folder))
    image = 3 * SIDE**2
    use = estimate.Use(image, len(prompt.ids) - image, 300, 0, images=3)
    found = estimate.estimate(card, Machine(), use)
    assert found.kv_bytes is not None
    assert found.prefix_bytes is not None
    assert held > found.kv_bytes + found.prefix_bytes / 2
    assert found.kv_bytes + found.prefix_bytes == pytest.approx(held, rel=0.15)


@pytest.mark.parametrize("family", HYBRID)
def test_the_states_of_a_block_are_counted(tmp_path: Path, family: ModelType) -> None:
    """One after each token that a pass verifies, beside the one before them."""
    import mlx.core as mx

    there = made(family, tmp_path / "made")
    shape = stated_shape(there.folder)
    assert shape is not None
    assert shape.recurrent is not None
    assert estimate.BLOCK_TOKENS == MOST_TOKENS
    sequence: KVSequence = there.session.parts.model.sequence()
    mx.eval(sequence.forward(mx.array([[1]]), 0))
    sequence.mark()
    mx.eval(sequence.forward(mx.array([list(range(1, MOST_TOKENS + 1))]), 1))
    kept = 0
    for layer in sequence._recurrent:
        assert layer._history is not None
        arrays = {id(array): array for array, _ in layer._history._states}
        kept += sum(array.nbytes for array in arrays.values())
    assert kept == MOST_TOKENS * shape.recurrent.recurrent_bytes
    wide = replace(shape, recurrent=replace(shape.recurrent, value_heads=4096))
    card = replace(card_of(family, there.folder), shape=wide)
    assert wide.recurrent is not None
    found = estimate.estimate(card, Machine(), estimate.Use(0, 4, 2, 0))
    assert found.workspace_bytes == MOST_TOKENS * wide.recurrent.recurrent_bytes


@pytest.mark.parametrize("family", HYBRID)
@pytest.mark.parametrize("indexed", [False, True])
def test_a_head_is_counted_where_the_weights_hold_one(
    tmp_path: Path, family: ModelType, indexed: bool
) -> None:
    bare, there = made(family, tmp_path / "bare"), headed(family, tmp_path / "headed").there
    found = []
    for folder in (bare.folder, there.folder):
        names = {"model.language_model.norm.weight": "model.safetensors"}
        if folder == there.folder:
            names["mtp.norm.weight"] = "model.safetensors"
        if indexed:
            (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
        card = replace(card_of(family, folder), shape=stated_shape(folder))
        assert local.holds_head(card, folder) is (folder == there.folder)
        resolved = Resolved(card, folder, None, card.sampling, 100)
        for drafting in (Drafting.AUTO, Drafting.MTP, Drafting.NONE, Drafting.LOOKUP):
            asked = replace(resolved, setup=Setup(drafting))
            request = Request("What? " * 200, (), card.name)
            found.append(
                admission._estimate(asked, None, request, 0, hypothetical(64 * GIB)).kv_bytes
            )
    auto, mtp, none, lookup = found[4:]
    assert auto == mtp
    assert none == lookup == found[0] == found[2]
    assert auto is not None
    assert none is not None
    assert auto > none


def test_fit_says_the_image_prefix_and_counts_each_picture(
    world: Callable[..., World], tmp_path: Path
) -> None:
    from PIL import Image

    paths = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (640, 640), (number, 0, 0)).save(path)
        paths.append(str(path))
    w = world()
    assert w.run("fit", "qwen3.6-35b", "--memory", "64GB") == ExitCode.OK
    assert "\nimage prefix\t" in w.out
    found = []
    for images in (paths[:1], paths):
        w = world()
        given = [word for path in images for word in ("-i", path)]
        assert w.run("fit", "qwen3.6-35b", "--memory", "64GB", "--json", *given) == ExitCode.OK
        found.append(json.loads(w.out))
    assert [one["use"]["images"] for one in found] == [1, 3]
    card = registry.find("qwen3.6-35b")
    assert card.shape is not None
    assert card.shape.recurrent is not None
    states = [
        one["estimate"]["prefix_bytes"]
        - estimate.kv_bytes_per_token(card.shape)
        * (-(-(64 + one["use"]["image_tokens"]) // 256) * 256)
        for one in found
    ]
    one_picture = card.shape.recurrent.state_bytes(2)
    assert states == [one_picture, 3 * one_picture]
    w = world()
    assert w.run("fit", "qwq-32b", "--memory", "64GB") == ExitCode.OK
    assert "image prefix" not in w.out
