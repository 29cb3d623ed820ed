"""A `match` over a closed set names every member, or ends in `assert_never`.

mypy holds what is named against the set (`exhaustive-match` in pyproject.toml); a wildcard would
switch that off, and a new member would be passed over in silence. Closed are our enums, and the
unions of our classes that have a name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

CODE = ROOT / "qvq_mlx"


@cache
def closed() -> frozenset[str]:
    """The names of our enums, and of the members of our unions."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in CODE.rglob("*.py")]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    ours = {node.name for node in classes}
    enums = {node.name for node in classes if {ast.unparse(base) for base in node.bases} & ENUMS}
    unions = {
        leaf
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp)
        for leaf in leaves(node.value)
    }
    return frozenset(enums | (unions & ours))


ENUMS = {"Enum", "StrEnum", "IntEnum"}


def leaves(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.BinOp(left, ast.BitOr(), right):
            yield from leaves(left)
            yield from leaves(right)
        case ast.Name(name):
            yield name
        case _:
            pass


def open_ends(source: str) -> Iterator[int]:
    """Lines of the wildcards that hide a member of a closed set.

    A match that also has a string or a number among its cases (the keyboard's) is over an open set.
    """
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Match):
            continue
        *named, last = node.cases
        patterns = [part for case in named for part in ast.walk(case.pattern)]
        if any(is_of_strings(part) for part in patterns):
            continue
        heads = {head_of(part) for part in patterns} - {None}
        wild = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
        if heads & closed() and wild and not raises(last.body):
            yield last.pattern.lineno


def is_of_strings(pattern: ast.AST) -> bool:
    match pattern:
        case ast.MatchValue(ast.Constant()) | ast.MatchClass(ast.Name("str")):
            return True
        case _:
            return False


def head_of(pattern: ast.AST) -> str | None:
    """The class of `Class(...)`, the enum of `Enum.MEMBER`."""
    match pattern:
        case ast.MatchClass(ast.Name(name)):
            return name
        case ast.MatchValue(ast.Attribute(ast.Name(name))):
            return name
        case _:
            return None


def raises(body: list[ast.stmt]) -> bool:
    return ast.unparse(body[0]).startswith("assert_never(")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("match e:\n    case Progress():\n        pass\n    case _:\n        pass", [4]),
        ("match r:\n    case StopReason.END:\n        pass\n    case _:\n        pass", [4]),
        (
            "match r:\n    case Progress() | Done():\n        pass\n    case other:\n        pass",
            [4],
        ),
        ("match r:\n    case Done():\n        pass\n    case _:\n        assert_never(r)", []),
        ("match r:\n    case Done():\n        pass\n    case Progress():\n        pass", []),
        ("match key:\n    case 'q' | Key.UP:\n        pass\n    case _:\n        pass", []),
        ("match x:\n    case OSError():\n        pass\n    case _:\n        pass", []),
    ],
)
def test_a_wildcard_over_a_closed_set_is_found(source: str, found: list[int]) -> None:
    assert list(open_ends(source)) == found


def test_what_is_closed_is_known() -> None:
    expected = {"Stage", "StopReason", "ModelType", "LayerCache", "Progress", "Done", "Token"}
    assert expected <= closed()
    assert "str" not in closed()


def test_no_match_over_a_closed_set_has_an_open_end() -> None:
    found = {
        str(path.relative_to(ROOT)): list(open_ends(path.read_text(encoding="utf-8")))
        for path in sorted(CODE.rglob("*.py"), key=Path.as_posix)
    }
    assert {path: lines for path, lines in found.items() if lines} == {}
