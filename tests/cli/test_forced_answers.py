"""An answer that was asked for before the model gave it is marked wherever a person meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from qvq_mlx.core.events import ConcludedBy
from qvq_mlx.core.tokens import Control
from qvq_mlx.records.runs import event_from_json
from tests.conftest import ScriptedEngine, World

Build = Callable[..., World]
THOUGHT = [" one", " two", " three", " four"]


def _press(index: int, control: Control) -> None:
    if index == 1:
        control.conclude()


def _loop(index: int, control: Control) -> None:
    assert index < 5000
    del control


CAUSES = {
    ConcludedBy.USER: (ScriptedEngine(THOUGHT, ["\\boxed{2}"], _press), [], "asked"),
    ConcludedBy.BUDGET: (ScriptedEngine(THOUGHT, ["\\boxed{2}"]), ["--budget", "3"], "budget"),
    ConcludedBy.LOOP: (
        ScriptedEngine([" Wait, let me look at the picture again."] * 600, ["\\boxed{2}"], _loop),
        [],
        "loop",
    ),
}


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "cat.png"
    Image.new("RGB", (300, 300), "white").save(path)
    return str(path)


@pytest.mark.parametrize("cause", ConcludedBy)
def test_a_forced_answer_is_marked(world: Build, image: str, cause: ConcludedBy) -> None:
    engine, options, code = CAUSES[cause]
    note = f"note[{code}]: "
    w = world(engine=engine)
    assert w.run("ask", "-m", "tiny", image, "How many?", *options) == 0
    assert w.out == "\\boxed{2}\n"
    assert w.err.count(note) == 1
    quiet = world(engine=engine)
    assert quiet.run("ask", "-m", "tiny", image, "How many?", "-q", *options) == 0
    assert quiet.err == ""
    data = world(engine=engine)
    assert data.run("ask", "-m", "tiny", image, "How many?", "--json", *options) == 0
    document = json.loads(data.out)
    assert (document["concluded"], document["concluded_by"]) == (True, cause)
    assert code in [notice["code"] for notice in document["notices"]]
    again = world()
    assert again.run("last") == 0
    assert (again.out, again.err.count(note)) == ("\\boxed{2}\n", 1)
    listed = world()
    assert listed.run("log", "list", "-n", "1") == 0
    assert f"answer ({cause})" in listed.out
    seen = world(tty=True)
    assert seen.run("log", "list", "-n", "1") == 0
    assert "  forced  " in seen.out
    as_json = world()
    assert as_json.run("log", "list", "-n", "1", "--json") == 0
    assert json.loads(as_json.out)["runs"][0]["concluded_by"] == cause


@pytest.mark.parametrize("cause", ConcludedBy)
def test_a_screen_shows_it_in_the_end_and_again(
    world: Build, image: str, cause: ConcludedBy
) -> None:
    engine, options, code = CAUSES[cause]
    w = world(engine=engine, tty=True, err_tty=True)
    assert w.run("ask", "-m", "tiny", image, "How many?", *options) == 0
    assert w.out.count(f"note[{code}]: ") == 1
    shown = world(tty=True, err_tty=True)
    assert shown.run("last") == 0
    assert shown.out.count(f"note[{code}]: ") == 1


def test_an_answer_of_the_models_own_has_no_mark(world: Build, image: str) -> None:
    w = world(["I see.", "\n\n", "**Final Answer**", "\n\n", "\\boxed{2}"])
    assert w.run("ask", "-m", "tiny", image, "How many?", "--json") == 0
    assert w.err == ""
    document = json.loads(w.out)
    assert (document["concluded"], document["concluded_by"]) == (False, None)


def test_a_run_of_before_the_mark_says_it_by_its_reason() -> None:
    record = {
        "type": "done", "stop_reason": "budget", "answer_source": "marker", "complete": True,
        "concluded": True, "stats": {},
    }  # fmt: skip
    assert event_from_json(record).concluded_by is ConcludedBy.BUDGET
    assert event_from_json(record | {"stop_reason": "end"}).concluded_by is ConcludedBy.USER
    assert event_from_json(record | {"concluded": False}).concluded_by is None
