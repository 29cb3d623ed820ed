"""Places for other programs' files: a folder, or a file, that is gone when the block ends.

They lie in $TMPDIR, maybe on another volume than what is made of them, so nothing is renamed from
there. Only their owner can read them. Not covered: after kill -9 they stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder. Raises OSError."""
    with TemporaryDirectory(prefix="qvq-") as name:
        yield Path(name)


@contextmanager
def scratch_file(content: bytes) -> Iterator[Path]:
    """A file that holds `content`. Raises OSError."""
    with NamedTemporaryFile(prefix="qvq-") as file:
        file.write(content)
        file.flush()
        yield Path(file.name)
