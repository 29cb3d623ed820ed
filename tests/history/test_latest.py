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
    assert f"is not saved in {folder}: File exists" in there.err
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


def broken(build: Build) -> list[Path]:
    """Newer files than any run that are none: NULs, a link to nowhere, a stray name."""
    listing = build()
    listing.run("log", "path")
    history = Path(listing.out.strip())
    found = [history / f"2099{number}231-000000-000000-deadbee{number}.jsonl" for number in (1, 2)]
    found[0].write_bytes(bytes(40))
    found[1].symlink_to("nowhere")
    (history / "zzz.jsonl").write_text("stray\n")
    return [*found, history / "zzz.jsonl"]


@pytest.mark.parametrize("command", [("list",), ("search", "many"), ("list", "--json")])
def test_files_that_are_no_runs_are_counted(world: Build, command: tuple[str, ...]) -> None:
    asked(world, "first")
    newest = broken(world)[-1]
    there = world()
    assert there.run("log", *command) == 0
    assert "How many?" in there.out
    assert there.err == f"warning: left out 3 unreadable files, the newest {newest}\n"


def test_a_follow_up_says_which_newer_files_it_passes_over(world: Build) -> None:
    asked(world, "first")
    files = broken(world)
    there = world(["Hm.\n\n**Final Answer**\n\nagain"])
    assert there.run("ask", "-c", "And now?") == 0
    assert there.out == "again\n"
    assert all(f"warning: {file} is no saved run" in there.err for file in files)
    assert "Errno" not in there.err


def test_the_newest_that_are_kept_are_runs(world: Build) -> None:
    asked(world, "first", at=NOW - timedelta(days=1))
    asked(world, "second")
    files = broken(world)
    there = world()
    assert there.run("log", "prune", "--keep", "1", "-y") == 0
    assert there.out.startswith("erased 1 run,")
    last = world()
    assert last.run("last") == 0
    assert last.out == "second\n"
    assert all(file.is_symlink() or file.exists() for file in files)
    assert world().run("log", "prune", "--keep", "0", "-y") == 0
    assert [file.name for file in files if file.is_symlink() or file.exists()] == []
