"""`qvq rm` and `qvq prune`: give disk space back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qvq_mlx.core.env import Env
    from qvq_mlx.store.garbage import Garbage

_YES = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


def rm(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name or a repository.")],
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="REV", help="Only this revision."),
    ] = None,
    yes: _YES = False,
) -> None:
    """Delete a downloaded model."""
    from qvq_mlx.cli.places import present
    from qvq_mlx.core.errors import BusyError, ModelNotOnDiskError
    from qvq_mlx.store import garbage, layout

    env: Env = context.obj
    _, folder = present(model, env)
    with layout.locked(folder) as mine:
        if not mine:
            raise BusyError(
                f"{layout.lock_holder(folder) or 'another process'} is pulling {folder.repo}",
                f"qvq rm {model} -y",
            )
        if revision is None:
            found = garbage.model(folder)
        else:
            commit = folder.commit_of(revision)
            if commit is None:
                raise ModelNotOnDiskError(
                    f"{folder.repo} has no revision {revision} on this disk", f"qvq rm {model} -y"
                )
            found = garbage.revision(folder, commit)
        _delete((found,), env, yes=yes, hint=f"qvq rm {model} -y")


def prune(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted.")] = False,
    yes: _YES = False,
) -> None:
    """Delete what no model needs: old revisions, unused files, stale partial files."""
    from contextlib import ExitStack

    from qvq_mlx.settings import config
    from qvq_mlx.store import garbage, layout

    env: Env = context.obj
    hub_cache = config.read(env).hub_cache
    now_s = env.now().timestamp()
    with ExitStack() as stack:
        found = list(garbage.stagings(hub_cache, now_s))
        for folder in layout.repo_folders(hub_cache):
            if layout.is_ours(folder) and stack.enter_context(layout.locked(folder)):
                found += garbage.leftovers(folder, now_s)
        if not found:
            env.stdout.write("nothing to prune\n")
        elif dry_run:
            _list(found, env)
        else:
            _delete(found, env, yes=yes, hint="qvq prune -y")


def _list(found: Sequence[Garbage], env: Env) -> None:
    from qvq_mlx.core.sizes import size
    from qvq_mlx.render.clean import clean_line

    for garbage in found:
        env.stdout.write(f"{clean_line(garbage.what)} · {size(garbage.freed_bytes)}\n")


def _delete(found: Sequence[Garbage], env: Env, *, yes: bool, hint: str) -> None:
    """Delete after a yes. Raises UsageError where nobody can be asked, StoppedError after a no."""
    from qvq_mlx.cli.places import confirmed
    from qvq_mlx.core.errors import ModelError, StoppedError, UsageError
    from qvq_mlx.core.sizes import size
    from qvq_mlx.store import garbage

    _list(found, env)
    if not yes:
        env.stdout.flush()
        if not (env.stdin.isatty() and env.stdout.isatty() and env.stderr.isatty()):
            raise UsageError("nothing is deleted without a yes, and nobody is here to say it", hint)
        if not confirmed("Delete?", env):
            raise StoppedError("nothing was deleted")
    try:
        freed = garbage.remove(found)
    except OSError as error:
        raise ModelError(f"{error.filename} cannot be deleted: {error.strerror}", hint) from error
    env.stdout.write(f"freed {freed:,} bytes ({size(freed)})\n")
