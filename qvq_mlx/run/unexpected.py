"""Errors that no one foresaw, and outputs that cannot be written, in one line."""

from __future__ import annotations

from errno import EBADF, EDQUOT, EFBIG, ENOSPC

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ExitCode, OutputError, QvqError
from qvq_mlx.core.remedies import RunProgram, Show
from qvq_mlx.render.failure import write_error
from qvq_mlx.settings.config import debugging
from qvq_mlx.system.streams import is_closed


def unwritten(error: OSError, env: Env) -> int | None:
    """Print that the output could not be written; None where that is not the error."""
    if error.errno == EBADF and is_closed(env.stdout):
        write_error(env, shut := OutputError("stdout is closed: nothing can be written to it"))
        return shut.exit_code
    if error.errno not in (ENOSPC, EDQUOT, EFBIG):
        return None
    reason = (error.strerror or "the disk is full").lower()
    said = f"the output could not be written: {reason}"
    write_error(env, full := OutputError(said, RunProgram(("df", "-h"))))
    return full.exit_code


def told(error: Exception, env: Env) -> int:
    """Print a bug in one line, with its traceback where someone is after it."""
    write_error(env, bug(error, env))
    return ExitCode.INTERNAL


def bug(error: Exception, env: Env) -> QvqError:
    """Return a bug as an error in one line. Its traceback is printed where someone is after it."""
    if debugging(env):
        import traceback

        traceback.print_exception(error, file=env.stderr)
    return QvqError(f"{type(error).__name__}: {error} (this is a bug)", Show.TRACEBACK)
