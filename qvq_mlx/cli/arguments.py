"""Sorts the positional arguments of `qvq ask` into images and the question.

Law: what `core.image_names` takes for an image is one; everything else is the question, and there
is at most one. What it takes for an image, and is none, is given with `--question`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qvq_mlx.core.errors import ImageNotFoundError, UsageError
from qvq_mlx.core.image_names import is_image
from qvq_mlx.core.mentioned import mentioned
from qvq_mlx.core.remedies import Typed


@dataclass(frozen=True, slots=True)
class Sorted:
    """The images in the order they were given, and the question, if there is one."""

    images: tuple[str, ...]
    question: str | None


def sort(arguments: Sequence[str], exists: Callable[[str], bool]) -> Sorted:
    """Tell images from the question; `exists` says whether a path lies on disk.

    Pictures that the question names are images too. Raises UsageError for an empty argument and for
    a second question, ImageNotFoundError where the question names a picture that is not there.
    """
    images: list[str] = []
    questions: list[str] = []
    for argument in arguments:
        # first, because the empty path is the current folder, and that exists
        if not argument.strip():
            raise UsageError("the question is empty", Typed(_command(images, "question")))
        (images if is_image(argument, exists) else questions).append(argument)
    if not questions and len(images) > 1:
        for name in images:
            _check_question(name, exists)
    if len(questions) > 1:
        raise UsageError(
            f"{_short(questions[0])!r} and {_short(questions[1])!r} are two questions;"
            " quote a question of several words",
            Typed(_command(images, " ".join(questions))),
        )
    if not questions:
        return Sorted(tuple(images), None)
    found = mentioned(questions[0], exists)
    if found.missing is not None:
        raise _missing(found.missing, images, questions[0])
    if not found.pictures:
        return Sorted(tuple(images), questions[0])
    return Sorted((*images, *found.pictures), found.question or None)


def _check_question(text: str, exists: Callable[[str], bool]) -> None:
    """Raise ImageNotFoundError for a sentence that ends in the name of an image on no disk."""
    if any(character.isspace() for character in text) and not text.startswith(("/", ".", "~")):
        missing = mentioned(text, exists).missing
        if missing is not None and not exists(text):
            raise _missing(missing, (), text)


def _missing(name: str, images: Sequence[str], question: str) -> ImageNotFoundError:
    shown = shlex.join(images) if images else "IMAGE"
    return ImageNotFoundError(
        f"{name}: there is no such file; a name that is part of the question goes behind -Q",
        Typed(f"qvq ask {shown} -Q {_quoted(question)}"),
    )


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
