"""The commands, and which of them `qvq IMAGE QUESTION` means."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated

import typer

from qvq_mlx.cli import options
from qvq_mlx.cli.help import COMMAND_GROUPS, GroupedCommands, GroupedOptions
from qvq_mlx.cli.slips import OF_QUESTIONS, WITHOUT_COMMAND
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.image_names import is_image
from qvq_mlx.core.remedies import Ask, Typed

_PLACES = {
    "list": "models.list_models",
    "prune": "rm.prune",
    "import": "import_",
    "eval": "eval.evaluate",
    "schema": "json_schema.schema",
    "ps": "serve.ps",
    "stop": "serve.stop",
    "licence": "show.licence",
}
"""The module and function of a command, where they have not its name."""
COMMANDS = tuple(name for group in COMMAND_GROUPS.values() for name in group)


def app_with(commands: Sequence[str] = COMMANDS) -> typer.Typer:
    """The program with these commands: what runs one of them imports no other."""
    app = typer.Typer(
        name="qvq",
        cls=GroupedCommands,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(root)
    for command in commands:
        name, _, function_name = _PLACES.get(command, command).partition(".")
        module = import_module(f"qvq_mlx.cli.{name}")
        function = getattr(module, function_name or name)
        if isinstance(function, typer.Typer):
            app.add_typer(function, name=command)
        else:
            if command in (*OF_QUESTIONS, "eval", "serve", "fit"):
                function = options.with_engine(function)
            kind = GroupedOptions if command == "ask" else None
            app.command(command, cls=kind, help=getattr(module, "HELP", None))(function)
    return app


def root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and exit.")
    ] = False,
) -> None:
    """Ask a visual-reasoning model about an image, on your own machine.

    qvq IMAGE "question" is short for qvq ask IMAGE "question".
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise UsageError("no command is given", Ask())


_ROOT_OPTIONS = ("-h", "--help", "-V", "--version")


def with_command(argv: Sequence[str], exists: Callable[[str], bool]) -> list[str]:
    """`argv` with `ask` in front where an image or a question, not a command, was meant.

    `help COMMAND` is `COMMAND --help`. Raises UsageError for the help of what is no command.
    """
    if argv and argv[0] == "help":
        return _help(argv[1:])
    if not argv or argv[0] in COMMANDS:
        return list(argv)
    first = argv[0]
    is_option_of_ask = first.startswith("-") and first not in _ROOT_OPTIONS
    is_question = any(character.isspace() for character in first)
    if is_option_of_ask or is_question or any(is_image(argument, exists) for argument in argv):
        return ["ask", f"{WITHOUT_COMMAND}={shlex.join(argv)}", *argv]
    return list(argv)


def _help(words: Sequence[str]) -> list[str]:
    """The command line that shows the help which was asked for."""
    if not words or words[0] == "help":
        return ["--help"]
    if words[0] not in COMMANDS:
        from qvq_mlx.core.near import meant

        said = f"there is no command {words[0]}{meant(words[0], COMMANDS)}"
        raise UsageError(said, Typed("qvq --help"))
    return [*words, "--help"]
