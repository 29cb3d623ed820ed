"""Sparse experts: every way in which they are stored is the same model, quantized or not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.tokens import Control, Generation, Token
from qvq_mlx.engine.convert import Conversion
from qvq_mlx.engine.recipe import Recipe
from qvq_mlx.families import ModelType
from tests.engine.conftest import ids_of
from tests.engine.families import (
    QUESTION,
    SYSTEM,
    Checkpoint,
    last_logits,
    made,
    opened,
    started,
)

Load = Callable[[ModelType], Checkpoint]
Arrays = dict[str, mx.array]
SPARSE = ModelType.QWEN3_VL_MOE
SHAPES = ("-dense-too", "-square")
STACK = ".mlp.switch_mlp."


@pytest.fixture(scope="module", params=SHAPES)
def shaped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Layers without experts among the others, an odd number of experts, all as wide as long."""
    return made(SPARSE, tmp_path_factory.mktemp("shaped") / "weights", request.param)


def modules(checkpoint: Checkpoint) -> Arrays:
    """The weights under the names of mlx-vlm's modules."""
    model = checkpoint.session.parts.model._model
    return cast("Arrays", dict(tree_flatten(model.parameters())))


def one_by_one(weights: Arrays) -> Arrays:
    """Each expert's matrices alone, as Qwen3's text models have them."""
    apart: Arrays = {}
    for name, array in weights.items():
        if STACK not in name:
            apart[name] = array
            continue
        for number, expert in enumerate(array):
            apart[name.replace(STACK, f".mlp.experts.{number}.")] = expert
    return apart


def as_torch_computes(weights: Arrays) -> Arrays:
    """Gate and up in one parameter, rows before columns, as torch's module holds them."""
    fused = {name: array for name, array in weights.items() if STACK not in name}
    for name, array in weights.items():
        if name.endswith(".gate_proj.weight") and STACK in name:
            home = name.removesuffix(".switch_mlp.gate_proj.weight")
            both = mx.concatenate([array, weights[name.replace(".gate_", ".up_")]], axis=1)
            fused[f"{home}.experts.gate_up_proj"] = both
            fused[f"{home}.experts.down_proj"] = weights[name.replace(".gate_", ".down_")]
    return fused


def halves_in_one(weights: Arrays) -> Arrays:
    """Gate and up in one stack of MLX's, whether it is quantized or not."""
    fused: Arrays = {}
    for name, array in weights.items():
        if f"{STACK}gate_proj" in name:
            up = weights[name.replace("gate_proj", "up_proj")]
            fused[name.replace("gate_proj", "gate_up_proj")] = mx.concatenate([array, up], axis=1)
        elif f"{STACK}up_proj" not in name:
            fused[name] = array
    return fused


def stored(checkpoint: Checkpoint, weights: Arrays, folder: Path, **config: object) -> Checkpoint:
    """The same checkpoint with these weights in its file."""
    shutil.copytree(checkpoint.folder, folder)
    mx.eval(weights)
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    stated = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps(stated))
    return Checkpoint(SPARSE, folder, opened(folder, SPARSE), checkpoint.golden)


LAYOUTS = [one_by_one, as_torch_computes, halves_in_one]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_experts_in_any_layout_are_the_same_model(
    checkpoint: Load, layout: Callable[[Arrays], Arrays], tmp_path: Path
) -> None:
    weights = modules(checkpoint(SPARSE))
    there = stored(checkpoint(SPARSE), layout(weights), tmp_path / "there")
    assert {name: array.shape for name, array in modules(there).items()} == {
        name: array.shape for name, array in weights.items()
    }
    assert all(mx.array_equal(array, weights[name]) for name, array in modules(there).items())


@pytest.mark.parametrize("mode", ["affine", "mxfp4"])
@pytest.mark.parametrize(
    "layout", [None, one_by_one, halves_in_one], ids=["fused", "one by one", "halves"]
)
def test_mixed_bits_load_in_any_layout(
    checkpoint: Load, mode: str, layout: Callable[[Arrays], Arrays] | None, tmp_path: Path
) -> None:
    """Routers at 8 bits, the rest at 4, as the published conversions of sparse models have it."""
    import mlx.nn as nn

    whole = checkpoint(SPARSE)
    session = opened(whole.folder, SPARSE)
    model = session.parts.model._model
    router = {"group_size": 32, "bits": 8, "mode": "affine"}

    def settings(path: str, module: Any) -> bool | dict[str, object]:
        if path.endswith(".mlp.gate"):
            return router
        fits = hasattr(module, "to_quantized") and module.weight.shape[-1] % 32 == 0
        return fits and path.startswith("language_model")

    nn.quantize(model, group_size=32, bits=4, mode=mode, class_predicate=settings)
    weights = cast("Arrays", dict(tree_flatten(model.parameters())))
    own = {
        name.removesuffix(".scales"): router for name in weights if name.endswith(".gate.scales")
    }
    there = stored(
        whole,
        layout(weights) if layout else weights,
        tmp_path / "there",
        quantization={"group_size": 32, "bits": 4, "mode": mode, **own},
    )
    expected = last_logits(started(session, whole, "two"))
    assert np.array_equal(last_logits(started(there.session, there, "two")), expected)
    assert np.abs(expected - whole.golden["two.logits"][-1]).max() > 0.01


def test_a_missing_expert_is_one_line(checkpoint: Load, tmp_path: Path) -> None:
    weights = one_by_one(modules(checkpoint(SPARSE)))
    del weights["language_model.model.layers.1.mlp.experts.7.up_proj.weight"]
    with pytest.raises(BrokenModelError, match=r"up_proj\.weight should be 8 x 40 x 96 and is 7 x"):
        stored(checkpoint(SPARSE), weights, tmp_path / "there")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"num_experts_per_tok": 9}, "sends a token to 9 of 8 experts"),
        ({"moe_intermediate_size": "many"}, "moe_intermediate_size is 'many'"),
        ({"num_experts": None, "num_local_experts": None}, "states no text_config.num_experts"),
    ],
)
def test_a_config_that_contradicts_itself_is_one_line(
    checkpoint: Load, change: dict[str, object], what: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(checkpoint(SPARSE).folder, tmp_path / "broken")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BrokenModelError, match=what):
        opened(folder, SPARSE)


def test_a_conversion_keeps_routers_at_8_bits(checkpoint: Load, tmp_path: Path) -> None:
    target = tmp_path / "converted"
    target.mkdir()
    list(Conversion(checkpoint(SPARSE).folder, Recipe(4, 32)).write(target))
    quantization = json.loads((target / "config.json").read_text())["quantization"]
    layers = "language_model.model.layers"
    assert {name for name, own in quantization.items() if isinstance(own, dict)} == {
        f"{layers}.{number}.mlp.gate" for number in range(3)
    }
    model: Any = opened(target, SPARSE).parts.model._model
    mlp = model.language_model.model.layers[0].mlp
    assert (mlp.gate.bits, mlp.switch_mlp.gate_proj.bits) == (8, 4)


def test_many_rows_are_sorted_by_expert_and_equal_single_runs(shaped: Checkpoint) -> None:
    """mlx-vlm sorts from 64 tokens times experts on, another path through its kernels."""
    prompt = shaped.session.prompt(QUESTION, [], SYSTEM)
    samplings = [Sampling(0.9, seed=seed) for seed in range(22)]
    texts: list[list[int]] = [[] for _ in samplings]
    ways = [(Generation(sampling, 6), Control()) for sampling in samplings]
    for step in shaped.session.generate_rows(prompt, ways):
        if isinstance(step, Token):
            texts[step.row].append(step.id)
    for sampling, text in zip(samplings[::7], texts[::7], strict=True):
        alone = shaped.session.generate(prompt, Generation(sampling, 6), Control())
        assert text == ids_of(list(alone))
