"""The command line parses, spells and prints, and nothing else: held by the syntax tree.

A loop over items, events or downloads needs a `for` or a `while`; in `cli/` only what reads the
words of a command line has one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "qvq_mlx"
CLI = PACKAGE / "cli"
MOST_LINES = 3_000
MOST_FUNCTION_LINES = 60
MOST_PARAMETERS = 8
READ_WORDS = {"app.py", "arguments.py", "completion.py", "help.py", "quick.py", "spelling.py"}
"""Files that may loop: over the words of a command line, of a hint or of its help."""
FEATURES = ("batch", "chat", "doctor")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions(path: Path) -> Iterator[Function]:
    yield from (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def parameters(function: Function) -> list[ast.arg]:
    given = function.args
    return [*given.posonlyargs, *given.args, *given.kwonlyargs]


def is_command(function: Function) -> bool:
    """True if typer reads a command line off the signature."""
    first = next(iter(parameters(function)), None)
    return (
        first is not None
        and first.annotation is not None
        and (ast.unparse(first.annotation) == "typer.Context")
    )


def imports(path: Path) -> Iterator[str]:
    """Every module that a file names, also within a function."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def place(path: Path, node: ast.stmt) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def test_the_command_line_stays_small() -> None:
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in CLI.glob("*.py"))
    assert lines < MOST_LINES


def test_no_file_of_the_command_line_loops_over_work() -> None:
    loops = [
        place(path, node)
        for path in CLI.glob("*.py")
        if path.name not in READ_WORDS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.For | ast.AsyncFor | ast.While)
    ]
    assert loops == []


def test_no_file_of_the_command_line_knows_what_happens_while_work_is_done() -> None:
    """Events of a run or of a download are for loops, and loops are elsewhere."""
    events = ("qvq_mlx.core.events.", "qvq_mlx.store.hub")
    found = {
        f"{path.name} imports {name}"
        for path in CLI.glob("*.py")
        for name in imports(path)
        if name.startswith(events)
    }
    assert found == set()


def test_no_function_of_the_command_line_is_long() -> None:
    long = [
        f"{place(path, function)} {function.name}"
        for path in CLI.glob("*.py")
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno + 1 > MOST_FUNCTION_LINES
    ]
    assert long == []


def test_no_function_takes_more_than_eight_parameters_but_for_commands() -> None:
    wide = [
        f"{place(path, function)} {function.name}"
        for path in PACKAGE.rglob("*.py")
        for function in functions(path)
        if len(parameters(function)) > MOST_PARAMETERS
        and not (path.parent == CLI and is_command(function))
    ]
    assert wide == []


def test_a_feature_imports_no_other_one_and_nothing_of_the_command_line() -> None:
    for feature in FEATURES:
        others = tuple(f"qvq_mlx.{other}" for other in (*FEATURES, "cli") if other != feature)
        named = {name for path in (PACKAGE / feature).rglob("*.py") for name in imports(path)}
        assert named, f"{feature} has files"
        foreign = {
            name
            for name in named
            if name.split(".")[0] in ("typer", "click")
            or any(name == other or name.startswith(f"{other}.") for other in others)
        }
        assert foreign == set()


def test_what_is_looked_for_would_be_found() -> None:
    """The rules above are read off functions that break them."""
    module = ast.parse(
        "def command(context: typer.Context, a, b): ...\n"
        "def wide(a, b, c, d, e, f, g, *, h, i): ...\n"
    )
    command, wide = module.body
    assert isinstance(command, ast.FunctionDef)
    assert isinstance(wide, ast.FunctionDef)
    assert is_command(command)
    assert not is_command(wide)
    assert len(parameters(wide)) == MOST_PARAMETERS + 1
