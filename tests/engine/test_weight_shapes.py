"""Weights of a wrong shape or type are one line of facts; MLX itself would end the process.

Each case runs in a process of its own, since a signal would end the test's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest

from qvq_mlx.engine import weight_shapes
from tests.conftest import ROOT
from tests.support.waiting import CEILING_S

_CASE = """
import json, sys
from pathlib import Path
import mlx.core as mx
from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.families import ModelType
from tests.engine.families import opened, write

folder = Path(sys.argv[1])
family = ModelType.QWEN2
write(family, folder)
config = json.loads((folder / "config.json").read_text())
path = next(folder.glob("*.safetensors"))
weights = dict(mx.load(str(path)))
for array in weights.values():
    mx.eval(array)
name = next(name for name in weights if name.endswith("layers.0.mlp.down_proj.weight"))
stem = name.removesuffix(".weight")
CHANGE
mx.save_safetensors(str(path), weights)
(folder / "config.json").write_text(json.dumps(config))
try:
    opened(folder, family)
except BrokenModelError as error:
    print(error.message)
"""

CHANGES = {
    "scales of one dimension": "weights[stem + '.scales'] = mx.ones((4,))",
    "no scales at all": "weights[stem + '.scales'] = mx.ones((0, 0))",
    "scales of another width": "weights[stem + '.scales'] = mx.ones((64, 5))",
    "a width of seven": "config['intermediate_size'] = 7",
    "whole numbers": "weights[name] = weights[name].astype(mx.int32)",
    "one dimension": "weights[name] = weights[name].reshape(-1)",
    "nothing": "weights[name] = mx.zeros((0, 0))",
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_shape_ends_the_process(change: str, tmp_path: Path) -> None:
    code = _CASE.replace("CHANGE", CHANGES[change])
    command = [sys.executable, "-c", code, str(tmp_path / "model")]
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=CEILING_S, check=False
    )
    assert ended.returncode == 0, ended.stderr[-500:]
    assert "do not load" in ended.stdout
    assert "down_proj" in ended.stdout or "mlp" in ended.stdout


def parts(rows: int = 8, columns: int = 128) -> dict[str, mx.array]:
    """A matrix as MLX stores it in 4 bits and groups of 64."""
    weight, scales, biases = mx.quantize(mx.ones((rows, columns)), group_size=64, bits=4)
    return {"m.weight": weight, "m.scales": scales, "m.biases": biases}


def test_a_sound_matrix_is_read() -> None:
    found = weight_shapes.quantized("m", (8, 128), parts(), "affine")
    assert (found.bits, found.group_size, found.mode) == (4, 64, "affine")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"m.scales": mx.ones((16,))}, "is no quantized matrix"),
        ({"m.scales": mx.ones((8, 0))}, "should be 8 x 128"),
        ({"m.scales": mx.ones((8, 3))}, "should be 8 x 128"),
        ({"m.scales": mx.ones((4, 2))}, "should be 8 x 128"),
        ({"m.weight": mx.ones((8, 16))}, "is no quantized matrix"),
        ({"m.weight": mx.ones((8, 0), dtype=mx.uint32)}, "should be 8 x 128"),
        ({"m.weight": mx.ones((8, 17), dtype=mx.uint32)}, "should be 8 x 128"),
        ({"m.weight": mx.ones((4, 16), dtype=mx.uint32)}, "should be 8 x 128"),
        ({"m.biases": mx.ones((8, 1))}, "has biases of"),
        ({"m.biases": None}, "has no biases"),
        ({"m.weight": None}, "has scales and no weight"),
    ],
)
def test_parts_that_contradict_each_other(changed: dict[str, mx.array | None], told: str) -> None:
    weights = {name: array for name, array in (parts() | changed).items() if array is not None}
    with pytest.raises(ValueError, match=told):
        weight_shapes.quantized("m", (8, 128), weights, "affine")


def test_a_mode_that_is_not_known() -> None:
    with pytest.raises(ValueError, match="not known"):
        weight_shapes.quantized("m", (8, 128), parts(), ["x" * 999])
