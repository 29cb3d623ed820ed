"""Processes that work beside this one for as long as it wants them, and the files they are given.

Law: what a child writes to stderr goes to a file that nobody else can open, and never on a screen.
A child is not killed: it ends by itself where its lines end.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class Child:
    """A process of ours. With `talks` it has pipes for stdin and stdout, else nothing there."""

    def __init__(self, argv: Sequence[str], *, passed: Sequence[int] = (), talks: bool) -> None:
        """Start it, in a session of its own: a Ctrl-C is this process's to tell.

        `passed` are the descriptors that it inherits. Raises OSError.
        """
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the child
        ends = subprocess.PIPE if talks else subprocess.DEVNULL
        self._process = subprocess.Popen(  # noqa: S603
            argv,
            stdin=ends,
            stdout=ends,
            stderr=self._errors,
            pass_fds=passed,
            start_new_session=True,
        )
        self.pid = self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        """The line to one that talks."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """The line from one that talks."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def errors(self) -> list[str]:
        """The lines that it wrote to stderr so far."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip().splitlines()

    @property
    def ended(self) -> bool:
        """True once it has ended."""
        return self._process.poll() is not None

    def wait(self) -> None:
        """Wait until it has ended."""
        self._process.wait()


@contextmanager
def scratch_file(text: str) -> Iterator[Path]:
    """A file with `text` for a library that reads it by its name; it is gone afterwards."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(text)
        file.flush()
        yield Path(file.name)
