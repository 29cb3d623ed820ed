"""Completes the last word of a command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qvq_mlx.render.completions import Files, Folders, Found, Word
from qvq_mlx.run.completions import SOURCES, images
from qvq_mlx.run.world import World

_NAMED = {"image": "IMAGE", "schema": "SCHEMA", "model": "MODEL|FOLDER"}
"""Parameters whose metavar says less than their name."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """An option or an argument. `takes`: `low|medium` are words, capitals are one of SOURCES."""

    name: str
    spelled: tuple[str, ...]
    help: str
    takes: str
    lists_its_values: bool
    """`takes` holds all values, read off an enum, and not a metavar with examples."""
    is_flag: bool
    is_hidden: bool
    is_repeated: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command, with the commands below it by name."""

    help: str
    is_hidden: bool
    commands: Mapping[str, Command]
    options: tuple[Parameter, ...]
    arguments: tuple[Parameter, ...]


def complete_line(
    program: Command,
    words: Sequence[str],
    with_command: Callable[[Sequence[str]], list[str]],
    world: World,
) -> Found:
    """Return completions for the last of `words`; `with_command` adds a command left unsaid."""
    before, current = list(words[:-1]), words[-1]
    if not before:
        if commands := _commands(program, current):
            return commands
        if not current.startswith("-"):
            return images()
    command, rest = _innermost(program, with_command([*before, current])[:-1])
    return _in_command(command, rest, current, world)


def _commands(command: Command, current: str) -> tuple[Word, ...]:
    return tuple(
        Word(name, inner.help)
        for name, inner in command.commands.items()
        if name.startswith(current) and not inner.is_hidden
    )


def _innermost(command: Command, words: Sequence[str]) -> tuple[Command, list[str]]:
    """The command that the words lead to, and the words that it gets."""
    for index, word in enumerate(words):
        if word not in command.commands:
            return command, list(words[index:])
        command = command.commands[word]
    return command, []


def _in_command(command: Command, words: Sequence[str], current: str, world: World) -> Found:
    """A value, an option, or an argument."""
    named = {name: one for one in command.options for name in one.spelled}
    open_option: Parameter | None = None
    given: set[str] = set()
    arguments, only_arguments = 0, False
    for word in words:
        if word == "=":
            continue  # bash makes a word of its own of it
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
                given.update(() if option.is_repeated else option.spelled)
                open_option = None if option.is_flag or equals else option
    name, equals, value = current.partition("=")
    if current == "=" and open_option is not None:
        return _values(open_option, "", world)  # bash cuts a word at `=`
    if open_option is not None:
        return _values(open_option, current, world)
    if not only_arguments and equals and name in named:
        return _values(named[name], value, world)
    if current.startswith("-") and not only_arguments:
        return _options(command.options, given, current)
    if inner := _commands(command, current):
        return inner
    return _argument(command.arguments, arguments, current, world)


def _options(options: Iterable[Parameter], given: set[str], current: str) -> tuple[Word, ...]:
    """The names that begin so; the long ones, unless there is none or a short one is begun."""
    found: list[Word] = []
    for option in options:
        if option.is_hidden or given.intersection(option.spelled):
            continue
        long = [name for name in option.spelled if name.startswith("--")]
        names = option.spelled if not current.startswith("--") else long
        found += [Word(name, option.help) for name in (names or option.spelled)]
    beginning = {word.value: word for word in found if word.value.startswith(current)}
    return tuple(sorted(beginning.values(), key=lambda word: word.value.lstrip("-").casefold()))


def _argument(arguments: Sequence[Parameter], index: int, current: str, world: World) -> Found:
    if not arguments or (index >= len(arguments) and not arguments[-1].is_repeated):
        return ()
    return _values(arguments[min(index, len(arguments) - 1)], current, world)


def _values(parameter: Parameter, current: str, world: World) -> Found:
    """Return the values that a metavar lists."""
    words: list[Word] = []
    files: Files | Folders | None = None
    # a metavar of the command's own may hold examples in digits; the values of an enum are words
    word = r"[a-z0-9][a-z0-9.-]*" if parameter.lists_its_values else r"[a-z][a-z0-9.-]*"
    for kind in re.findall(r"[\w-]+(?:\.[\w-]+)*", _NAMED.get(parameter.name, parameter.takes)):
        source = SOURCES.get(kind)
        if source is not None:
            found = source(world)
            if isinstance(found, tuple):
                words += found
            else:
                files = found
        elif re.fullmatch(word, kind):
            words.append(Word(kind))
    beginning = tuple(word for word in words if word.value.startswith(current))
    return beginning if beginning or files is None else files
