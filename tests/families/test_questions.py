"""Every family answers every question, in its own class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qvq_mlx.core.card import Thinking, ThinkingStyle
from qvq_mlx.core.clip import Clip
from qvq_mlx.families import ModelType, family_named
from qvq_mlx.families.family import Family, Vision
from qvq_mlx.families.prompt import paced


def questions(of: type) -> set[str]:
    return {name for name in vars(of) if not name.startswith("_")}


@pytest.mark.parametrize("asked", [Family, Vision])
def test_no_question_has_an_answer_that_is_inherited(asked: type) -> None:
    assert questions(asked) == asked.__abstractmethods__
    assert len(questions(asked)) >= 9


@pytest.mark.parametrize("model_type", list(ModelType))
def test_each_family_answers_in_its_own_file(model_type: ModelType) -> None:
    family = family_named(model_type)
    assert family.model_type is model_type
    assert type(family).__module__ == f"qvq_mlx.families.{model_type}"
    assert type(family).__mro__[1:] == Family.__mro__
    assert questions(type(family)) == questions(Family)
    if family.vision is not None:
        assert questions(type(family.vision)) == questions(Vision)
        assert type(family.vision).__module__ == type(family).__module__


@pytest.mark.parametrize("asked", [Family, Vision])
def test_a_family_with_a_question_left_open_cannot_be_made(asked: type) -> None:
    for question in questions(asked):
        answers = dict.fromkeys(questions(asked) - {question})
        with pytest.raises(TypeError, match=question):
            type("HalfDone", (asked,), answers)()


@pytest.mark.parametrize("model_type", list(ModelType))
@pytest.mark.parametrize(
    ("stored", "path"),
    [
        ("model.language_model.layers.3.mlp.up_proj", "language_model.model.layers.3.mlp.up_proj"),
        ("language_model.model.layers.3.mlp.up_proj", "language_model.model.layers.3.mlp.up_proj"),
        ("model.layers.3.mlp.up_proj", "language_model.model.layers.3.mlp.up_proj"),
        ("model.visual.blocks.0.attn.qkv", "vision_tower.blocks.0.attn.qkv"),
        ("visual.blocks.0.attn.qkv", "vision_tower.blocks.0.attn.qkv"),
        ("lm_head", "language_model.lm_head"),
        ("language_model.lm_head", "language_model.lm_head"),
    ],
)
def test_every_published_naming_is_one_module_and_one_weight(
    model_type: ModelType, stored: str, path: str
) -> None:
    family = family_named(model_type)
    assert family.module_path(stored) == path
    [placement] = family.placements({f"{stored}.weight": (8, 8)})
    assert (placement.name, placement.sources) == (f"{path}.weight", (f"{stored}.weight",))
    assert placement.axes == ()


@pytest.mark.parametrize("model_type", list(ModelType))
def test_buffers_are_left_out_and_the_patches_get_their_colours_last(
    model_type: ModelType,
) -> None:
    patches = "visual.patch_embed.proj.weight"
    family = family_named(model_type)
    shapes = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": (16,),
        "model.embeddings.position_ids": (1, 9),
        patches: (32, 3, 2, 14, 14),
    }
    [placement] = family.placements(shapes)
    assert placement.axes == (0, 2, 3, 4, 1)
    [placement] = family.placements({patches: (32, 2, 14, 14, 3)})
    assert placement.axes == ()


def test_a_reply_is_opened_where_the_card_says_so() -> None:
    opened = {style: Thinking(style, open_tag="<t>").opened for style in ThinkingStyle}
    assert opened.pop(ThinkingStyle.PREOPENED) == "<t>\n"
    assert set(opened.values()) == {""}
    assert Thinking(ThinkingStyle.PREOPENED, unasked="<t></t>").switched_off.opened == "<t></t>"


def clip(steps: int, fps: float) -> Clip:
    frames = 2 * steps
    return Clip(
        name="",
        source_width_px=28,
        source_height_px=28,
        width_px=28,
        height_px=28,
        tokens=steps,
        sha256="",
        frames=(b"",) * frames,
        times_s=tuple(index / fps for index in range(frames)),
        fps=fps,
        duration_s=frames / fps,
        source_fps=fps,
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 384), st.floats(0.01, 120), st.floats(0.25, 50))
def test_positions_are_paced_in_numpys_float32(steps: int, fps: float, tokens_per_s: float) -> None:
    taken = clip(steps, fps)
    interval = np.float32(tokens_per_s) * np.float32(taken.step_s)
    expected = np.arange(taken.steps, dtype=np.float32) * interval
    assert paced(taken, tokens_per_s) == tuple(int(step) for step in expected)
