"""`main(argv, env)`: the whole program to a test, and the one place that catches errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qvq_mlx import __version__

if TYPE_CHECKING:
    from qvq_mlx.core.env import Env
    from qvq_mlx.run.world import World


def main(argv: Sequence[str], env: Env) -> int:
    """Run one command line and return its exit code.

    Raises nothing but the SystemExit of a signal that ends the process.
    """
    from qvq_mlx.core.errors import ExitCode, QvqError

    screens = [stream for stream in (env.stdout, env.stderr) if stream.isatty()]
    try:
        code = _dispatch(list(argv), env)
        env.stdout.flush()  # what cannot be written is an error of this command
        return code
    except QvqError as error:
        from qvq_mlx.render.failure import write_error

        write_error(env, error)
        return error.exit_code
    except BrokenPipeError:
        return ExitCode.BROKEN_PIPE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except OSError as error:
        if not all(screen.isatty() for screen in screens):
            return ExitCode.HUNG_UP  # the terminal went away under a write to it
        from qvq_mlx.run.unexpected import told, unwritten

        return unwritten(error, env) or told(error, env)
    except Exception as error:
        from qvq_mlx.run.unexpected import told

        return told(error, env)


def _dispatch(argv: list[str], env: Env) -> int:
    if argv in (["--version"], ["-V"]):
        env.stdout.write(f"qvq {__version__}\n")  # and nothing more is imported for it
        return 0
    if argv in (["--help"], ["-h"], ["help"]):
        return _by_typer(["--help"], (), env, None)  # the groups say what each command does
    from qvq_mlx.cli.quick import quick
    from qvq_mlx.run.world import open_world

    world = open_world(env)
    if (found := quick(argv, world)) is not None:
        return found
    from qvq_mlx.cli.app import COMMANDS, with_command
    from qvq_mlx.core.image_names import on_disk

    words = with_command(argv, on_disk)
    return _by_typer(words, words[:1] if words and words[0] in COMMANDS else COMMANDS, env, world)


def _by_typer(words: Sequence[str], commands: Sequence[str], env: Env, world: World | None) -> int:
    """Run the program that has these commands, with streams of the test's or the process's own."""
    from contextlib import redirect_stderr, redirect_stdout

    from typer.exceptions import TyperException
    from typer.main import get_command

    from qvq_mlx.cli.app import app_with
    from qvq_mlx.cli.slips import with_what_was_meant
    from qvq_mlx.core.errors import UsageError
    from qvq_mlx.core.remedies import Typed

    try:
        # typer prints help to sys.stdout; a test's world has a stdout of its own
        with redirect_stdout(env.stdout), redirect_stderr(env.stderr):
            code = get_command(app_with(commands)).main(
                list(words),
                prog_name="qvq",
                standalone_mode=False,
                obj=world or env,
                # typer's own is at most 78
                terminal_width=max(50, min(98, env.terminal_size().columns - 2))
                if env.stdout.isatty()
                else None,
                default_map=world.option_defaults if world else None,
            )
    except SystemExit as exit_:
        if isinstance(exit_.__context__, BrokenPipeError):  # typer makes an exit code of its own
            raise BrokenPipeError from exit_
        raise
    except TyperException as error:
        said = with_what_was_meant(error.format_message().rstrip("."))
        raise UsageError(said, Typed(_help_of(error))) from error
    return int(code or 0)


def _help_of(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if context else "qvq --help"
