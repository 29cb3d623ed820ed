"""Tells the name of an image from other text, by its spelling and by what lies on disk.

Law: what has the form of an image is never prompt text, whether it exists or not, so a misspelt
path fails (exit code 6) and is not asked about. A text names an image, in this order, when

1. it is `-` (stdin), `clip` (the clipboard) or `screen`; files of these names are `./clip` and
   `./screen`;
2. it exists on disk, whatever its name, or is a pattern with a `*` and no white space that
   names files;
3. it begins like a URL: `scheme://`, `data:image/` or `data:application/pdf`, or like base64
   data of any type: `data:...;base64,`;
4. it begins like a path: `/`, `./`, `../` or `~/`;
5. it ends in an image's extension, in any case and also with spaces in it
   ("Screenshot 2026-11-21 at 10.00.png"), and no punctuation follows;
6. it holds a `/` and no white space, does not begin with `~`, and does not end as a sentence
   does: `?`, `!`, `.` or their full-width forms.

"What is 3/4?", "Is 3/4 more than 1/2" and "Who drew cat.png?" are none of these. An image whose
name breaks the rules exists, so rule 2 finds it.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from pathlib import Path

_WORDS = ("-", "clip", "screen")
_URL = re.compile(
    r"[a-z][a-z0-9+.-]*://|data:(?:image/|application/pdf|[^\s,]*;base64,)", re.IGNORECASE
)
_PATH_STARTS = ("/", "./", "../", "~/")
_SENTENCE_ENDS = ("?", "!", ".", "？", "！", "。", "．")
EXTENSIONS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".heic", ".heif", ".avif", ".svg", ".pdf", ".ico", ".jp2"),
    *(".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"),
)
"""What an image's name ends in, in lower case."""


def is_image(argument: str, exists: Callable[[str], bool]) -> bool:
    """True if `argument` is an image by rules 1 to 6."""
    return looks_like_image(argument) or _found(argument, exists)


def on_disk(path: str) -> bool:
    """True if the file exists on this disk; `~` is the home folder. Of the characters of a pattern
    only `*` counts here: questions end with a `?`.
    """
    place = Path(path).expanduser()
    if place.exists():
        return True
    is_pattern = "*" in path and not any(character.isspace() for character in path)
    return is_pattern and any(True for _ in glob.iglob(str(place)))  # noqa: PTH207


def looks_like_image(argument: str) -> bool:
    """True if `argument` has the form of an image (rules 1 and 3 to 6); the disk is not asked."""
    if argument in _WORDS or _URL.match(argument) or argument.startswith(_PATH_STARTS):
        return True
    if argument.lower().endswith(EXTENSIONS):
        return True
    if "/" not in argument or any(character.isspace() for character in argument):
        return False
    return not argument.startswith("~") and not argument.endswith(_SENTENCE_ENDS)


def _found(argument: str, exists: Callable[[str], bool]) -> bool:
    """Ask the disk. A question may be no legal path at all: too long, with a NUL, `~nobody`."""
    try:
        return exists(argument)
    except (OSError, ValueError, RuntimeError):
        return False
