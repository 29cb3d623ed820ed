"""CONTRIBUTING.md and docs/design.md name rooms, files and targets that are there."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
PLACES = sorted(set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", TEXT)))


@pytest.mark.parametrize("place", PLACES)
def test_a_file_that_is_named_is_there(place: str) -> None:
    assert (ROOT / place).exists() or (ROOT / "qvq_mlx" / place).exists()


def test_every_room_is_in_the_plan_and_in_the_design() -> None:
    rooms = {path.parent.name for path in (ROOT / "qvq_mlx").glob("*/__init__.py")}
    plan = TEXT.partition("## The house")[2].partition("[docs/design.md]")[0]
    named = re.findall(r"^    ((?:\w+ {1,2})+)", plan, re.MULTILINE)
    assert {room for line in named for room in line.split()} == rooms
    floors = (
        (ROOT / "docs" / "design.md").read_text().partition("| floor |")[2].partition("\n\n")[0]
    )
    cells = [line.split("|")[2] for line in floors.splitlines() if re.match(r"\| \d", line)]
    assert {room for cell in cells for room in re.findall(r"`(\w+)`", cell)} == rooms


def test_every_target_that_is_named_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^    )make ([a-z-]+)", TEXT, re.MULTILINE)) <= targets
