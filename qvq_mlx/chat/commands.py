"""Read a line of a chat: a question, a picture, or a `/command`.

Law: a line is a command where its first word is `/` and a name of the list below; a first word that
is `/` and letters and nothing else is a misspelt one, and is never asked. A line that is the name
of an image, as a file that was dragged into the window leaves it, adds that image; one that names
images among other words asks about them (`core.mentioned`). `exit`, `quit` and `bye` leave.
Everything else is the question, over as many lines as were pasted.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from qvq_mlx.core.errors import ImageNotFoundError, UsageError
from qvq_mlx.core.mentioned import mentioned
from qvq_mlx.core.remedies import Typed


class Verb(StrEnum):
    """The commands, in the order of `/help`."""

    IMAGE = "image"
    MODEL = "model"
    BUDGET = "budget"
    DETAIL = "detail"
    THINKING = "thinking"
    RETRY = "retry"
    SAVE = "save"
    CLEAR = "clear"
    HELP = "help"
    QUIT = "quit"


USAGE = {
    Verb.IMAGE: ("PATH...", "show images with the next question"),
    Verb.MODEL: ("NAME", "ask this model from now on"),
    Verb.BUDGET: ("low|medium|high|N|none", "tokens of thinking, then the answer is asked for"),
    Verb.DETAIL: ("low|auto|high|max|N", "image tokens that a picture may take"),
    Verb.THINKING: ("tail|full|line|none", "how much of the thinking is shown"),
    Verb.RETRY: ("", "ask the last question again"),
    Verb.SAVE: ("FILE", "write the conversation as Markdown"),
    Verb.CLEAR: ("", "forget what was asked and shown"),
    Verb.HELP: ("", "this list"),
    Verb.QUIT: ("", "leave; so does Ctrl-D"),
}

LEAVING = ("exit", "quit", "bye")
"""A line that is one of these leaves too."""

_MISSPELT = re.compile(r"/[A-Za-z?]+")


@dataclass(frozen=True, slots=True)
class Question:
    """To be asked, about `pictures` too."""

    text: str
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A verb and what stands behind it, split into words as a shell would."""

    verb: Verb
    words: tuple[str, ...] = ()


def parse(line: str, is_image: Callable[[str], bool]) -> Question | Command | None:
    """Read `line`; None for an empty one. `is_image` tells whether a text names an image.

    Raises UsageError for a command that does not exist, or that lacks or cannot take a word, and
    ImageNotFoundError where the line names a picture that is not there.
    """
    text = line.strip()
    if not text:
        return None
    first, _, rest = text.partition(" ")
    if first[1:] in set(Verb) and first.startswith("/"):
        return _command(Verb(first[1:]), rest.strip())
    dropped = _words(text)
    if "\n" not in text and dropped and all(is_image(word) for word in dropped):
        return Command(Verb.IMAGE, dropped)
    if _MISSPELT.fullmatch(first):
        close = difflib.get_close_matches(first[1:].lower(), list(Verb), n=1)
        meant = f"; did you mean /{close[0]}?" if close else ""
        known = ", ".join(f"/{verb}" for verb in Verb)
        raise UsageError(f"there is no {first}{meant or '.'} There are {known}", Typed("/help"))
    if text.lower() in LEAVING:
        return Command(Verb.QUIT)
    found = mentioned(text, is_image)
    if found.missing is not None:
        raise ImageNotFoundError(f"{found.missing}: there is no such file", Typed("/image PATH"))
    if found.pictures and not found.question:
        return Command(Verb.IMAGE, found.pictures)
    return Question(found.question, found.pictures)


def help_lines() -> list[str]:
    """Return the text of `/help`."""
    rows = [(f"/{verb} {USAGE[verb][0]}".rstrip(), USAGE[verb][1]) for verb in Verb]
    width = max(len(usage) for usage, _ in rows)
    return [
        *(f"{usage:{width}}  {meaning}" for usage, meaning in rows),
        "Ctrl-C stops an answer (the first press asks for it now) and clears a line.",
        "Alt-Enter starts a new line; pasted lines stay together.",
    ]


def _command(verb: Verb, rest: str) -> Command:
    words = _words(rest)
    usage = f"/{verb} {USAGE[verb][0]}".rstrip()
    takes = USAGE[verb][0]
    if words and not takes:
        raise UsageError(f"/{verb} stands alone", Typed(usage))
    if len(words) > 1 and not takes.endswith("..."):
        raise UsageError(f"/{verb} takes one word", Typed(usage))
    if not words and verb in (Verb.IMAGE, Verb.SAVE):
        raise UsageError(f"/{verb} needs a name: {usage}", Typed(usage))
    return Command(verb, words)


def _words(text: str) -> tuple[str, ...]:
    """Quotes and backslashes as in a shell; a text that a shell could not read is one word."""
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return (text,)
