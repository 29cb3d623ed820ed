"""Tell the kind of a source, where it lies on disk, and how to name it to a program."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from qvq_mlx.core.errors import ImageUnreadableError
from qvq_mlx.core.remedies import Ask, RunProgram
from qvq_mlx.images.image_sources import WORDS

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_SHOWN = 32  # characters of a data URI


def is_data(source: str) -> bool:
    """`data:image/png;base64,...`."""
    return source[:5].lower() == "data:"


def is_web(source: str) -> bool:
    """`https://` or `http://`."""
    scheme = _URL.match(source)
    return scheme is not None and scheme[1].lower() in ("http", "https")


def is_file(source: str) -> bool:
    """A path, or a `file:` URL."""
    return not (source == "-" or source in WORDS or is_data(source) or is_web(source))


def called(source: str) -> str:
    """As messages and records name it: what the user typed, a data URI shortened."""
    return source[:_SHOWN] + "…" if is_data(source) and len(source) > _SHOWN else source


def path_of(source: str) -> Path:
    """Return the path of `source`. Raises ImageUnreadableError for a URL that names no file."""
    scheme = _URL.match(source)
    if scheme is None:
        if source[:6].lower() == "file:/":  # RFC 8089 leaves out the host and its slashes
            return Path(unquote(source[5:]))
        if source.startswith("~"):  # a Path forgets the dot of `./~root`, and that is no home
            with suppress(RuntimeError):  # ~nobody has none: the name is taken as it stands
                return Path(source).expanduser()
        return Path(source)
    with suppress(ValueError):
        parts = urlsplit(source)
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            return Path(unquote(parts.path))
    remedy = RunProgram(("curl", "-LO", source)) if scheme[1].lower() == "ftp" else Ask()
    raise ImageUnreadableError(f"{source}: qvq reads files and https:// addresses", remedy)


def place_of(source: str) -> str:
    """Return `path_of` as text, quicker where the source is a plain path. Raises as it does."""
    if ":" not in source and not source.startswith("~"):
        return source
    return str(path_of(source))


def names_of(source: str) -> tuple[str, str]:
    """For a program: the file, and a new PNG in the current folder that replaces nothing."""
    if not is_file(source):  # the command needs a file; this one stands for what was taken
        return "image", "image.png"
    path = path_of(source)
    stem = path.stem[:40]  # a longer one might be no legal name with a number behind it
    names = (Path(f"{stem}{number}.png") for number in ("", *range(-2, -100, -1)))
    return operand(path), operand(next(out for out in names if not out.exists()))


def operand(path: Path | str) -> str:
    """`path` as a source and as a program's argument: never taken for an option, nor for the
    clipboard or the screen.
    """
    name = str(path)
    return f"./{name}" if name.startswith("-") or name in WORDS else name


def found_file(path: Path | str) -> str:
    """A file that lies on the disk, as a source: never taken for stdin, the clipboard, the screen,
    an address, a data URI or someone's home, whatever it is called.
    """
    name = str(path)
    return f"./{name}" if name.startswith("~") or _SCHEME.match(name) else operand(path)


def askable(source: str) -> str:
    """`source` as a question names it; a data URI becomes the word IMAGE."""
    if is_data(source):
        return "IMAGE"
    return source if not is_file(source) else operand(Path(source))
