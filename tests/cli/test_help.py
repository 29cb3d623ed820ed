"""The help of the program, which imports no command."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from typer.main import get_command

from qvq_mlx.cli.app import app_with
from qvq_mlx.cli.help import COMMAND_GROUPS
from tests.conftest import World


def test_the_help_of_the_program_says_of_each_command_what_its_own_help_says() -> None:
    """It lists them without importing them."""
    commands = get_command(app_with()).commands  # type: ignore[attr-defined]
    own = {
        name: command.get_short_help_str(1000).rstrip(".")
        for name, command in commands.items()
        if not command.hidden
    }
    assert {name: does for group in COMMAND_GROUPS.values() for name, does in group.items()} == own


@pytest.mark.parametrize(("columns", "widest"), [(40, 50), (80, 78), (120, 98), (300, 98)])
def test_the_help_is_as_wide_as_the_window_and_no_wider_than_can_be_read(
    world: Callable[..., World], columns: int, widest: int
) -> None:
    w = world(tty=True, size=(columns, 24))
    assert w.run("help", "ask") == 0
    lengths = [len(line) for line in re.sub("\x1b\\[[0-9;]*m", "", w.out).splitlines()]
    assert widest - 12 <= max(lengths) <= widest
