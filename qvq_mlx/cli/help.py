"""Lay out `--help`: commands and options in groups, no description cut, examples.

typer asks for subclasses here; they change how help is laid out and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click.core import Context
    from typer._click.formatting import HelpFormatter

_Entry = TypeVar("_Entry")

COMMAND_GROUPS = {
    "Ask": ("ask", "chat", "batch"),
    "Runs": ("last", "log"),
    "Models": (
        *("models", "list", "show", "licence", "fit", "pull", "verify", "rm", "prune"),
        *("export", "import", "convert"),
    ),
    "Data": ("split", "schema", "eval"),
    "Serve": ("mcp",),
    "Machine": ("doctor", "config", "cache", "completion"),
}
_EXAMPLES = (
    'qvq -m tiny shapes.png "How many red circles are there?"',
    'qvq ask photo.jpg "What is this?"',
    "qvq help ask",
)
OPTION_GROUPS = {
    "Most used": (
        *("--model", "--continue", "--budget", "--detail", "--thinking", "--json", "-x"),
        *("--output", "--quiet", "--help"),
    ),
    "Pictures": (
        *("--image", "--page", "--crop", "--background", "--fps", "--frames", "--span"),
        *("--annotate", "--show", "--boxes"),
    ),
    "Thinking": ("-R", "--max-tokens", "--vote", "--double-check"),
    "Answer": ("--question", "--answer-tokens", "--lang", "--schema"),
    "Output": ("--jsonl", "--verbose", "--no-save"),
    "Model": ("--system", "--temp", "--top-p", "--top-k", "--min-p", "--seed", "--offline"),
    "Speed": ("--draft", "--no-cache", "--force", "--no-wait"),
}


class GroupedCommands(TyperGroup):
    """The program: its commands in groups."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the groups, and the examples below them."""
        left = dict(self.commands)
        groups = {name: _taken(left, names) for name, names in COMMAND_GROUPS.items()}
        column = max(map(len, self.commands))
        for name, found in {**groups, "More": [*left.items()]}.items():
            rows = [
                (command.ljust(column), described.get_short_help_str(1000).rstrip("."))
                for command, described in found
                if not described.hidden
            ]
            if rows:
                with formatter.section(name):
                    formatter.write_dl(rows)
        with formatter.section("Examples"):
            for example in _EXAMPLES:
                formatter.write(f"  {example}\n")
        del ctx


class GroupedOptions(TyperCommand):
    """A command with many options: those that people use first, then the others by subject."""

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the groups."""
        left = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                left[max(parameter.opts, key=len)] = record
        groups = {name: _taken(left, names) for name, names in OPTION_GROUPS.items()}
        for name, found in {**groups, "More": [*left.items()]}.items():
            if found:
                with formatter.section(name):
                    formatter.write_dl([record for _, record in found])


def _taken(left: dict[str, _Entry], names: Iterable[str]) -> list[tuple[str, _Entry]]:
    """Take these out of `left`, those that are there."""
    return [(name, left.pop(name)) for name in names if name in left]
