"""Write the answer where no person reads it as it comes: stdout, or the file of `-o`.

Law: the file appears whole or not at all, under its final name only at the end; that it can be
written is known before any work is done. A link is followed; a device or a pipe is written to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TextIO

from qvq_mlx.core.errors import OutputError
from qvq_mlx.core.remedies import AskAgain, Field, RunProgram
from qvq_mlx.render.clean import clean_line, writable
from qvq_mlx.system.files import PendingFile
from qvq_mlx.system.outputs import DirectFile, open_output, output_place
from qvq_mlx.system.streams import is_closed


class Sink(Protocol):
    """A place for text: `open`, then writes, then `finish` or `discard`."""

    def open(self) -> None:
        """Raises OutputError where nothing can be written."""

    def write(self, text: str) -> None:
        """Add text."""

    def finish(self) -> None:
        """Publish the file: it is whole."""

    def discard(self) -> None:
        """Discard the file."""


class StreamSink:
    """stdout: what is written is out at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def open(self) -> None:
        """Raises OutputError where the stream was closed before we began."""
        if is_closed(self._stream):
            again = AskAgain(((Field.OUTPUT, "answer.txt"),))
            raise OutputError("stdout is closed: the answer would be lost", again)

    def write(self, text: str) -> None:
        """Pass on. Raises BrokenPipeError where nobody reads."""
        self._stream.write(writable(text, self._stream))
        self._stream.flush()

    def finish(self) -> None:
        """Nothing to do: it is all out."""

    def discard(self) -> None:
        """Do nothing: what is written to stdout stays."""


class FileSink:
    """The file that a user named."""

    def __init__(self, path: Path, field: Field = Field.OUTPUT) -> None:
        """`field` is what the user named the file with."""
        self._field = field
        self._path = path.expanduser()
        self._file: PendingFile | DirectFile | None = None

    def open(self) -> None:
        """Raises OutputError where the file cannot be written."""
        name = clean_line(str(self._path))
        given = (self._field, f" {name}")
        try:
            place = output_place(self._path)
            if place.is_dir():
                raise OutputError(
                    (*given, " is a folder"), AskAgain(((self._field, f"{name}/answer.txt"),))
                )
            if not place.parent.is_dir():
                folder = clean_line(str(place.parent))
                raise OutputError(
                    (*given, f": there is no folder {folder}"),
                    RunProgram(("mkdir", "-p", str(place.parent))),
                )
            self._file = open_output(self._path)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, text: str) -> None:
        """Add to what will be the file."""
        assert self._file is not None, "open() comes first"
        try:
            self._file.write(text.encode("utf-8", errors="replace"))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._failed(error) from error

    def finish(self) -> None:
        """The file is there now, with the permissions of the one it replaces."""
        if self._file is None:
            return
        try:
            self._file.commit()
            self._file = None
        except OSError as error:
            raise self._failed(error) from error

    def discard(self) -> None:
        """Nothing was written. May be called again, and after `finish`."""
        if self._file is not None:
            self._file.discard()

    def _failed(self, error: OSError) -> OutputError:
        reason = (error.strerror or str(error)).lower()
        listing = RunProgram(("ls", "-ld", str(self._path.absolute().parent)))
        name = clean_line(str(self._path))
        return OutputError((self._field, f" {name} cannot be written: {reason}"), listing)
