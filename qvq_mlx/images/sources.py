"""The bytes of a picture: from a file or from stdin, never more than MAX_FILE_BYTES of them."""

from __future__ import annotations

import difflib
import stat
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from qvq_mlx.core.errors import ImageNotFoundError, ImageSizeError, ImageUnreadableError
from qvq_mlx.images.diagnosis import too_large
from qvq_mlx.images.paths import ASK, quoted

MAX_FILE_BYTES = 512 * 2**20

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def from_stdin(stdin: BinaryIO) -> bytes:
    """All bytes of stdin, which must be no terminal."""
    hint = ASK.format("-") + " < image.png"
    if stdin.isatty():
        raise ImageUnreadableError("-: stdin is a terminal, no picture is piped in", hint)
    try:
        data = stdin.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ImageUnreadableError(f"-: stdin cannot be read ({error.strerror})", hint) from error
    if not data:
        raise ImageUnreadableError("-: stdin holds no bytes, or was read already", hint)
    if len(data) > MAX_FILE_BYTES:
        raise ImageSizeError(f"-: stdin holds more than {MAX_FILE_BYTES / 2**20:.0f} MiB", hint)
    return data


def from_file(source: str, path: Path) -> bytes:
    """All bytes of a regular file, its size checked first."""
    listing = f"ls -l {quoted(path)}"
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise _not_a_file(source, path, facts.st_mode)
        if facts.st_size > MAX_FILE_BYTES:
            raise too_large(source, f"{facts.st_size / 2**20:,.0f} MiB", "512 MiB")
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _not_found(source, path) from error
    except PermissionError as error:
        raise ImageUnreadableError(f"{source}: permission denied", listing) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ImageUnreadableError(f"{source[:80]}: cannot be read ({reason})") from error
    if not data:
        raise ImageUnreadableError(f"{source}: the file is empty (0 bytes)", listing)
    return data


def _not_found(source: str, path: Path) -> ImageNotFoundError:
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    close: list[str] = []
    if folder == path.parent:
        close = difflib.get_close_matches(path.name, _names(folder), n=1, cutoff=0.7)
    if close:
        return ImageNotFoundError(
            f"{source}: no such file; {close[0]} is there", ASK.format(quoted(folder / close[0]))
        )
    return ImageNotFoundError(f"{source}: no such file", f"ls -l {quoted(folder)}")


def _not_a_file(source: str, path: Path, mode: int) -> ImageUnreadableError:
    if not stat.S_ISDIR(mode):
        hint = f"{ASK.format('-')} < {quoted(path)}"
        return ImageUnreadableError(f"{source}: is a pipe, socket or device, not a file", hint)
    pictures = sorted(name for name in _names(path) if name.lower().endswith(_SUFFIXES))
    if not pictures:
        return ImageUnreadableError(
            f"{source}: is a folder, and no picture lies in it", f"ls -l {quoted(path)}"
        )
    hint = ASK.format(quoted(path / pictures[0]))
    return ImageUnreadableError(f"{source}: is a folder, not a picture", hint)


def _names(folder: Path) -> list[str]:
    """What lies in `folder`, as far as a hint needs it: at most 2,000 names."""
    with suppress(OSError):
        return [entry.name for entry in islice(folder.iterdir(), 2000)]
    return []
