"""Weights that give no numbers are named, and never answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qvq_mlx.core.errors import BrokenModelError, ExitCode
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.tokens import AnswerConstraint, Control, Generation, Step, Token
from qvq_mlx.engine.session import Session
from tests.engine.conftest import GOLDEN_PICTURE
from tests.engine.test_checkpoint import session_of
from tools.make_checkpoint import Options, make_checkpoint

ENUM = '{"enum": ["yes", "no"]}'
WAYS = {
    "greedy": (Sampling(), None),
    "warm": (Sampling(0.9, top_k=20, top_p=0.8, seed=3), None),
    "enum": (Sampling(), ENUM),
}


def damage(folder: Path, name: str, change: Callable[[Any], Any]) -> Path:
    import mlx.core as mx

    path = folder / "model.safetensors"
    weights: Any = mx.load(str(path))
    weights[name] = change(weights[name])
    mx.eval(weights)
    mx.save_safetensors(str(path), weights)
    return folder


def spoilt(array: Any, value: float, row: int | None = None) -> Any:
    import mlx.core as mx

    if row is None:
        return mx.full(array.shape, value, dtype=array.dtype)
    rows = mx.arange(array.shape[0]) == row
    return mx.where(rows.reshape(-1, *[1] * (array.ndim - 1)), value, array).astype(array.dtype)


def asked(
    session: Session, picture: Picture, sampling: Sampling, schema: str | None
) -> tuple[list[int], str]:
    from qvq_mlx.core.card import Thinking

    prompt = session.prompt("How many?", [picture], "Be brief.")
    held = AnswerConstraint(Thinking(), schema) if schema else None
    return tokens_of(session.generate(prompt, Generation(sampling, 30, "", held), Control()))


def tokens_of(steps: Iterator[Step]) -> tuple[list[int], str]:
    """The tokens that were handed out, and the error that ended them."""
    given: list[int] = []
    try:
        for step in steps:
            given += [step.id] if isinstance(step, Token) else []
    except BrokenModelError as error:
        return given, error.message
    return given, ""


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    ("name", "value", "row"),
    [
        ("language_model.model.layers.1.mlp.down_proj.weight", float("nan"), None),
        ("language_model.lm_head.weight", float("nan"), 700),  # one token's logit alone
        ("language_model.lm_head.weight", float("inf"), None),
        ("vision_tower.patch_embed.proj.weight", float("-inf"), 0),
    ],
)
def test_logits_that_are_no_numbers_are_noticed_before_the_first_token(
    tmp_path: Path, picture: Any, name: str, value: float, row: int | None, way: Any
) -> None:
    folder = make_checkpoint("tiny", tmp_path / "made", Options(dtype="float32"))
    session = session_of(damage(folder, name, lambda array: spoilt(array, value, row)))
    given, error = asked(session, picture(GOLDEN_PICTURE), *way)
    assert not given
    assert f"{name} holds values that are no numbers" in error


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_logits_that_tell_nothing_apart_are_noticed(tmp_path: Path, picture: Any, way: Any) -> None:
    folder = make_checkpoint("tiny", tmp_path / "made", Options(dtype="float32"))
    name = "language_model.lm_head.weight"
    session = session_of(damage(folder, name, lambda array: spoilt(array, 0.0)))
    given, error = asked(session, picture(GOLDEN_PICTURE), *way)
    assert not given
    assert "what they give for this prompt is not" in error


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
@pytest.mark.parametrize(
    "module", ["language_model.model.layers.1.mlp.up_proj", "language_model.lm_head"]
)
def test_a_scale_that_is_no_number_is_named_at_the_load(
    tmp_path: Path, module: str, value: float
) -> None:
    folder = make_checkpoint("tiny", tmp_path / "made", Options(bits=4, dtype="bfloat16"))
    damage(folder, f"{module}.scales", lambda array: spoilt(array, value))
    with pytest.raises(BrokenModelError, match=f"{module}.scales holds values that are no numbers"):
        session_of(folder)


def test_a_norm_that_is_no_number_is_named_at_the_load(tmp_path: Path) -> None:
    folder = make_checkpoint("tiny", tmp_path / "made", Options(dtype="float32"))
    name = "language_model.model.norm.weight"
    damage(folder, name, lambda array: spoilt(array, float("nan"), 3))
    with pytest.raises(BrokenModelError, match=name):
        session_of(folder)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_number_that_is_lost_on_the_way_ends_the_run_there(
    tmp_path: Path, picture: Any, rows: int
) -> None:
    """One token's embedding is NaN: the run is sound until that token is read."""
    folder = make_checkpoint("tiny", tmp_path / "made", Options(dtype="float32"))
    session = session_of(folder)
    prompt = session.prompt("How many?", [picture(GOLDEN_PICTURE)], "Be brief.")
    ways = [(Generation(Sampling(1.0, seed=row), 12), Control()) for row in range(rows)]
    before = [step for step in session.generate_rows(prompt, ways) if isinstance(step, Token)]
    drawn = [token.id for token in before]
    late = next(
        token for token in drawn[4 * rows :] if token not in {*prompt.ids, *drawn[: 4 * rows]}
    )
    name = "language_model.model.embed_tokens.weight"
    broken = session_of(damage(folder, name, lambda array: spoilt(array, float("nan"), late)))
    given, error = tokens_of(broken.generate_rows(prompt, ways))
    assert name in error
    assert late in given
    assert given == drawn[: len(given)]
    assert len(given) - given.index(late) <= rows


def test_a_batch_ends_at_its_first_item(tmp_path: Path, world: Any) -> None:
    folder = make_checkpoint("tiny", tmp_path / "made", Options(dtype="float32"))
    name = "language_model.model.layers.0.self_attn.q_proj.weight"
    damage(folder, name, lambda array: spoilt(array, float("nan")))
    schema, out = tmp_path / "schema.json", tmp_path / "out.jsonl"
    schema.write_text(ENUM)
    pictures = [str(GOLDEN_PICTURE), str(GOLDEN_PICTURE.with_name("count-2.png"))]
    asks = ["batch", *pictures, "-Q", "How many?", "-m", str(folder), "--schema", str(schema)]
    there = world()
    assert there.run(*asks, "-o", str(out)) == ExitCode.NO_MODEL
    assert name in there.err
    assert out.read_text() == ""
