"""`qvq completion`: what a shell calls when Tab is pressed, and the script that calls it.

    qvq completion zsh                  the script
    qvq completion zsh -- -m qw         what may stand in the place of the last word

Law: everything is read off the commands themselves, so a new command or option is completed
without a line here; what stands in an option's metavar says what it takes. `low|medium` are words,
a name in capitals is one of `run.completions.SOURCES`. Nothing heavy is imported, no model is
opened, and nothing is written: a Tab must not be felt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.render.completions import Files, Folders, Found, Shell, Word, lines_for
from qvq_mlx.run.completions import SOURCES, images

if TYPE_CHECKING:
    from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

    Command = TyperCommand | TyperGroup

    from qvq_mlx.run.world import World


def completion(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish")],
    words: Annotated[list[str] | None, typer.Argument(metavar="[-- WORD...]", hidden=True)] = None,
) -> None:
    """Print a script that completes commands, options, models and images.

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
    from typer.core import TyperGroup
    from typer.main import get_command

    from qvq_mlx.cli.app import app_with, with_command
    from qvq_mlx.core.image_names import on_disk

    root = get_command(app_with())
    assert isinstance(root, TyperGroup)
    before, current = list(words[:-1]), words[-1]
    if not before:
        if commands := _commands(root, current):
            return commands
        if not current.startswith("-"):
            return images()
    command, rest = _command(root, with_command([*before, current], on_disk)[:-1])
    return _in_command(command, rest, current, world)


def _commands(command: Command, current: str) -> tuple[Word, ...]:
    commands: dict[str, Command] = getattr(command, "commands", {})
    return tuple(
        Word(name, _first_line(inner.help))
        for name, inner in commands.items()
        if name.startswith(current) and not inner.hidden
    )


def _command(command: Command, words: Sequence[str]) -> tuple[Command, list[str]]:
    """The command that the words lead to, and the words that it gets."""
    for index, word in enumerate(words):
        inner: dict[str, Command] = getattr(command, "commands", {})
        if word not in inner:
            return command, list(words[index:])
        command = inner[word]
    return command, []


def _in_command(command: Command, words: Sequence[str], current: str, world: World) -> Found:
    """A value, an option, or an argument."""
    from typer.core import TyperOption

    options = [one for one in command.params if isinstance(one, TyperOption)]
    named = {name: one for one in options for name in (*one.opts, *one.secondary_opts)}
    open_option: TyperOption | None = None
    given: set[str] = set()
    arguments, only_arguments = 0, False
    for word in _joined(words):
        if open_option is not None:
            open_option = None
        elif only_arguments or word == "-" or not word.startswith("-"):
            arguments += 1
        elif word == "--":
            only_arguments = True
        else:
            name, equals, _ = word.partition("=")
            option = named.get(name) or named.get(f"-{word[-1]}")  # -xq is -x -q
            if option is not None:
                given.update(() if option.multiple else option.opts)
                open_option = None if option.is_flag or equals else option
    name, equals, value = current.partition("=")
    if current == "=" and open_option is not None:
        return _values(open_option, "", world)  # bash cuts a word at `=`
    if open_option is not None:
        return _values(open_option, current, world)
    if not only_arguments and equals and name in named:
        return _values(named[name], value, world)
    if current.startswith("-") and not only_arguments:
        return _options(options, given, current)
    if inner := _commands(command, current):
        return inner
    return _argument(command, arguments, current, world)


def _joined(words: Sequence[str]) -> list[str]:
    """The words without the `=` that bash makes a word of its own of."""
    return [word for word in words if word != "="]


def _options(options: Iterable[TyperOption], given: set[str], current: str) -> tuple[Word, ...]:
    """The names that begin so; the long ones, unless there is none or a short one is begun."""
    found = [Word("--help", "Show this message and exit.")] if "--help" not in given else []
    for option in options:
        if option.hidden or given.intersection(option.opts):
            continue
        long = [name for name in option.opts if name.startswith("--")]
        names = option.opts if current != "--" and not current.startswith("--") else long
        found += [Word(name, _first_line(option.help)) for name in (names or option.opts)]
    return tuple(
        sorted({w.value: w for w in found if w.value.startswith(current)}.values(), key=_key)
    )


def _key(word: Word) -> str:
    return word.value.lstrip("-").casefold()


def _argument(command: Command, index: int, current: str, world: World) -> Found:
    from typer.core import TyperArgument

    arguments = [one for one in command.params if isinstance(one, TyperArgument)]
    if not arguments:
        return ()
    several = arguments[-1].nargs != 1
    if index >= len(arguments) and not several:
        return ()
    return _values(arguments[min(index, len(arguments) - 1)], current, world)


def _values(parameter: TyperOption | TyperArgument, current: str, world: World) -> Found:
    """Return the values that a metavar lists."""
    from typer import Context
    from typer.core import TyperCommand

    kinds = parameter.metavar or parameter.display_type(Context(TyperCommand("qvq")))
    words: list[Word] = []
    files: Files | Folders | None = None
    if parameter.name in _NAMED:
        kinds = _NAMED[parameter.name]
    # a metavar of the command's own may hold examples in digits; the values of an enum are words
    word = r"[a-z][a-z0-9.-]*" if parameter.metavar else r"[a-z0-9][a-z0-9.-]*"
    for kind in re.findall(r"[\w-]+(?:\.[\w-]+)*", kinds):
        source = SOURCES.get(kind)
        if source is not None:
            found = source(world)
            if isinstance(found, tuple):
                words += found
            else:
                files = found
        elif re.fullmatch(word, kind):
            words.append(Word(kind))
    admission = tuple(word for word in words if word.value.startswith(current))
    if admission or files is None:
        return admission
    return files


_NAMED = {"image": "IMAGE", "schema": "SCHEMA", "model": "MODEL|FOLDER"}
"""Parameters whose metavar says less than their name."""


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
