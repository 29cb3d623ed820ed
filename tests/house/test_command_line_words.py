"""The domain speaks no command line: outside `cli/` no string spells an option or a command."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

import qvq_mlx
from qvq_mlx.cli.app import COMMANDS, app_with

ROOT = Path(qvq_mlx.__file__).parent
OWN = {
    option
    for command in getattr(get_command(app_with()), "commands").values()  # noqa: B009  (typer's group)
    for parameter in command.params
    for option in parameter.opts
}
PROGRAM = re.compile(rf"^qvq |\bqvq (?:{'|'.join(sorted(COMMANDS))}) (?:[A-Z-]|\.\.\.)")
OPTION = re.compile(r"(?:^|[\s(`'\"/])--[a-z]")
ARGUMENT = re.compile(r"--[a-z][a-z-]*(?:=\w+)?")


def spoken(source: str) -> list[str]:
    """Every text of a module that spells a command line; what is said to maintainers is not one.

    A whole word such as `--out` in a list of words is the argument of another program.
    """
    tree = ast.parse(source)
    docstrings = set(map(id, _docstrings(tree)))
    arguments = set(map(id, _arguments(tree)))
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if id(node) in docstrings or (id(node) in arguments and ARGUMENT.fullmatch(node.value)):
            continue
        if PROGRAM.search(node.value) or OPTION.search(node.value):
            found.append(f"{node.lineno}: {node.value!r}")
    return found


def _docstrings(tree: ast.AST) -> Iterator[ast.expr]:
    """Strings that are statements: of modules, classes, functions, and below a name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def _arguments(tree: ast.AST) -> Iterator[ast.expr]:
    """The words of command lines of other programs: members of lists and tuples that begin with a
    program's name, spelled out, or held by a name where the word is no option of ours.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.List | ast.Tuple) or not node.elts:
            continue
        first, *rest = node.elts
        if isinstance(first, ast.Constant):
            yield from rest if re.match(r"[a-z]", str(first.value)) else ()
        elif isinstance(first, ast.Name):
            words = (word for word in rest if isinstance(word, ast.Constant))
            yield from (word for word in words if word.value not in OWN)


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] != "cli")


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_string_outside_the_command_line_spells_it(module: Path) -> None:
    assert spoken(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        'raise UsageError("--vote and --draft exclude each other")',
        'raise UsageError(f"{name}: --crop leaves nothing")',
        'raise UsageError("one page is read (--page)")',
        'hint = "qvq models"',
        'hint = f"qvq pull {name}"',
        'hint = "QVQ_DEBUG=1 qvq ask ..."',
        'for field in ("--detail", "--crop"): pass',
        'check(frames, "--fps")',
        'told = (name, "--fps")',
    ],
)
def test_what_spells_it_is_found(source: str) -> None:
    assert len(spoken(source)) >= 1


@pytest.mark.parametrize(
    "source",
    [
        '"""`qvq ask --detail` in a docstring."""',
        'RunProgram(("sips", "-Z", "4000", name, "--out", out))',
        'run([tool, "--no-newline", "--type", kind])',
        'f"{source}: qvq reads files"',
        '"a line -- with a dash"',
    ],
)
def test_what_does_not_is_left(source: str) -> None:
    assert spoken(source) == []
