"""The help of the program, which imports no command."""

from __future__ import annotations

from typer.main import get_command

from qvq_mlx.cli.app import app_with
from qvq_mlx.cli.help import COMMAND_GROUPS


def test_the_help_of_the_program_says_of_each_command_what_its_own_help_says() -> None:
    """It lists them without importing them."""
    commands = get_command(app_with()).commands  # type: ignore[attr-defined]
    own = {
        name: command.get_short_help_str(1000).rstrip(".")
        for name, command in commands.items()
        if not command.hidden
    }
    assert {name: does for group in COMMAND_GROUPS.values() for name, does in group.items()} == own
