"""Sorts the positional arguments of `qvq ask` into images and the question.

Law: what `core.image_names` takes for an image is one; everything else is the question, and there
is at most one. What it takes for an image, and is none, is given with `--question`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.image_names import is_image
from qvq_mlx.core.remedies import Typed


@dataclass(frozen=True, slots=True)
class Sorted:
    """The images in the order they were given, and the question, if there is one."""

    images: tuple[str, ...]
    question: str | None


def sort(arguments: Sequence[str], exists: Callable[[str], bool]) -> Sorted:
    """Tell images from the question; `exists` says whether a path lies on disk.

    Raises UsageError for an empty argument and for a second question.
    """
    images: list[str] = []
    questions: list[str] = []
    for argument in arguments:
        # first, because the empty path is the current folder, and that exists
        if not argument.strip():
            raise UsageError("the question is empty", Typed(_command(images, "question")))
        (images if is_image(argument, exists) else questions).append(argument)
    if len(questions) > 1:
        raise UsageError(
            f"{_short(questions[0])!r} and {_short(questions[1])!r} are two questions;"
            " quote a question of several words",
            Typed(_command(images, " ".join(questions))),
        )
    return Sorted(tuple(images), questions[0] if questions else None)


def _short(text: str) -> str:
    """Enough of `text` to recognise it by."""
    return text if len(text) <= 40 else text[:39] + "…"


def _command(images: Sequence[str], question: str) -> str:
    """A whole command line that is right."""
    return shlex.join(["qvq", "ask", *(images or ["IMAGE"])]) + " " + _quoted(question)


def _quoted(question: str) -> str:
    """Quoted also where a single word would not need it: the quotes are what the hint shows."""
    quoted = shlex.quote(question)
    return quoted if quoted.startswith("'") else f"'{question}'"
