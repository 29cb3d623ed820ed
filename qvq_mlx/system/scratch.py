"""A place for other programs' files: a folder that is gone when the block ends.

It lies in $TMPDIR, maybe on another volume than what is made of them, so nothing is renamed from
there. Only its owner can read it. Not covered: after kill -9 it stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder. Raises OSError."""
    with TemporaryDirectory(prefix="qvq-") as name:
        yield Path(name)
