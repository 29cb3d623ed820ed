"""Where the answer goes when no person reads it as it comes: stdout, or the file of `-o`.

Law: the file appears whole or not at all, under its final name only at the end; that it can be
written is known before any work is done. A link is followed; a device or a pipe is written to.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, TextIO

from qvq_mlx.core.errors import OutputError
from qvq_mlx.render.clean import clean_line, writable


class Sink(Protocol):
    """A place for text: `open`, then writes, then `finish` or `discard`."""

    def open(self) -> None:
        """Raises OutputError where nothing can be written."""

    def write(self, text: str) -> None:
        """Add text."""

    def finish(self) -> None:
        """It is whole."""

    def discard(self) -> None:
        """It is not to be."""


class StreamSink:
    """stdout: what is written is out at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def open(self) -> None:
        """Nothing to prepare."""

    def write(self, text: str) -> None:
        """Pass on. Raises BrokenPipeError where nobody reads."""
        self._stream.write(writable(text, self._stream))
        self._stream.flush()

    def finish(self) -> None:
        """Nothing to do: it is all out."""

    def discard(self) -> None:
        """What is out is out."""


class FileSink:
    """A file, written next to its place and moved there at the end."""

    def __init__(self, path: Path, option: str = "-o") -> None:
        """`option` is what the user named the file with."""
        self._option = option
        self._path = path.expanduser()
        self._target = self._path.resolve()
        self._file: TextIO | None = None
        self._temporary: Path | None = None

    def open(self) -> None:
        """Raises OutputError where the file cannot be written."""
        target = self._target
        folder = target.parent
        name = clean_line(str(self._path))
        given = f"{self._option} {name}"
        if target.is_dir():
            raise OutputError(f"{given} is a folder", f"qvq ask ... {given}/answer.txt")
        if not folder.is_dir():
            shown = clean_line(str(folder))
            raise OutputError(f"{given}: there is no folder {shown}", f"mkdir -p {shown}")
        if target.exists() and not target.is_file():
            temporary = None  # a device or a named pipe has no content to protect
        else:
            temporary = folder / f".{target.name}.{os.getpid()}.part"
        try:
            if target.exists() and not os.access(target, os.W_OK):
                raise PermissionError(13, "Permission denied")
            self._file = (temporary or target).open("w", encoding="utf-8", errors="replace")
        except OSError as error:
            raise self._failed(error) from error
        self._temporary = temporary

    def write(self, text: str) -> None:
        """Add to what will be the file."""
        assert self._file is not None, "open() comes first"
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def finish(self) -> None:
        """The file is there now, with the permissions of the one it replaces."""
        file, self._file = self._file, None
        if file is None:
            return
        file.close()
        if self._temporary is None:
            return
        try:
            if self._target.exists():
                self._temporary.chmod(self._target.stat().st_mode & 0o777)
            self._temporary.replace(self._target)
        except OSError as error:
            raise self._failed(error) from error

    def discard(self) -> None:
        """Nothing was written. May be called again, and after `finish`."""
        file, self._file = self._file, None
        if file is None:
            return
        file.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> OutputError:
        reason = (error.strerror or str(error)).lower()
        hint = f"ls -ld {clean_line(str(self._target.parent))}"
        name = clean_line(str(self._path))
        return OutputError(f"{self._option} {name} cannot be written: {reason}", hint)
