"""The two commands that have to be there at once, read without typer.

`qvq last` and `qvq log list` print what lies on the disk, and typer alone takes longer to import
than that. Law: a command line is either taken as typer takes it, or left to typer: help, errors,
abbreviations, everything that is not spelled out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qvq_mlx.core.env import Env

_VALUES = {"-n": "count", "--model": "model", "-m": "model", "--since": "since"}


def quick(argv: Sequence[str], env: Env) -> int | None:
    """Run the command and return its exit code; None where it is not for here."""
    match list(argv):
        case ["last", *options]:
            return _last(options, env)
        case ["log", "list", *options]:
            return _list(options, env)
        case _:
            return None


def _last(options: list[str], env: Env) -> int | None:
    from qvq_mlx.cli.past import Form, form_of, show_last

    forms = {form.value: form for form in Form if form.value}
    if not all(option in forms for option in options):
        return None
    show_last(env, form_of({form: name in options for name, form in forms.items()}))
    return 0


def _list(options: list[str], env: Env) -> int | None:
    from qvq_mlx.cli.past_list import COUNT, Wanted, list_runs

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
    list_runs(env, Wanted(int(count), given.get("model"), given.get("since"), as_json))
    return 0
