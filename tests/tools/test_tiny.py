"""The embedded model's own tools: what it is asked, and how well it answers a sample."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qvq_mlx.reply.box import boxed
from tests.conftest import ROOT
from tools.tiny.asking import Asked
from tools.tiny.cases import Case, held_out
from tools.tiny.replies import TASKS

CASES = held_out(20261121, TASKS, 20)


def test_a_seed_gives_the_same_questions_and_another_seed_others() -> None:
    again = held_out(20261121, TASKS, len(CASES))
    assert [(c.question, c.answer, c.image.tobytes()) for c in again] == [
        (c.question, c.answer, c.image.tobytes()) for c in CASES
    ]
    other = held_out(1, TASKS, len(CASES))
    assert [c.image.tobytes() for c in other] != [c.image.tobytes() for c in CASES]


def test_every_task_is_asked_equally_often() -> None:
    tasks = [case.task for case in CASES]
    assert {tasks.count(task) for task in TASKS} == {len(CASES) // len(TASKS)}


@pytest.mark.parametrize("case", [c for c in CASES if c.task == "count"], ids=lambda c: c.question)
def test_a_running_count_ends_at_the_answer(case: Case) -> None:
    marks = [int(mark) for mark in re.findall(r"\((\d+)\)", case.thinking)]
    assert marks == list(range(1, len(marks) + 1))
    assert int(case.answer) == len(marks)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.task == "arithmetic"], ids=lambda c: c.thinking[:60]
)
def test_the_arithmetic_is_right(case: Case) -> None:
    a, sign, b = re.search(r"(\d+) ([+*-]) (\d+)", case.thinking).groups()  # type: ignore[union-attr]
    value = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign]
    assert str(value) == case.answer


def test_the_weights_are_small_and_the_draft_is_smaller() -> None:
    def size(name: str) -> int:
        return (ROOT / "models" / name / "model.safetensors").stat().st_size

    assert size("qvq-tiny") <= 8 * 10**6
    assert size("qvq-tiny-draft") <= size("qvq-tiny") / 3


def test_the_shipped_model_answers_a_sample() -> None:
    """A bound far below the measured share; `tools.tiny.evaluate` measures it properly."""
    asked = Asked("tiny")
    right = sum(boxed(asked.reply(case.image, case.question)) == case.answer for case in CASES)
    assert right / len(CASES) >= 0.85


def test_the_draft_model_answers_too() -> None:
    case = CASES[0]
    assert boxed(Asked("qvq-tiny-draft").reply(case.image, case.question)) is not None


def test_the_card_names_its_accuracy() -> None:
    card = (ROOT / "models" / "qvq-tiny" / "README.md").read_text(encoding="utf-8")
    assert all(task in card for task in ("count", "attribute", "chart", "arithmetic"))
    assert Path(ROOT / "models" / "qvq-tiny-draft" / "README.md").is_file()
