"""A test that stands in for a Mac's tool says where it was read what the tool says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

TOOLS = (
    *("screencapture", "sips", "caffeinate", "pbcopy", "osascript", "vm_stat", "pmset", "tmutil"),
    *("ioreg", "sw_vers", "ENOTSUP", "AppleDouble"),
)
HERE = Path(__file__)
FILES = [
    path
    for path in sorted((ROOT / "tests").rglob("test_*.py"))
    if path != HERE
    and path.name not in {"test_command_line_words.py", "test_metal.py", "test_images.py"}  # hints
    and re.search(rf'["/.](?:{"|".join(TOOLS)})["\b]', path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_names_its_source(path: Path) -> None:
    assert re.search(r"https://[\w.]+/\S+", path.read_text(encoding="utf-8"))


def test_they_are_found() -> None:
    assert {"test_sources.py", "test_awake.py", "test_machine.py"} <= {path.name for path in FILES}
