"""Starting the next weights from the shipped ones, and judging what they say."""

from __future__ import annotations

import time

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tools.tiny.dequantized import transformers_weights
from tools.tiny.progress import WARM_UP_STEPS, Stage
from tools.tiny.second.cases import Case
from tools.tiny.second.evaluate import right
from tools.tiny.second.replies import Place

SHIPPED = ROOT / "models" / "qvq-tiny"
BLANK = Image.new("RGB", (8, 8))
HERE, THERE = Place("star", 100, 100, 300, 300), Place("star", 500, 500, 700, 700)


def test_the_float_weights_are_what_mlx_multiplies_with() -> None:
    stored = mx.load(str(SHIPPED / "model.safetensors"))
    weights = transformers_weights(SHIPPED)
    name = "language_model.model.layers.0.mlp.up_proj"
    true = mx.dequantize(
        stored[f"{name}.weight"],
        stored[f"{name}.scales"],
        stored[f"{name}.biases"],
        group_size=64,
        bits=4,
    )
    assert np.array_equal(weights["model.layers.0.mlp.up_proj.weight"], np.array(true))
    assert not any(name.endswith(("scales", "biases")) for name in weights)


@pytest.mark.parametrize(
    ("reply", "hit"),
    [
        (f"Here. {HERE.text}", True),
        (Place("star", 110, 100, 300, 310).text, True),
        (Place("star", 200, 100, 400, 300).text, False),  # a third of the two
        (f"{HERE.text}, {THERE.text}", False),
        ("\\boxed{3}", False),
    ],
)
def test_a_box_is_right_from_an_overlap_of_0_7_on(reply: str, hit: bool) -> None:
    assert right(Case(BLANK, "find", "", "", "", places=(HERE,)), reply) == hit


def test_every_box_counts() -> None:
    case = Case(BLANK, "find", "", "", "", places=(HERE, THERE))
    assert right(case, f"{HERE.text}, {THERE.text}")
    assert not right(case, HERE.text)


def test_the_last_latex_box_is_the_answer() -> None:
    case = Case(BLANK, "count", "", "3", "")
    assert right(case, "\\boxed{2} no, \\boxed{3}")
    assert not right(case, "3")


def test_the_rate_stays_level_and_then_falls() -> None:
    now = time.time()
    level = Stage(now - 50, now + 50, 1.0, 0.0, 0.6)
    assert level.rate(WARM_UP_STEPS) == 1.0
    assert level.rate(0) == pytest.approx(1 / WARM_UP_STEPS)
    falling = Stage(now - 80, now + 20, 1.0, 0.0, 0.6)
    assert falling.rate(WARM_UP_STEPS) == pytest.approx(0.5, abs=0.01)
