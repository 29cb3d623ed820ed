"""`main(argv, env)`: the whole program to a test, and the one place that catches errors."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

from qvq_mlx import __version__
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ExitCode, QvqError, UsageError


def main(argv: Sequence[str], env: Env) -> int:
    """Run one command line and return its exit code. Raises nothing."""
    try:
        return _dispatch(list(argv), env)
    except QvqError as error:
        _report(env, error)
        return error.exit_code
    except BrokenPipeError:
        return ExitCode.BROKEN_PIPE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # a bug: one line, unless someone is after it
        if env.environ.get("QVQ_DEBUG", "0") not in ("", "0"):
            traceback.print_exc(file=env.stderr)
        kind = type(error).__name__
        _report(env, QvqError(f"{kind}: {error} (this is a bug)", "QVQ_DEBUG=1 qvq ..."))
        return ExitCode.INTERNAL


def _dispatch(argv: list[str], env: Env) -> int:
    if argv in (["--version"], ["-V"]):
        env.stdout.write(f"qvq {__version__}\n")
        return ExitCode.OK
    from typer.exceptions import TyperException
    from typer.main import get_command

    from qvq_mlx.cli.app import app, with_command

    try:
        # typer prints help to sys.stdout; a test's world has a stdout of its own
        with redirect_stdout(env.stdout), redirect_stderr(env.stderr):
            code = get_command(app).main(
                with_command(argv, os.path.lexists),
                prog_name="qvq",
                standalone_mode=False,
                obj=env,
            )
    except TyperException as error:
        raise UsageError(error.format_message().rstrip("."), _help_of(error)) from error
    return int(code or ExitCode.OK)


def _help_of(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if context else "qvq --help"


def _report(env: Env, error: QvqError) -> None:
    """One line of facts, one line with a command to run next."""
    from qvq_mlx.render.clean import clean

    env.stdout.flush()
    env.stderr.write(f"error[{error.code}]: {clean(error.message)}\n")
    if error.hint:
        env.stderr.write(f"  try: {clean(error.hint)}\n")
    env.stderr.flush()
