"""Folders and what lies in them, where many pictures are wanted.

Law: a file in a folder is taken by its first bytes, never by its name; hidden files and
subfolders are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qvq_mlx.core.errors import ImageNotFoundError, ImageUnreadableError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.images.diagnosis import is_picture
from qvq_mlx.images.globs import expanded, natural
from qvq_mlx.images.paths import operand

_HEAD_BYTES = 1024


def pictures_in(sources: Iterable[str]) -> list[str]:
    """The sources in order, a folder as the pictures that lie in it, a pattern as its files.

    Raises ImageUnreadableError for a folder that holds no picture, ImageNotFoundError for one that
    cannot be read and for a pattern that names nothing.
    """
    found: list[str] = []
    for source in sources:
        path = Path(source).expanduser()
        found += _inside(source, path) if path.is_dir() else expanded(source, None)
    return found


def _inside(source: str, folder: Path) -> list[str]:
    listing = RunProgram(("ls", "-l", operand(folder)))
    try:
        files = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise ImageNotFoundError(f"{source}: {(error.strerror or '').lower()}", listing) from error
    names = [str(file) for file in files if file.is_file() and _is_picture(file)]
    if not names:
        raise ImageUnreadableError(f"{source}: is a folder, and no picture lies in it", listing)
    return sorted(names, key=natural)


def _is_picture(file: Path) -> bool:
    try:
        with file.open("rb") as content:
            return is_picture(content.read(_HEAD_BYTES))
    except OSError:
        return True  # it is asked about, and the record says why it cannot be read
