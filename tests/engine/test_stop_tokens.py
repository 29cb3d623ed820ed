"""Which tokens end a reply: what any file names, and the end of a turn as prompts spell it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.core.tokens import AnswerConstraint
from qvq_mlx.engine import loaded
from qvq_mlx.engine.constraint import AnswerMask
from qvq_mlx.engine.session import Session
from tests.engine.conftest import goldens

END_OF_TEXT, TURN_END, OTHER = 1010, 1012, 7


def session_of(folder: Path, card: ModelCard, tmp_path: Path, **named: Any) -> Session:
    """The embedded model, whose files name these end tokens (None: the file names none)."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    for name in ("generation_config", "config"):
        path = copy / f"{name}.json"
        values = json.loads(path.read_text())
        values.pop("eos_token_id", None)
        if (ids := named.get(name)) is not None:
            values["eos_token_id"] = ids
        path.write_text(json.dumps(values))
    return cast("Session", loaded(card, copy))


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"generation_config": END_OF_TEXT}, {END_OF_TEXT, TURN_END}),
        ({"generation_config": END_OF_TEXT, "config": OTHER}, {END_OF_TEXT, TURN_END, OTHER}),
        ({"generation_config": [END_OF_TEXT], "config": [OTHER]}, {END_OF_TEXT, TURN_END, OTHER}),
        ({"config": END_OF_TEXT}, {END_OF_TEXT, TURN_END}),
        ({"generation_config": []}, {TURN_END}),
        ({}, {TURN_END}),
        ({"generation_config": [TURN_END, 900_000]}, {TURN_END}),
    ],
)
def test_the_set_is_a_union(
    folder: Path, card: ModelCard, tmp_path: Path, named: dict[str, Any], expected: set[int]
) -> None:
    session = session_of(folder, card, tmp_path, **named)
    assert session.parts.stop_ids == expected
    # a mask over the vocabulary holds each of them
    AnswerMask(AnswerConstraint(card.thinking, "{}"), session.parts.vocabulary, expected)


def test_a_reply_ends_with_its_turn_whatever_the_files_name(
    folder: Path, card: ModelCard, tmp_path: Path, picture: Any, run: Any
) -> None:
    from qvq_mlx.core.request import Sampling
    from qvq_mlx.core.tokens import Control, Generation, Token

    golden = goldens()[0]
    session = session_of(folder, card, tmp_path, generation_config=END_OF_TEXT)
    prompt = session.prompt(golden.question, [picture(golden.image)], golden.system)
    steps = session.generate(prompt, Generation(Sampling(), 256), Control())
    assert [step.id for step in steps if isinstance(step, Token)] == golden.token_ids


@pytest.mark.parametrize("wrong", ["x", True, [1.5], {"a": 1}])
def test_an_end_token_of_another_type_is_one_line(
    folder: Path, card: ModelCard, tmp_path: Path, wrong: object
) -> None:
    with pytest.raises(BrokenModelError, match="eos_token_id"):
        session_of(folder, card, tmp_path, generation_config=TURN_END, config=wrong)


def test_who_measures_has_it_write_on(
    folder: Path, card: ModelCard, tmp_path: Path, picture: Any
) -> None:
    """The tokens of the reply, its end, and more, up to the number that was asked for."""
    from qvq_mlx.core.request import Sampling
    from qvq_mlx.core.tokens import Control, Generation, Token

    golden = goldens()[0]
    session = session_of(folder, card, tmp_path, generation_config=TURN_END)
    prompt = session.prompt(golden.question, [picture(golden.image)], golden.system)
    generation = Generation(Sampling(), len(golden.token_ids) + 5, ends=False)
    steps = session.generate(prompt, generation, Control())
    ids = [step.id for step in steps if isinstance(step, Token)]
    assert len(ids) == generation.max_tokens
    assert ids[: len(golden.token_ids)] == golden.token_ids
    assert ids[len(golden.token_ids)] in session.parts.stop_ids
