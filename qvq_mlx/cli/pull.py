"""`qvq pull`: fetch a model, and go on where the last try ended."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.pull import Wish
    from qvq_mlx.run.world import World
    from qvq_mlx.store.download import Adviser


def pull(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name or a repository.")],
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="REV", help="A branch, tag or commit; else main."),
    ] = None,
    repair: Annotated[
        list[str] | None,
        typer.Option("--repair", metavar="FILE", help="Check this file; fetch it if damaged."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Accept the model's licence; ask nothing.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Download a model, or go on with a download that stopped."""
    from qvq_mlx.core.remedies import Typed
    from qvq_mlx.run.pull import Wish
    from qvq_mlx.run.signals import stoppable

    wish = Wish(model, revision, tuple(repair or ()), yes, dry_run, as_json)
    with stoppable("what came is kept", Typed(command_of(wish))):
        run(wish, context.obj)


def run(wish: Wish, world: World, advise: Adviser | None = None) -> None:
    """One pull; an error names the command that goes on. Raises a QvqError."""
    from qvq_mlx.core.errors import DamagedError, GatedError, LicenceError, NetworkError
    from qvq_mlx.core.remedies import Typed
    from qvq_mlx.run.pull import pull_model

    again = command_of(wish)
    try:
        pull_model(wish, world.env, world.settings, advise)
    except LicenceError as error:
        raise LicenceError(error.parts, Typed(f"{again} -y")) from error
    except GatedError as error:
        asked = Typed(f"HF_TOKEN=YOUR_TOKEN {again}")
        raise GatedError(error.parts, error.remedy or asked) from error
    except (NetworkError, DamagedError) as error:
        raise type(error)(error.parts, error.remedy or Typed(again)) from error


def command_of(wish: Wish) -> str:
    """The command line of the same wish."""
    words = ["qvq", "pull", wish.model]
    words += ["--revision", wish.revision] if wish.revision else []
    words += [word for path in wish.repair for word in ("--repair", path)]
    return shlex.join(words)
