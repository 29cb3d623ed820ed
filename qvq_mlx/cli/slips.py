"""Tells a slipped command word from a question: `qvq aks x.png`, `qvq -m tiny chat x.png`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Typed

WITHOUT_COMMAND = "--without-command"
"""A hidden option of `ask`: the word `ask` was not typed."""


def check_slip(
    arguments: Sequence[str],
    question: str | None,
    commands: Sequence[str],
    model: str | None = None,
) -> None:
    """Raise UsageError where the question is one word that is a command, or, standing first, is
    close to one. `arguments` were typed without a command, `model` behind `-m`.
    """
    if question is None or question.strip() != question or not question.isascii():
        return
    from qvq_mlx.core.near import near

    is_first = bool(arguments) and arguments[0] == question
    command = question if question in commands else near(question, commands) if is_first else None
    if question == "help":
        command = "help"
    if command is None:
        return
    rest = [argument for argument in arguments if argument != question]
    given = ["-m", model] if model and command != "help" else []
    said = "is a command" if command == question else f"is close to the command {command}"
    raise UsageError(
        f"{question!r} {said}, and commands come first; as a question it goes behind -Q",
        Typed(shlex.join(["qvq", command, *given, *rest])),
    )


def with_what_was_meant(message: str) -> str:
    """Return typer's message; the word that is near stands where it lists those that may."""
    from qvq_mlx.core.near import meant

    message = message.replace(": Value error, ", ": ")
    found = re.search(r"'([^']*)' is not one of ('.*)", message)
    return message + meant(found[1], re.findall(r"'([^']*)'", found[2])) if found else message
