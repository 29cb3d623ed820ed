"""Tells a slipped command word from a question: `qvq aks x.png`, `qvq -m tiny chat x.png`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.image_names import is_image
from qvq_mlx.core.remedies import Typed

WITHOUT_COMMAND = "--without-command"
"""A hidden option of `ask`: the word `ask` was not typed, and this was."""
OF_QUESTIONS = ("ask", "chat", "batch")


def check_slip(
    arguments: Sequence[str], line: str, commands: Sequence[str], exists: Callable[[str], bool]
) -> None:
    """Raise UsageError where the question is one word that is a command, or, standing first, is
    close to one, or where it begins with the word of a command that takes questions. `line` is what
    was typed behind `qvq`, and `arguments` what of it belongs to no option.
    """
    words = [argument for argument in arguments if not is_image(argument, exists)]
    if not words or words[0].strip() != words[0] or not words[0].isascii():
        return
    from qvq_mlx.core.near import near

    word, near_ones = words[0], commands if arguments[0] == words[0] else ()
    if len(words) > 1:
        command = word if word in OF_QUESTIONS else None
    else:
        command = word if word in (*commands, "help") else near(word, near_ones)
    if command is None:
        return
    rest = shlex.split(line)
    rest.remove(word)
    said = "is a command" if command == word else f"is close to the command {command}"
    raise UsageError(
        f"{word!r} {said}, and commands come first; as a question it goes behind -Q",
        Typed("qvq --help" if command == "help" else shlex.join(["qvq", command, *rest])),
    )


def with_what_was_meant(message: str) -> str:
    """Return typer's message; the word that is near stands where it lists those that may."""
    from qvq_mlx.core.near import meant

    message = message.replace(": Value error, ", ": ")
    found = re.search(r"'([^']*)' is not one of ('.*)", message)
    return message + meant(found[1], re.findall(r"'([^']*)'", found[2])) if found else message
