"""The commands that have to be there at once, read without typer.

They print what lies on the disk, and typer alone takes longer to import than that. Law: a command
line is either taken as typer takes it, or left to typer: help, errors, abbreviations, all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qvq_mlx.run.world import World

_VALUES = {"-n": "count", "--model": "model", "-m": "model", "--since": "since"}


def quick(argv: Sequence[str], world: World) -> int | None:
    """Run the command and return its exit code; None where it is not for here."""
    match list(argv):
        case [] if world.env.stdout.isatty():
            from qvq_mlx.cli.first import first_screen

            first_screen(world)
            return 0
        case ["last", *options]:
            return _show(None, options, world)
        case ["log", "show", run, *options] if run[:1] != "-":
            return _show(run, options, world)
        case ["log", "list", *options]:
            return _list(options, world)
        case ["log", "search", *words] if words and not any(word[:1] == "-" for word in words):
            from qvq_mlx.cli.past import COUNT, search_saved

            search_saved(world, words, COUNT, as_json=False)
            return 0
        case _:
            return None


def _show(run: str | None, options: list[str], world: World) -> int | None:
    from qvq_mlx.cli.past import FORMS, form_of, show_last, show_run

    if not all(option in FORMS for option in options):
        return None
    if run is None:
        show_last(world, form_of(options))
    else:
        show_run(world, run, form_of(options), play=None)
    return 0


def _list(options: list[str], world: World) -> int | None:
    from qvq_mlx.cli.past import COUNT, list_saved

    given: dict[str, str] = {}
    as_json = False
    rest = iter(options)
    for option in rest:
        if option == "--json":
            as_json = True
            continue
        value = next(rest, None)
        if option not in _VALUES or value is None or value.startswith("-"):
            return None
        given[_VALUES[option]] = value
    count = given.get("count", str(COUNT))
    if not (count.isascii() and count.isdigit() and len(count) < 10):
        return None
    list_saved(world, int(count), given.get("model"), given.get("since"), as_json=as_json)
    return 0
