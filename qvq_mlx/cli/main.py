"""`main(argv, env)`: the whole program to a test, and the one place that catches errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qvq_mlx import __version__

if TYPE_CHECKING:
    from qvq_mlx.core.env import Env
    from qvq_mlx.core.errors import QvqError


def main(argv: Sequence[str], env: Env) -> int:
    """Run one command line and return its exit code.

    Raises nothing but the SystemExit of a signal that ends the process.
    """
    if list(argv) in (["--version"], ["-V"]):
        env.stdout.write(f"qvq {__version__}\n")  # and nothing more is imported for it
        return 0
    from qvq_mlx.core.errors import ExitCode, QvqError

    screens = [stream for stream in (env.stdout, env.stderr) if stream.isatty()]
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
        if isinstance(error, OSError) and not all(screen.isatty() for screen in screens):
            return ExitCode.HUNG_UP  # the terminal went away under a write to it
        from qvq_mlx.config import debugging

        if debugging(env):
            import traceback

            traceback.print_exc(file=env.stderr)
        kind = type(error).__name__
        _report(env, QvqError(f"{kind}: {error} (this is a bug)", "QVQ_DEBUG=1 qvq ..."))
        return ExitCode.INTERNAL


def _dispatch(argv: list[str], env: Env) -> int:
    from qvq_mlx.cli.quick import quick

    if (found := quick(argv, env)) is not None:
        return found
    from contextlib import redirect_stderr, redirect_stdout

    from typer.exceptions import TyperException
    from typer.main import get_command

    from qvq_mlx.cli.app import app, with_command
    from qvq_mlx.cli.arguments import on_disk
    from qvq_mlx.core.errors import UsageError

    try:
        # typer prints help to sys.stdout; a test's world has a stdout of its own
        with redirect_stdout(env.stdout), redirect_stderr(env.stderr):
            code = get_command(app).main(
                with_command(argv, on_disk),
                prog_name="qvq",
                standalone_mode=False,
                obj=env,
            )
    except SystemExit as exit_:
        if isinstance(exit_.__context__, BrokenPipeError):  # typer makes an exit code of its own
            raise BrokenPipeError from exit_
        raise
    except TyperException as error:
        raise UsageError(error.format_message().rstrip("."), _help_of(error)) from error
    return int(code or 0)


def _help_of(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if context else "qvq --help"


def _report(env: Env, error: QvqError) -> None:
    """One line of facts, one line with a command to run next; nothing where nobody can read it."""
    from contextlib import suppress

    from qvq_mlx.render.clean import clean_line

    with suppress(OSError):
        env.stdout.flush()
    with suppress(OSError):
        env.stderr.write(f"error[{error.code}]: {clean_line(error.message)}\n")
        if error.hint:
            env.stderr.write(f"  try: {clean_line(error.hint)}\n")
        env.stderr.flush()
