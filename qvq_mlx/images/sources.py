"""The bytes of a picture, from wherever it is taken: never more than MAX_FILE_BYTES of them.

A named pipe or a device is refused, since it may never end; a pipe that the shell made for this
command, `<(...)`, is read like stdin. The web's code is imported for an address alone.
"""

from __future__ import annotations

import difflib
import re
import stat
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from qvq_mlx.core.errors import (
    ImageNotFoundError,
    ImageSizeError,
    ImageUnreadableError,
    UsageError,
)
from qvq_mlx.core.remedies import Ask, Field, RunProgram
from qvq_mlx.images.image_sources import CLIP, SCREEN, ImageSources
from qvq_mlx.images.paths import is_data, is_file, is_web, operand, path_of

MAX_FILE_BYTES = 512 * 2**20
_PIPE_IN = Ask(("-",), stdin="image.png")

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".heic", ".heif", ".avif", ".pdf"),
)
"""What the name of a picture that is read here ends in, in lower case."""
_SHELLS_PIPE = re.compile(r"/(?:dev|proc/self)/fd/[0-9]+")


def bytes_of(source: str, image_sources: ImageSources) -> bytes:
    """Return what lies behind `source`, whole. What is no file is taken once, and kept.

    Raises an InputError, a NetworkError, a UsageError where the web is forbidden, or a StoppedError
    where the user gave up marking the screen.
    """
    if is_data(source) or (is_file(source) and not _SHELLS_PIPE.fullmatch(source)):
        return _taken(source, image_sources)
    if source not in image_sources.kept:
        image_sources.kept[source] = _taken(source, image_sources)
    return image_sources.kept[source]


def copied_files(image_sources: ImageSources) -> tuple[str, ...]:
    """Name the files on the clipboard where several were copied; `clip` where it is one picture.

    What was taken is kept. Raises what `bytes_of` raises.
    """
    from qvq_mlx.images.clipboard import copied

    if CLIP in image_sources.kept:
        return (CLIP,)
    held = copied(image_sources.path, MAX_FILE_BYTES)
    if not isinstance(held, bytes) and len(held) > 1:
        return held
    image_sources.kept[CLIP] = (
        held if isinstance(held, bytes) else from_file(held[0], Path(held[0]))
    )
    return (CLIP,)


def from_stdin(stdin: BinaryIO) -> bytes:
    """All bytes of stdin, which must be no terminal."""
    if stdin.isatty():
        raise ImageUnreadableError("-: stdin is a terminal, no picture is piped in", _PIPE_IN)
    return _from_stream("-", "stdin", stdin)


def from_file(source: str, path: Path) -> bytes:
    """All bytes of a regular file, its size checked first."""
    listing = RunProgram(("ls", "-l", operand(path)))
    try:
        facts = path.stat()
        if stat.S_ISFIFO(facts.st_mode) and _SHELLS_PIPE.fullmatch(source):
            with path.open("rb") as pipe:
                return _from_stream(source, "the pipe", pipe)
        if not stat.S_ISREG(facts.st_mode):
            raise _not_a_file(source, path, facts.st_mode)
        if facts.st_size > MAX_FILE_BYTES:
            from qvq_mlx.images.diagnosis import too_large

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


def _taken(source: str, image_sources: ImageSources) -> bytes:
    if source == "-":
        return from_stdin(image_sources.stdin)
    if source == SCREEN:
        from qvq_mlx.images.mac import screenshot

        return screenshot(image_sources.path, MAX_FILE_BYTES)
    if source == CLIP:
        from qvq_mlx.images.clipboard import copied

        held = copied(image_sources.path, MAX_FILE_BYTES)
        if isinstance(held, bytes):
            return held
        if len(held) > 1:
            what = f"clip: {len(held)} files are on the clipboard, and one picture is asked for"
            raise ImageUnreadableError(what, Ask((operand(Path(held[0])),)))
        return from_file(held[0], Path(held[0]))
    if is_data(source):
        from qvq_mlx.images.data_uri import from_data

        return from_data(source)
    if is_web(source):
        return _from_web(source, image_sources)
    return from_file(source, path_of(source))


def _from_stream(source: str, kind: str, stream: BinaryIO) -> bytes:
    try:
        data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or error
        raise ImageUnreadableError(
            f"{source}: {kind} cannot be read ({reason})", _PIPE_IN
        ) from error
    if not data:
        raise ImageUnreadableError(
            f"{source}: {kind} holds no bytes, or was read already", _PIPE_IN
        )
    if len(data) > MAX_FILE_BYTES:
        limit = f"{MAX_FILE_BYTES / 2**20:.0f} MiB"
        raise ImageSizeError(f"{source}: {kind} holds more than {limit}", _PIPE_IN)
    return data


def _from_web(source: str, image_sources: ImageSources) -> bytes:
    """An address that the user typed is the permission to fetch it, unless something forbids it."""
    if image_sources.offline:
        what = "given" if image_sources.offline is Field.OFFLINE else "set"
        raise UsageError(
            (f"{source}: ", image_sources.offline, f" is {what}: nothing is fetched"),
            RunProgram(("curl", "-LO", source)),
        )
    from qvq_mlx.images.web import fetched

    return fetched(source, image_sources.web)


def _not_found(source: str, path: Path) -> ImageNotFoundError:
    with suppress(OSError, ValueError):  # ValueError: a NUL in the name
        leads_to = path.readlink()
        return ImageNotFoundError(
            f"{source}: is a link to {leads_to}, where no file is",
            RunProgram(("ls", "-l", operand(path))),
        )
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    close: list[str] = []
    if folder == path.parent:
        close = difflib.get_close_matches(path.name, _names(folder), n=1, cutoff=0.7)
    if close:
        return ImageNotFoundError(
            f"{source}: no such file; {close[0]} is there", Ask((operand(folder / close[0]),))
        )
    return ImageNotFoundError(f"{source}: no such file", RunProgram(("ls", "-l", operand(folder))))


def _not_a_file(source: str, path: Path, mode: int) -> ImageUnreadableError:
    if not stat.S_ISDIR(mode):
        remedy = Ask(("-",), stdin=operand(path))
        return ImageUnreadableError(f"{source}: is a pipe, socket or device, not a file", remedy)
    pictures = sorted(name for name in _names(path) if name.lower().endswith(SUFFIXES))
    if not pictures:
        return ImageUnreadableError(
            f"{source}: is a folder, and no picture lies in it",
            RunProgram(("ls", "-l", operand(path))),
        )
    remedy = Ask((operand(path / pictures[0]),))
    return ImageUnreadableError(f"{source}: is a folder, not a picture", remedy)


def _names(folder: Path) -> list[str]:
    """List `folder`, as far as a hint needs it: at most 2,000 names."""
    with suppress(OSError):
        return [entry.name for entry in islice(folder.iterdir(), 2000)]
    return []
