"""A schema that holds nothing is said before anything is loaded, and a wrapper is unwrapped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qvq_mlx.core.errors import ExitCode, UsageError
from qvq_mlx.run.schema_text import read_schema
from tests.conftest import ROOT, World

PICTURE = str(ROOT / "tests" / "data" / "tiny" / "count-1.png")
COUNT = {
    "type": "object",
    "properties": {"count": {"type": "integer"}},
    "required": ["count"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "wrapped",
    [
        {"name": "count", "schema": COUNT},
        {"name": "count", "strict": True, "schema": COUNT},
        {"name": "count", "description": "d", "strict": False, "schema": COUNT},
        {"schema": COUNT},
        {"type": "json_schema", "json_schema": {"name": "count", "strict": True, "schema": COUNT}},
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
def test_a_wrapper_is_unwrapped(tmp_path: Path, wrapped: Any, as_file: bool) -> None:
    given = json.dumps(wrapped)
    if as_file:
        (tmp_path / "schema.json").write_text(given)
        given = str(tmp_path / "schema.json")
    assert json.loads(read_schema(given)) == COUNT


@pytest.mark.parametrize(
    ("schema", "word", "meant"),
    [
        ({"type": "object", "propertys": {"a": {}}}, "propertys", "properties"),
        ({"Type": "object"}, "Type", "type"),
        ({"type": "array", "item": {"type": "string"}}, "item", "items"),
        ({"type": "string", "enums": ["a"]}, "enums", "enum"),
        ({"type": "object", "properties": {"a": {"typ": "string"}}}, "typ", "type"),
        ({"type": "object", "additional_properties": False}, "additional_properties", "additional"),
        ({"anyOf": [{"type": "string"}, {"maxlength": 3}]}, "maxlength", "maxLength"),
        ({"$defs": {"a": {"require": ["b"]}}, "$ref": "#/$defs/a"}, "require", "required"),
        ({"name": "x", "parameters": {"type": "object"}}, "name", ""),
        ({"count": "integer"}, "count", ""),
    ],
)
def test_a_misspelt_word_is_refused_by_name(schema: Any, word: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_schema(json.dumps(schema))
    assert f"{word!r}" in caught.value.message
    assert meant in caught.value.message


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": {"propertys": {"type": "string"}, "item": {}, "name": {}}},
        {"enum": [{"propertys": 1}], "default": {"typ": 1}},
        {"x-order": 1, "title": "t", "nullable": True},
    ],
)
def test_a_name_that_is_no_word_of_the_schema_is_free(schema: Any) -> None:
    assert json.loads(read_schema(json.dumps(schema))) == schema


@pytest.mark.parametrize(
    ("given", "why"),
    [("true", "any answer satisfies"), ("false", "no answer satisfies")],
)
def test_true_and_false_are_said_plainly(given: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read_schema(given)


def test_deep_nesting_is_one_line() -> None:
    deep = '{"items": ' * 5000 + "{}" + "}" * 5000
    with pytest.raises(UsageError):
        read_schema(deep)


@pytest.mark.parametrize(
    "schema",
    ['{"uniqueItems": true, "type": "array"}', '{"type": "strng"}', '{"propertys": {}}', "true"],
)
@pytest.mark.parametrize("command", ["ask", "batch"])
def test_it_is_refused_before_the_load(
    world: Callable[..., World], schema: str, command: str
) -> None:
    def refuse(*_: object) -> Any:
        pytest.fail("the model was loaded")

    there = world()
    there.env = replace(there.env, load_engine=refuse)
    argv = {
        "ask": ["ask", "-m", "tiny", PICTURE, "How many?"],
        "batch": ["batch", "-m", "tiny", PICTURE, "-Q", "How many?"],
    }[command]
    assert there.run(*argv, "--schema", schema) == ExitCode.USAGE
    assert "--schema" in there.err


def test_a_question_without_a_schema_loads_no_grammar(tmp_path: Path) -> None:
    script = (
        "import sys; from qvq_mlx.cli.main import main; from qvq_mlx.cli.world import real_env;"
        f"code = main(['ask', '-m', 'tiny', {PICTURE!r}, 'How many?'], real_env());"
        "print(code, 'llguidance' in sys.modules, 'jinja2' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "QVQ_HOME": str(tmp_path)},
    )
    assert ran.stdout.splitlines()[-1] == "0 False False", ran.stderr


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--max-tokens", "3"], "not complete after 3 tokens (--max-tokens)"),
        (
            ["--budget", "0", "--answer-tokens", "2"],
            "not complete after 2 tokens (--answer-tokens)",
        ),
        (["--max-tokens", "3", "--lang", "de"], "; it was also held to --lang de"),
    ],
)
def test_exit_7_says_what_the_cause_was(
    world: Callable[..., World], options: list[str], cause: str
) -> None:
    there = world()
    schema = json.dumps({"type": "string", "minLength": 200})
    argv = ["ask", "-m", "tiny", PICTURE, "How many?", "--schema", schema, *options]
    assert there.run(*argv) == ExitCode.BAD_SCHEMA
    assert cause in there.err
