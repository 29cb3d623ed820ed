"""Print every place that has to answer for a new model family.

Two made-up families are added to a copy of the code, and mypy reads the copy: one is a bare member
of the closed list, the other has an arm and classes that answer nothing. mypy's errors, and the
questions that the empty classes leave open, are what somebody who adds a family has to write. The
code itself is not touched. Exit code 1: one of the two led to no error, so that a family could be
forgotten in silence.

    python -m tools.add_family [--check]

`--check` prints the counts alone; `make check` runs it behind mypy, whose cache it uses (3 s; 12 s
of CPU without).
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
READ_BY_MYPY = ("qvq_mlx", "tools", "benchmarks", "examples", "pyproject.toml", ".mypy_cache")
HOME = Path("qvq_mlx") / "families"
MEMBERS = '    BARE = "bare"\n    MADE_UP = "made_up"\n'
ARM = """\
        case ModelType.MADE_UP:
            from qvq_mlx.families.made_up import MadeUp

            return MadeUp()
"""
CLASSES = '''\
"""A family that does not exist."""

from qvq_mlx.families.family import Family, Vision


class MadeUpVision(Vision):
    """Answers nothing."""


class MadeUp(Family):
    """Answers nothing."""

    vision = MadeUpVision()
'''
ERROR = re.compile(r"^(?P<place>[^:]+:\d+): error: (?P<what>.*)$", re.MULTILINE)


def main() -> int:
    """Print the places. Returns the exit code."""
    parser = argparse.ArgumentParser(description="What a new model family has to answer.")
    parser.add_argument("--check", action="store_true", help="print the counts alone")
    brief = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        _copy(copy)
        _insert(copy / HOME / "family.py", "class ModelType(StrEnum):", r'^    \w+ = "', MEMBERS)
        _insert(copy / HOME / "__init__.py", "match model_type:", r"^        case _:", ARM)
        (copy / HOME / "made_up.py").write_text(CLASSES, encoding="utf-8")
        errors = _errors(copy)
        questions = [
            *_abstract(copy / HOME / "family.py", "Family", answered={"vision"}),
            *_abstract(copy / HOME / "family.py", "Vision", answered=set()),
        ]
    matches = [error for error in errors if "ModelType.BARE" in error[1]]
    classes = [error for error in errors if "abstract class" in error[1]]
    for title, places in (
        ("Type errors of a new member of ModelType", matches),
        ("Type errors of its two classes, still empty", classes),
        ("Questions that they have to answer", questions),
    ):
        print(f"{title}: {len(places)}")
        for place, what in () if brief else places:
            print(f"  {place}: {what}")
    return 0 if matches and len(classes) == 2 and questions else 1


def _copy(target: Path) -> None:
    """With mypy's cache, if there is one: then it reads again only what is changed here."""
    for name in READ_BY_MYPY:
        source = ROOT / name
        if source.is_dir():
            skipped = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target / name, ignore=skipped)
        elif source.exists():
            shutil.copy2(source, target / name)


def _insert(path: Path, after: str, before: str, text: str) -> None:
    """Put `text` before the first line like `before` that follows the line `after`."""
    head, found, rest = path.read_text(encoding="utf-8").partition(after)
    where = re.search(before, rest, re.MULTILINE)
    if not found or where is None:
        raise SystemExit(f"{path.name} has no place for a new family behind {after!r}")
    changed = f"{head}{found}{rest[: where.start()]}{text}{rest[where.start() :]}"
    path.write_text(changed, encoding="utf-8")


def _errors(copy: Path) -> list[tuple[str, str]]:
    """Place and text of everything that mypy finds wrong with the copy."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"mypy did not run: {done.stderr.strip() or done.stdout.strip()}")
    return [(found["place"], found["what"]) for found in ERROR.finditer(done.stdout)]


def _abstract(path: Path, name: str, answered: set[str]) -> list[tuple[str, str]]:
    """Place and `class.member` of each question of a class that is not `answered`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    [found] = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    return [
        (f"{HOME / path.name}:{member.lineno}", f"{name}.{member.name}")
        for member in found.body
        if isinstance(member, ast.FunctionDef) and member.name not in answered
    ]


if __name__ == "__main__":
    sys.exit(main())
