"""What a person at a shell reads of an error."""

from __future__ import annotations

import re
from collections.abc import Callable

from qvq_mlx.cli.spelling import CommandLine
from qvq_mlx.core.errors import QvqError

_SPELLING = CommandLine()


def sentence_of(error: QvqError) -> str:
    """The message, its fields as options."""
    return _SPELLING.sentence(error.parts)


def hint_of(error: QvqError) -> str:
    """The remedy as a command; '' where there is none."""
    return _SPELLING.remedy(error.remedy)


def telling(pattern: str) -> Callable[[QvqError], bool]:
    """A check for `pytest.raises`: whether `pattern` matches somewhere in the message."""
    return lambda error: re.search(pattern, sentence_of(error)) is not None
