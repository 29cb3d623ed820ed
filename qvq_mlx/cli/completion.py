"""`qvq completion`: what a shell calls when Tab is pressed, and the script that calls it.

    qvq completion zsh                  the script
    qvq completion zsh -- -m qw         what may stand in the place of the last word

Law: everything is read off the commands themselves, so a new command or option is completed
without a line here; `run/completions.py` says what a metavar takes. Nothing heavy is imported, no
model is opened, and nothing is written: a Tab must not be felt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.render.completions import Found, Shell, lines_for

if TYPE_CHECKING:
    from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

    from qvq_mlx.run.completion_line import Command, Parameter
    from qvq_mlx.run.world import World


def completion(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish")],
    words: Annotated[list[str] | None, typer.Argument(metavar="[-- WORD...]", hidden=True)] = None,
) -> None:
    """Print a script that completes commands, options and names.

    bash: eval "$(qvq completion bash)" in ~/.bashrc. zsh: the same with zsh in ~/.zshrc, after
    compinit. fish: qvq completion fish > ~/.config/fish/completions/qvq.fish
    """
    from qvq_mlx.render.completion_scripts import SCRIPTS

    world: World = context.obj
    env = world.env
    if words is None:
        env.stdout.write(SCRIPTS[shell])
        return
    found = complete(words, world)
    env.stdout.write("".join(f"{line}\n" for line in lines_for(found, shell, words[-1], env)))


def complete(words: Sequence[str], world: World) -> Found:
    """Return completions for the last of `words`; the others stand before it after `qvq`."""
    from qvq_mlx.cli.app import with_command
    from qvq_mlx.core.image_names import on_disk
    from qvq_mlx.run.completion_line import complete_line

    return complete_line(_program(), words, lambda line: with_command(line, on_disk), world)


@cache
def _program() -> Command:
    from typer.main import get_command

    from qvq_mlx.cli.app import app_with

    return _command(get_command(app_with()))  # type: ignore[arg-type]


def _command(command: TyperCommand | TyperGroup) -> Command:
    """Describe a command and those below it as a value, for completion."""
    from typer import Context
    from typer.core import TyperArgument, TyperOption

    from qvq_mlx.run.completion_line import Command

    parameters = command.get_params(Context(command))
    inner: dict[str, TyperCommand | TyperGroup] = getattr(command, "commands", {})
    return Command(
        (command.help or "").strip().partition("\n")[0],
        command.hidden,
        {name: _command(one) for name, one in inner.items()},
        tuple(_parameter(one) for one in parameters if isinstance(one, TyperOption)),
        tuple(_parameter(one) for one in parameters if isinstance(one, TyperArgument)),
    )


def _parameter(one: TyperOption | TyperArgument) -> Parameter:
    from typer import Context
    from typer.core import TyperCommand

    from qvq_mlx.run.completion_line import Parameter

    return Parameter(
        name=one.name or "",
        spelled=(*one.opts, *one.secondary_opts),
        help=(getattr(one, "help", None) or "").strip().partition("\n")[0],
        takes=one.metavar or one.display_type(Context(TyperCommand("qvq"))),
        lists_its_values=one.metavar is None,
        is_flag=getattr(one, "is_flag", False),
        is_hidden=one.hidden,
        is_repeated=one.nargs != 1 or getattr(one, "multiple", False),
    )
