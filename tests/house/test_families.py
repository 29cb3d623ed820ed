"""No module outside `families/` names a model family."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qvq_mlx.families import ModelType
from tests.conftest import ROOT

CODE = ROOT / "qvq_mlx"
HOME = CODE / "families"
NAME = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, ModelType))})(?![\w-])")
"""The string itself, alone or within another one; a repository's or a card's name is none."""


def named(source: str) -> Iterator[str]:
    """Every place where a family is told from the others; comments and docstrings are prose."""
    tree = ast.parse(source)
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name("ModelType"), member) if member in ModelType.__members__:
                yield f"line {node.lineno}: ModelType.{member}"
            case ast.Constant(str(text)) if id(node) not in prose and NAME.search(text):
                yield f"line {node.lineno}: {text!r}"
            case ast.ImportFrom(module=str(module)) if module in files():
                yield f"line {node.lineno}: {module}"
            case ast.ImportFrom("qvq_mlx.families") if {a.name for a in node.names} & {*ModelType}:
                yield f"line {node.lineno}: {module_of(node)}"
            case ast.Import() if {alias.name for alias in node.names} & files():
                yield f"line {node.lineno}: {node.names[0].name}"
            case _:
                pass


def files() -> set[str]:
    return {f"qvq_mlx.families.{member}" for member in ModelType}


def module_of(node: ast.ImportFrom) -> str:
    return f"{node.module} import {', '.join(alias.name for alias in node.names)}"


@pytest.mark.parametrize(
    "line",
    [
        "if family.model_type is ModelType.QWEN2: pass",
        "match family:\n    case ModelType.QWEN3_VL: pass",
        "if config['model_type'] == 'qwen2_5_vl': pass",
        "_FLAT = ('qwen2_vl', 'qwen2_5_vl')",
        "f'mlx_vlm.models.qwen3_vl.{name}'",
        "from qvq_mlx.families.qwen2_vl import Qwen2VL",
        "from qvq_mlx.families import qwen2_vl",
        "import qvq_mlx.families.qwen2",
    ],
)
def test_a_family_that_is_named_is_found(line: str) -> None:
    assert list(named(line))


@pytest.mark.parametrize(
    "line",
    [
        '"""What Qwen2-VL does, and qwen2_vl."""',
        "x = 1\n'''qwen2_vl'''",
        "hint = 'qwen2-vl-7b'",
        "for model_type in ModelType: pass",
        "from qvq_mlx.families import ModelType, family_of",
    ],
)
def test_prose_and_the_names_of_models_are_free(line: str) -> None:
    assert not list(named(line))


def test_no_module_outside_families_names_a_family() -> None:
    paths = [path for path in CODE.rglob("*.py") if HOME not in path.parents]
    assert len(paths) > 100
    found = {
        str(path.relative_to(ROOT)): list(named(path.read_text(encoding="utf-8")))
        for path in sorted(paths, key=Path.as_posix)
    }
    assert {path: places for path, places in found.items() if places} == {}


def test_each_family_names_itself_alone() -> None:
    """So that nothing of one family hangs on another one."""
    for member in ModelType:
        places = list(named((HOME / f"{member}.py").read_text(encoding="utf-8")))
        assert places, member
        for place in places:
            assert place.endswith((f"ModelType.{member.name}", f"'{member}'")), place
