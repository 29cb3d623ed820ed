"""Where a source lies on disk, and how to write it in a command."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from qvq_mlx.core.errors import ImageUnreadableError

ASK = 'qvq ask {} "question"'

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


def path_of(source: str) -> Path:
    """Where `source` lies on disk. Raises ImageUnreadableError for any other URL."""
    if source[:5].lower() == "data:":
        hint = "pbpaste | sed 's/^.*,//' | base64 -d | " + ASK.format("-")
        raise ImageUnreadableError(f"{source[:24]}…: qvq reads files, not data URLs", hint)
    scheme = _URL.match(source)
    if scheme is None:
        with suppress(RuntimeError):  # ~nobody has no home: then the name is taken as it stands
            return Path(source).expanduser()
        return Path(source)
    with suppress(ValueError):
        parts = urlsplit(source)
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            return Path(unquote(parts.path))
    loads = scheme[1].lower() in ("http", "https", "ftp")
    hint = f"curl -LO {shlex.quote(source)}" if loads else ASK.format("IMAGE")
    raise ImageUnreadableError(f"{source}: qvq reads files, not URLs (yet)", hint)


def names_of(source: str) -> tuple[str, str]:
    """For a command: the quoted file, and a new PNG in the current folder that replaces nothing."""
    if source == "-":  # the command needs a file; this one stands for what was piped in
        return "image", "image.png"
    path = path_of(source)
    stem = path.stem[:40]  # a longer one might be no legal name with a number behind it
    names = (Path(f"{stem}{number}.png") for number in ("", *range(-2, -100, -1)))
    return quoted(path), quoted(next(out for out in names if not out.exists()))


def quoted(path: Path) -> str:
    """`path` for a shell; never taken for an option."""
    name = str(path)
    return shlex.quote(f"./{name}" if name.startswith("-") else name)
