"""What the system is asked for, it is asked for in one room: read from the syntax tree."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "qvq_mlx"

MODULES = {"fcntl", "tempfile", "subprocess"}
ALLOWED_IMPORTS = {
    "evaluate/judge.py": {"subprocess"},  # it starts its judge anew within one run
}
MOVES = {"rename", "renames", "link", "symlink", "symlink_to", "hardlink_to", "link_to"}
WRITES = {"write_text", "write_bytes"}
ALLOWED_WRITES = {
    "run/convert.py": "into the staged folder, which nobody else can enter",
    "engine/convert.py": "into the staged folder",
    "engine/shards.py": "into the staged folder",
    "store/archive.py": "into the pending file, and into a staging folder of its own",
    "images/mac.py": "into the scratch folder",
    "images/quiet.py": "to /dev/null",
}
"""Why a file may write without the atomic writer."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith("system/"):
            yield name, ast.parse(path.read_text("utf-8"))


def imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def moves(tree: ast.Module) -> list[str]:
    """Calls that rename or link a file. `text.replace` takes two arguments, `path.replace` one."""
    found = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        function, owner = node.func.attr, node.func.value
        of_os = isinstance(owner, ast.Name) and owner.id in ("os", "shutil")
        one = len(node.args) == 1 and not node.keywords
        # a live answer on the screen has a `replace` of its own
        of_screen = ast.unparse(owner) in ("answer", "self._answer")
        if (
            function in MOVES
            or (of_os and function in ("replace", "move"))
            or (function == "replace" and one and not of_screen)
        ):
            found.append(f"{node.lineno}: {ast.unparse(node)[:60]}")
    return found


def writes(tree: ast.Module) -> list[str]:
    """Calls that open a file to write it."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        modes = [
            value.value
            for value in (*node.args, *(keyword.value for keyword in node.keywords))
            if isinstance(value, ast.Constant) and isinstance(value.value, str)
        ]
        opens = name == "open" and any(set(mode) & set("wax+") and len(mode) < 4 for mode in modes)
        truncates = "O_TRUNC" in ast.unparse(node) and name == "open"
        to_stdout = ast.unparse(node.func) == "listing.write_text"
        if (name in WRITES and not to_stdout) or opens or truncates:
            found.append(f"{node.lineno}: {ast.unparse(node)[:60]}")
    return found


def test_locks_scratch_files_and_programs_have_one_home() -> None:
    found = {name: imported(tree) & MODULES for name, tree in trees()}
    assert {name: modules for name, modules in found.items() if modules} == ALLOWED_IMPORTS


def test_files_are_renamed_and_linked_in_one_place() -> None:
    assert {name: calls for name, tree in trees() if (calls := moves(tree))} == {}


def test_files_are_written_by_one_writer() -> None:
    found = {name: calls for name, tree in trees() if (calls := writes(tree))}
    assert not {name: calls for name, calls in found.items() if name not in ALLOWED_WRITES}
    assert set(ALLOWED_WRITES) <= set(found), "an exception that is no longer needed"


def test_the_system_is_the_standard_library_alone() -> None:
    for path in (PACKAGE / "system").glob("*.py"):
        names = imported(ast.parse(path.read_text("utf-8"))) - {"__future__"}
        assert names <= sys.stdlib_module_names | {"qvq_mlx"}, path
        own = {
            node.module
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qvq_mlx")
        }
        assert all(name.startswith("qvq_mlx.system") for name in own), path


@pytest.mark.parametrize(
    ("code", "is_move"),
    [
        ("path.replace(target)", True),
        ("os.replace(a, b)", True),
        ("os.rename(a, b)", True),
        ("path.rename(b)", True),
        ("path.symlink_to(b)", True),
        ("text.replace('a', 'b')", False),
        ("replace(value, field=1)", False),
        ("time.replace(tzinfo=UTC)", False),
    ],
)
def test_a_move_is_seen(code: str, is_move: bool) -> None:
    assert bool(moves(ast.parse(code))) == is_move


@pytest.mark.parametrize(
    ("code", "is_write"),
    [
        ("path.write_bytes(b'')", True),
        ("path.write_text('')", True),
        ("open(path, 'w')", True),
        ("path.open('xb')", True),
        ("os.open(path, os.O_WRONLY | os.O_TRUNC)", True),
        ("path.open('rb')", False),
        ("path.open()", False),
    ],
)
def test_a_write_is_seen(code: str, is_write: bool) -> None:
    assert bool(writes(ast.parse(code))) == is_write
