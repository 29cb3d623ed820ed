"""What `--json` and `--jsonl` print satisfies the shipped schemas, for every kind of run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from qvq_mlx.core.tokens import Control
from qvq_mlx.records.runs import VERSION
from tests.conftest import EXAMPLES, ROOT, ScriptedEngine, World

Build = Callable[..., World]
SHAPES = str(EXAMPLES / "shapes.png")
QUESTION = "How many red circles are there?"
MARK = "**Final Answer**"
RETRACTED = [
    "a",
    "\n\n",
    MARK,
    "\n\n",
    "\\boxed{1}",
    "\n\nWait",
    ", no.\n\n",
    MARK,
    "\n\n",
    "\\boxed{2}",
]


def at(index: int, what: Callable[[Control], None]) -> Callable[[int, Control], None]:
    return lambda now, control: what(control) if now == index else None


def checker(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((ROOT / "docs" / "schema" / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


RESULT, EVENTS, BATCH = map(checker, ("result", "events", "batch"))

SCRIPTED = {
    "answer": (["a", "\n\n", MARK, "\n\n", "\\boxed{2}"], (), 0),
    "whole": (["A white", " square."], (), 0),
    "retracted": (RETRACTED, (), 0),
    "cut off": (["a", "\n\n", MARK, "\n\n", "It", " is"], ("--max-tokens", "5"), 3),
    "nothing": ([], (), 3),
    "loop": (["So it goes round. "] * 400, (), 0),  # steered into an answer
    "budget": (["so "] * 30, ("--budget", "5"), 0),
    "vote": (["a", "\n\n", MARK, "\n\n", "\\boxed{2}"], ("--vote", "3"), 0),
    "double check": (["a", "\n\n", MARK, "\n\n", "\\boxed{2}"], ("--double-check",), 0),
}
REAL = {
    "real": ((), 0),
    "real vote": (("--vote", "3"), 0),
    "real double check": (("--double-check",), 0),
    "real schema": (("--schema", '{"enum": [1, 2, 3]}', "--budget", "9"), 0),
    "real schema not met": (("--schema", '{"type": "object"}', "--max-tokens", "9"), 7),
    "real drafted": (("--draft", "lookup"), 0),
}


def printed(w: World, form: str, options: tuple[str, ...]) -> int:
    return w.run("ask", "-m", "tiny", SHAPES, QUESTION, form, *options)


def held(text: str, form: str) -> dict[str, object]:
    """The object, or `done`; AssertionError where a schema is broken."""
    if form == "--json":
        document = json.loads(text)
        RESULT.validate(document)
        assert document["version"] == VERSION
        return dict(document)
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        EVENTS.validate(line)
    assert (lines[0]["type"], lines[0]["version"]) == ("request", VERSION)
    assert [line["type"] for line in lines].count("done") == 1
    return dict(lines[-1])


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
@pytest.mark.parametrize("name", SCRIPTED)
def test_a_scripted_run(world: Build, name: str, form: str) -> None:
    words, options, code = SCRIPTED[name]
    w = world(engine=ScriptedEngine(words, after_closing=["\\boxed{2}"]))
    assert printed(w, form, options) == code, w.err
    last = held(w.out, form)
    if name == "retracted" and form == "--jsonl":
        assert '"answer_retracted"' in w.out
    assert (last["vote"] is not None) == (name == "vote")
    assert (last["double_check"] is not None) == (name == "double check")


@pytest.mark.sampled(4)
@pytest.mark.parametrize("form", ["--json", "--jsonl"])
@pytest.mark.parametrize("name", REAL)
def test_a_run_of_the_embedded_model(world: Build, name: str, form: str) -> None:
    options, code = REAL[name]
    w = world()
    assert printed(w, form, options) == code, w.err
    last = held(w.out, form)
    assert (last["vote"] is not None) == ("vote" in name)


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_an_interrupted_run(world: Build, form: str) -> None:
    for how in (Control.stop, _raise):
        w = world(engine=ScriptedEngine(["I", " see", " two"], on_token=at(1, how)))
        assert printed(w, form, ()) == 130
        last = held(w.out, form)
        assert last["stop_reason"] == "interrupt"
        saved = world()
        assert saved.run("last", "--json") == 0
        assert held(saved.out, "--json")["stop_reason"] == "interrupt"


def _raise(_control: Control) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_an_error_writes_no_object(world: Build, form: str) -> None:
    w = world(["x"])
    assert w.run("ask", "-m", "tiny", "none.png", QUESTION, form) == 6
    assert w.out == ""
    assert w.err.startswith("error[image-not-found]: ")


def test_what_does_not_fit_is_refused() -> None:
    """The schemas are no rubber stamps."""
    with pytest.raises(jsonschema.ValidationError):
        RESULT.validate({"version": VERSION})
    for wrong in (
        {"type": "progress"},
        {"type": "thinking", "text": 3, "tokens": 1},
        {"type": "x"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            EVENTS.validate(wrong)


def test_the_examples_of_the_page_satisfy_them() -> None:
    page = (ROOT / "docs" / "json.md").read_text()
    blocks = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    count = 0
    for block in blocks:
        if block.startswith("{\n"):
            if '"answer_source"' in block:
                RESULT.validate(json.loads(block))
            continue
        for line in map(json.loads, block.splitlines()):
            (BATCH if line["type"] == "item" else EVENTS).validate(line)
            count += 1
    assert count > 10


def test_the_program_prints_its_schemas(world: Build) -> None:
    w = world()
    assert w.run("schema") == 0
    names = w.out.split()
    assert {"result", "events", "doctor"} <= set(names)
    for name in names:
        w = world()
        assert w.run("schema", name) == 0
        assert w.out == Path(ROOT / "docs" / "schema" / f"{name}.schema.json").read_text()
    w = world()
    assert w.run("schema", "nothing") == 2
