"""Changes or deletes files of models after a person said yes."""

from __future__ import annotations

from collections.abc import Sequence

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ModelError, StoppedError, UsageError
from qvq_mlx.core.remedies import Remedy
from qvq_mlx.core.sizes import size
from qvq_mlx.render.clean import clean_line
from qvq_mlx.render.prompt import confirmed, watched
from qvq_mlx.store import garbage
from qvq_mlx.store.garbage import Garbage


def list_garbage(found: Sequence[Garbage], env: Env) -> None:
    """Print what would go, and how many bytes that frees."""
    for one in found:
        env.stdout.write(f"{clean_line(one.what)} · {size(one.freed_bytes)}\n")


def allow(change: str, *, env: Env, yes: bool, remedy: Remedy) -> None:
    """Ask whether something that is here may change. `remedy`: how to say yes beforehand.

    Raises UsageError where nobody can be asked, StoppedError after a no.
    """
    if yes:
        return
    if not watched(env):
        raise UsageError(f"{change}: that needs a yes, and nobody is here to say it", remedy)
    if not confirmed(f"{change}. Change what is here?", env):
        raise StoppedError("nothing was changed")


def delete(found: Sequence[Garbage], env: Env, *, yes: bool, again: Remedy) -> None:
    """Delete after a yes. Raises UsageError where nobody can be asked, StoppedError after a no.

    `again`: the same with the yes.
    """
    list_garbage(found, env)
    if not yes:
        env.stdout.flush()
        if not watched(env):
            raise UsageError(
                "nothing is deleted without a yes, and nobody is here to say it", again
            )
        if not confirmed("Delete?", env):
            raise StoppedError("nothing was deleted")
    try:
        freed = garbage.remove(found)
    except OSError as error:
        raise ModelError(f"{error.filename} cannot be deleted: {error.strerror}", again) from error
    env.stdout.write(f"freed {freed:,} bytes ({size(freed)})\n")
