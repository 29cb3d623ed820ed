"""The run asked last, runs that could not be saved, and pictures that outlive their runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES, World

Build = Callable[..., World]
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PICTURE = str(EXAMPLES / "sum.png")


def asked(build: Build, answer: str, *, at: datetime = NOW, options: tuple[str, ...] = ()) -> World:
    there = build([f"Hm.\n\n**Final Answer**\n\n{answer}"])
    there.env = replace(there.env, now=lambda: at)
    there.run("ask", "-m", "tiny", *options, PICTURE, "How many?")
    return there


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "qvq" / "data" / "history"


def test_with_the_clock_set_back_the_run_asked_last_is_the_last(world: Build) -> None:
    asked(world, "first")
    asked(world, "second", at=NOW - timedelta(days=3))
    last = world()
    assert last.run("last") == 0
    assert last.out == "second\n"
    asked(world, "third", at=NOW + timedelta(days=1))
    last = world()
    assert last.run("last") == 0
    assert last.out == "third\n"


def test_the_note_of_the_last_run_is_not_believed_without_its_run(world: Build) -> None:
    asked(world, "first")
    asked(world, "second", at=NOW - timedelta(days=3))
    listing = world()
    listing.run("log", "path")
    folder = Path(listing.out.strip())
    min(folder.glob("*.jsonl")).unlink()
    last = world()
    assert last.run("last") == 0
    assert last.out == "first\n"


@pytest.mark.parametrize("options", [(), ("-q",), ("-v",), ("--json",)])
def test_a_run_that_is_not_saved_is_said_and_not_followed(
    world: Build, options: tuple[str, ...]
) -> None:
    asked(world, "first")
    where = world()
    where.run("log", "path")
    folder = Path(where.out.strip())
    folder.rename(folder.with_name("away"))
    folder.write_text("a file, so nothing can be saved")
    there = asked(world, "second", options=options)
    assert there.err.count("note[history]: this run is not saved") == 1, there.err
    folder.unlink()
    folder.with_name("away").rename(folder)
    follow = world(["never"])
    assert follow.run("ask", "-c", "And then?") == 6
    assert "the last run of this terminal could not be saved" in follow.err
    asked(world, "third")
    follow = world(["Hm.\n\n**Final Answer**\n\nfourth"])
    assert follow.run("ask", "-c", "And then?") == 0
    assert follow.out == "fourth\n"


@pytest.mark.parametrize("is_before", [True, False])
def test_no_kept_picture_outlives_the_last_run(world: Build, is_before: bool) -> None:
    asked(world, "first")
    where = world()
    where.run("log", "path")
    pictures = Path(where.out.strip()) / "pictures"
    pictures.mkdir(exist_ok=True)
    if is_before:
        (pictures / ("a" * 64)).write_bytes(b"picture")
    assert world().run("log", "prune", "--keep", "0", "--yes") == 0
    (pictures / ("b" * 64)).write_bytes(b"picture")
    assert world().run("log", "prune", "--keep", "0", "--yes") == 0
    assert not list(pictures.iterdir())
