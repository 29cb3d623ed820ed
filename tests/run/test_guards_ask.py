"""Budgets and loops in `qvq ask`: what is printed, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qvq_mlx.store import registry
from tests.conftest import EXAMPLES, ScriptedEngine, World

Build = Callable[..., World]
IMAGE = str(EXAMPLES / "shapes.png")
ASK = ("ask", "-m", "tiny", IMAGE, "How many?")
THINKING = [f"w{index} " for index in range(100)]
LOOP = [f"loop{index} " for index in range(40)] * 9


@pytest.mark.parametrize("budget", [0, 1, 7, 99])
def test_every_budget_ends_in_an_answer(world: Build, budget: int) -> None:
    w = world(engine=ScriptedEngine(THINKING, ["\\boxed{2}"]))
    assert w.run(*ASK, "--budget", str(budget), "--json") == 0
    document = json.loads(w.out)
    assert (document["answer"], document["stop_reason"]) == ("\\boxed{2}", "budget")
    assert document["stats"]["thinking_tokens"] == budget
    assert [notice["code"] for notice in document["notices"]] == ["budget"]


def test_no_budget_lets_it_think(world: Build) -> None:
    w = world(engine=ScriptedEngine([*THINKING, "\n**Final Answer**\n", "2"]))
    assert w.run(*ASK, "--budget", "none", "--json") == 0
    assert json.loads(w.out)["stop_reason"] == "end"


def test_an_answer_that_does_not_end_is_an_honest_failure(world: Build) -> None:
    w = world(engine=ScriptedEngine(THINKING, THINKING))
    assert w.run(*ASK, "--budget", "7", "--answer-tokens", "5") == 3
    assert w.out == ""
    assert "5 tokens (--answer-tokens) after 7" in w.err


def test_a_loop_is_steered_into_an_answer(world: Build) -> None:
    w = world(engine=ScriptedEngine(LOOP, ["\\boxed{2}"]))
    assert w.run(*ASK, "--json") == 0
    document = json.loads(w.out)
    assert (document["answer"], document["stop_reason"]) == ("\\boxed{2}", "loop")


def test_a_loop_that_goes_on_is_stopped_and_never_shown_as_an_answer(world: Build) -> None:
    w = world(engine=ScriptedEngine(LOOP, LOOP))
    assert w.run(*ASK) == 3
    assert w.out == ""
    assert "repeated itself" in w.err


def test_a_bad_budget_and_a_model_that_cannot_conclude_are_refused(
    world: Build, tmp_path: Path
) -> None:
    w = world(words=["2"])
    assert w.run(*ASK, "--budget", "lots") == 2
    assert "--budget" in w.err
    plain = tmp_path / "plain"
    plain.symlink_to(registry.folder_of(registry.find("tiny"), tmp_path))
    w = world(words=["2"])
    assert w.run("ask", "-m", str(plain), IMAGE, "How many?", "--budget", "low") == 2
    assert "--budget" in w.err
    w = world(words=["2"])
    assert w.run("ask", "-m", str(plain), IMAGE, "How many?") == 0
