"""`qvq` alone in a terminal, and help in groups."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from qvq_mlx.cli.app import COMMANDS
from tests.conftest import World

Build = Callable[..., World]
STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 24)])
def test_the_first_screen_fits_and_says_what_to_type(world: Build, size: tuple[int, int]) -> None:
    w = world(tty=True, err_tty=True, size=size)
    assert w.run() == 0
    lines = STYLE.sub("", w.out).splitlines()
    assert all(len(line) < size[0] for line in lines)
    if size[0] >= 80:
        assert len(lines) <= 20
    text = " ".join(" ".join(lines).split())
    assert "on your own machine" in text
    assert text.index("qvq -m tiny") < text.index("qvq photo.jpg") < text.index("qvq models")
    assert "qvq pull " in text or "fits" in text


def test_without_a_terminal_it_is_a_usage_error(world: Build) -> None:
    w = world()
    assert w.run() == 2
    assert "no command is given" in w.err


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours_where_none_are_wanted(world: Build, environ: dict[str, str]) -> None:
    w = world(tty=True, err_tty=True, environ=environ)
    w.run()
    assert "\x1b[3" not in w.out


def test_help_names_every_command_and_cuts_nothing(world: Build) -> None:
    w = world()
    assert w.run("--help") == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", w.out, re.MULTILINE), command
    assert "..." not in w.out.partition("Ask:")[2]
    assert len(w.out.partition("Ask:")[2].splitlines()) == len(COMMANDS) + 16  # a row for each
    heads = ["Ask:", "Runs:", "Models:", "Data:", "Machine:", "Examples:"]
    places = [w.out.index(f"\n{head}\n") for head in heads]
    assert places == sorted(places)


def test_the_ten_most_used_options_come_first(world: Build) -> None:
    w = world()
    assert w.run("ask", "--help") == 0
    first = w.out.partition("Most used:")[2].partition("Pictures:")[0]
    assert len(re.findall(r"^  -", first, re.MULTILINE)) == 10
    assert "\nMore:\n" not in w.out
