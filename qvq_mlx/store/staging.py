"""A folder that appears whole or not at all.

Law: the work happens in a hidden sibling (`.NAME.qvq-part/NAME`), which only its owner may enter,
and is renamed when it is done, so the target is never half written. Whatever ends the process, the
target stays as it was; what an ended process left behind is removed by the next one for the same
target. A lock keeps two apart. A folder that is replaced is moved aside first, and comes back if
the process ends in between.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qvq_mlx.core.errors import BrokenModelError, OutputError, UsageError
from qvq_mlx.core.remedies import Field, RunProgram, Show
from qvq_mlx.system.files import move
from qvq_mlx.system.locks import LockFile


def check(source: Path, target: Path, *, force: bool) -> None:
    """Refuse a source that is no folder and a target that holds something.

    Raises BrokenModelError and UsageError.

    `force` allows a folder that holds a checkpoint, never any other.
    """
    if not source.is_dir():
        raise BrokenModelError(f"{source} is no folder", RunProgram(("ls", "-ld", str(source))))
    here, there = target.resolve(), source.resolve()
    # by inode: on a Mac a name in other letters is the same folder
    if here.exists() and any(
        place.exists() and here.samefile(place) for place in (there, *there.parents)
    ):
        raise UsageError(f"{target} holds the source {source}", Show.CONVERT_HELP)
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{target} is a file", RunProgram(("ls", "-l", str(target))))
    if not any(target.iterdir()):
        return
    if not force:
        raise UsageError(f"{target} exists and is not empty", RunProgram(("ls", "-l", str(target))))
    if not (target / "config.json").is_file():
        raise UsageError(
            (f"{target} holds no checkpoint; ", Field.FORCE, " replaces only those"),
            RunProgram(("ls", str(target))),
        )


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """An empty folder that becomes `target` when the block ends well. Raises OutputError."""
    target = target.absolute()
    part, old = (target.with_name(f".{target.name}.qvq-{what}") for what in ("part", "old"))
    lock = LockFile(target.with_name(f".{target.name}.qvq-lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not lock.try_take().may_go_on:
            raise OutputError(
                f"another qvq writes {target} right now",
                RunProgram(("ls", "-la", str(target.parent))),
            )
        try:
            _clean(target, part, old)
            part.mkdir(mode=0o700)  # nobody else looks in, or puts anything there
            whole = part / target.name
            whole.mkdir()
            yield whole
            if target.exists():
                move(target, old)
            move(whole, target)
        finally:
            try:
                _clean(target, part, old)
            finally:
                lock.release(remove=True)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written: {error.strerror}",
            RunProgram(("ls", "-ld", str(target.parent))),
        ) from error


def _clean(target: Path, part: Path, old: Path) -> None:
    """Remove what is unfinished or replaced; bring back what was moved aside for nothing."""
    if old.exists() and not target.exists():
        move(old, target)
    for folder in (part, old):
        if folder.exists():
            shutil.rmtree(folder)
