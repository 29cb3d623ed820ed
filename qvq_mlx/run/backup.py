"""Has Time Machine leave the models out, or take them again: `tmutil`, a part of macOS.

What it sets is an attribute of the folder, which holds for all that lies in it and goes where the
folder goes; it needs no password (man tmutil: addexclusion without -p).
"""

from __future__ import annotations

from pathlib import Path

from qvq_mlx.core.errors import ConfigError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.system.programs import found, run
from qvq_mlx.system.reading import why

_TMUTIL = "/usr/bin/tmutil"


def set_backup(folder: Path, path: str | None, *, wanted: bool) -> None:
    """Have `folder` in the backups or not; it is made where it is not there yet.

    `path` is where tmutil is looked for first. Raises ConfigError where it is not here, or fails.
    """
    tool = found("tmutil", path) or found(_TMUTIL, None)
    if tool is None:
        raise ConfigError("backup is about Time Machine, and tmutil, a part of macOS, is not here")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ran = run([tool, "removeexclusion" if wanted else "addexclusion", str(folder)], 4096)
    except OSError as error:
        raise ConfigError(
            f"backup: {folder}: {why(error)}", RunProgram(("ls", "-ld", str(folder)))
        ) from error
    if ran.code or ran.late:
        said = ran.said or ("it says nothing" if ran.late else f"it ended with {ran.code}")
        raise ConfigError(
            f"backup: tmutil says: {said}", RunProgram(("tmutil", "isexcluded", str(folder)))
        )
