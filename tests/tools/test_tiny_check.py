"""The check of another hand: it shares nothing with the training, and its answers are true."""

from __future__ import annotations

import ast
import re
from functools import cache
from random import Random

import numpy as np
import pytest
from PIL import ImageColor

from tests.conftest import ROOT
from tools.tiny import phrasings
from tools.tiny.check.__main__ import pointed, widened
from tools.tiny.check.cases import KINDS, Case, cases, judged, overlap
from tools.tiny.check.drawing import FORMS, SHADES
from tools.tiny.second.wordings import GRAMMAR, KINDS_OF_QUESTION

FOLDER = ROOT / "tools" / "tiny" / "check"


@cache
def some_cases(kind: str = "") -> list[Case]:
    """Cases of a kind, or of all; drawn where they are used, for it takes a second."""
    return [case for case in cases(3, 42) if kind in ("", case.kind)]


def skeleton(question: str) -> str:
    """The question without what it is about."""
    text = question.lower().replace("colour", "color")
    text = re.sub(r"\{\w\}", "_", text)
    for noun in (*FORMS, "shape", "object", "thing", "figure", "item"):
        text = re.sub(rf"\b(({'|'.join(SHADES)}) )?{noun}(s?)\b", "_", text)
    text = re.sub(rf"\b({'|'.join(SHADES)})\b", "_", text)
    text = re.sub(r"\b[a-e]\b(?! )", "_", text)
    return re.sub(r"[^a-z_]+", " ", text).strip()


def imported(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name for name in names if name.startswith(("tools", "qvq_mlx"))}


def test_it_imports_nothing_that_training_draws_or_asks_with() -> None:
    allowed = {
        *("tools.tiny.check", "tools.tiny.check.cases", "tools.tiny.check.drawing"),
        "tools.tiny.model",  # asks a model, and draws nothing
    }
    for file in FOLDER.glob("*.py"):
        assert imported(file.read_text(encoding="utf-8")) <= allowed, file


@pytest.mark.slow
def test_no_question_of_it_is_a_sentence_of_the_training() -> None:
    rng = Random(1)
    known = {
        skeleton(text)
        for group in vars(phrasings).values()
        if isinstance(group, tuple)
        for text in group
    }
    for rule in KINDS_OF_QUESTION:
        known |= {skeleton(GRAMMAR.wording(rng, rule).text) for _ in range(400)}
    asked = {skeleton(case.question) for case in cases(4, 210)}
    assert len(asked) > 25
    assert not asked & known


def test_a_seed_gives_the_same_cases() -> None:
    again = cases(3, 42)
    assert [(c.question, c.image.tobytes()) for c in again] == [
        (c.question, c.image.tobytes()) for c in some_cases()
    ]
    assert {case.kind for case in some_cases()} == set(KINDS)


@pytest.mark.parametrize("number", range(6))
def test_a_box_holds_the_colour_that_was_asked_for(number: int) -> None:
    case = some_cases("boxes")[number]
    shade = next(shade for shade in SHADES if shade in case.question)
    assert case.box is not None
    left, top, right, bottom = case.box
    middle = np.asarray(case.image)[(2 * top + 3 * bottom) // 5, (left + right) // 2]
    shades = [ImageColor.getrgb(one) for one in SHADES[shade]]
    assert min(np.abs(middle.astype(int) - one).sum() for one in shades) < 30


@pytest.mark.parametrize("number", range(6))
def test_what_matters_is_a_small_part_of_a_page(number: int) -> None:
    case = some_cases("pages")[number]
    assert case.box is not None
    left, top, right, bottom = case.box
    share = (right - left) * (bottom - top) / (case.image.width * case.image.height)
    assert 0.005 < share < 0.1


def test_an_answer_counts_in_any_of_its_spellings_and_in_no_other() -> None:
    case = Case("shapes", some_cases()[0].image, "", frozenset({"3", "three"}))
    assert judged(case, "3")
    assert judged(case, " Three. ")
    assert not judged(case, "33")
    assert not judged(case, None)


def test_overlap_is_intersection_over_union() -> None:
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)


def test_a_reply_that_points_becomes_pixels() -> None:
    image = some_cases()[0].image
    assert pointed("no box", image) is None
    box = pointed("<|box_start|>(0,0),(500,1000)<|box_end|>", image)
    assert box == (0, 0, image.width // 2, image.height)
    assert widened((0, 0, image.width, image.height), image) == (0, 0, *image.size)
