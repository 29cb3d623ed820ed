"""`qvq last` and `qvq log show`, `list` and `search` without typer, which takes longer to import
than a run takes to print. `quick` and the typer commands both end here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.errors import NoAnswerError, UsageError
from qvq_mlx.core.remedies import Show, Typed
from qvq_mlx.run.saved import Form, find, show

if TYPE_CHECKING:
    from qvq_mlx.history import Run
    from qvq_mlx.run.world import World

FORMS = {
    "--answer": Form.ANSWER,
    "--thinking": Form.THINKING,
    "--json": Form.JSON,
    "--jsonl": Form.JSONL,
    "-x": Form.BOXED,
    "--boxes": Form.BOXES,
}
COUNT = 20
"""Runs that are listed where nobody says how many."""


def form_of(given: Iterable[str]) -> Form:
    """The form that the options in `given` ask for. Raises UsageError for two."""
    given = set(given)
    found = [option for option in FORMS if option in given]
    if len(found) > 1:
        raise UsageError(
            f"{found[0]} and {found[1]} exclude each other", Typed(f"qvq last {found[0]}")
        )
    return FORMS[found[0]] if found else Form.SCREEN


def show_last(world: World, form: Form) -> None:
    """`qvq last`."""
    settings = world.settings
    run = find(settings.history_folder, None, world.env)
    _show(run, form, world, "qvq last", "the last run")


def copy_last(world: World, form: Form, code: int | None) -> None:
    """`qvq last --copy`. Raises UsageError for a form of output, or a block that is not there."""
    from qvq_mlx.run.copied import copy_answer

    if form is not Form.SCREEN:
        option = next(option for option, known in FORMS.items() if known is form)
        raise UsageError(f"{option} and --copy exclude each other", Typed(f"qvq last {option}"))
    run = find(world.settings.history_folder, None, world.env)
    if run.done is None or not run.done.complete:
        hint = "qvq last --thinking"
        raise NoAnswerError(f"the last run ended without an answer ({run.ending})", Typed(hint))
    copy_answer(run.transcript.answer, code, world.env)


def show_run(world: World, prefix: str | None, form: Form, *, play: bool | None) -> None:
    """`qvq log show`. `play` None: with keys where there are some."""
    env = world.env
    run = find(world.settings.history_folder, prefix, world.env)
    command = f"qvq log show {run.id}"
    on_screen = form is Form.SCREEN and env.stdout.isatty()
    if play and not on_screen:
        raise UsageError("--play needs a terminal, and no other form of output", Typed(command))
    if on_screen and play is not False:
        from qvq_mlx.render.viewer import can_view

        if can_view(env):
            from qvq_mlx.run.saved import view_with_keys
            from qvq_mlx.run.signals import stoppable

            with stoppable("nothing was changed", Typed(command)):
                view_with_keys(run, env)
            return
        if play:
            raise UsageError("--play needs a terminal with a keyboard", Typed(command))
    _show(run, form, world, command, f"run {run.id}")


def draw(world: World, prefix: str | None, form: Form, path: Path) -> None:
    """`--annotate` for a saved run, the last one without a prefix."""
    from qvq_mlx.render.clean import clean_line
    from qvq_mlx.run.pointed import draw_again

    if form is not Form.SCREEN:
        option = next(option for option, known in FORMS.items() if known is form)
        raise UsageError(f"{option} and --annotate exclude each other", Typed(f"qvq last {option}"))
    run = find(world.settings.history_folder, prefix, world.env)
    written = draw_again(run, path, world.settings, world.env)
    world.env.stdout.write("".join(f"{clean_line(str(file))}\n" for file in written))


def list_saved(
    world: World, count: int, model: str | None, since: str | None, *, as_json: bool
) -> None:
    """`qvq log list`. Raises UsageError for an age that cannot be read."""
    from qvq_mlx.run.saved_list import Wanted, list_runs

    age = None if since is None else age_of(since, "--since")
    wanted = Wanted(count, model, age, as_json, "qvq log list -n 0 lists all")
    list_runs(world.env, world.settings.history_folder, wanted)


def search_saved(world: World, words: Sequence[str], count: int, *, as_json: bool) -> None:
    """`qvq log search`."""
    from qvq_mlx.run.saved_list import Wanted, search_runs

    wanted = Wanted(count, as_json=as_json, more="qvq log search -n 0 finds all")
    search_runs(world.env, world.settings.history_folder, words, wanted)


def age_of(text: str, option: str) -> timedelta:
    """Raises UsageError for what is no age."""
    from qvq_mlx.history.erasing import parse_age

    age = parse_age(text)
    if age is None:
        raise UsageError(
            f"{option} is {text!r}; it can be an age such as 30d, 12h or 4w", Show.ALL_RUNS
        )
    return age


def _show(run: Run, form: Form, world: World, command: str, called: str) -> None:
    """Print a run. Raises NoAnswerError where the answer is wanted and there is none."""
    hint = f"{command} --thinking"
    if not show(run, form, world.env, world.settings, hint):
        raise NoAnswerError(f"{called} ended without an answer ({run.ending})", Typed(hint))
