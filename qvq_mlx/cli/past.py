"""What is shown of a saved run: for `qvq last` and `qvq log show`. No typer here: it takes longer
to import than a run takes to print.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from qvq_mlx.core.errors import NoAnswerError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from qvq_mlx.core.env import Env
    from qvq_mlx.core.request import ThinkingView
    from qvq_mlx.history import Run
    from qvq_mlx.render.pages import Story


class Form(StrEnum):
    """What is printed; the values are the options."""

    SCREEN = ""
    """On a terminal as the run left it, elsewhere the answer."""
    ANSWER = "--answer"
    THINKING = "--thinking"
    JSON = "--json"
    JSONL = "--jsonl"
    BOXED = "-x"
    BOXES = "--boxes"


def form_of(given: dict[Form, bool]) -> Form:
    """The one that was asked for. Raises UsageError for two."""
    found = [form for form, is_given in given.items() if is_given]
    if len(found) > 1:
        raise UsageError(f"{found[0]} and {found[1]} exclude each other", f"qvq last {found[0]}")
    return found[0] if found else Form.SCREEN


def show_last(env: Env, form: Form) -> None:
    """`qvq last`."""
    from qvq_mlx import history
    from qvq_mlx.settings import config

    settings = config.read(env)
    show(history.last(settings.history_folder), form, env, settings.view, "qvq last")


def draw(env: Env, prefix: str | None, form: Form, path: Path) -> None:
    """`--annotate` for a saved run, the last one without a prefix."""
    from qvq_mlx import history
    from qvq_mlx.render.clean import clean_line
    from qvq_mlx.run.pointed import draw_again
    from qvq_mlx.settings import config

    if form is not Form.SCREEN:
        raise UsageError(f"{form} and --annotate exclude each other", f"qvq last {form}")
    settings = config.read(env)
    folder = settings.history_folder
    run = history.last(folder) if prefix is None else history.find(folder, prefix)
    for written in draw_again(run.request, run.transcript.answer, path, settings):
        env.stdout.write(clean_line(str(written)) + "\n")


def show_run(env: Env, prefix: str | None, form: Form, *, play: bool | None) -> None:
    """`qvq log show`. `play` None: with keys where there are some."""
    from qvq_mlx import history
    from qvq_mlx.settings import config

    settings = config.read(env)
    folder = settings.history_folder
    run = history.last(folder) if prefix is None else history.find(folder, prefix)
    command = f"qvq log show {run.id}"
    on_screen = form is Form.SCREEN and env.stdout.isatty()
    if play and not on_screen:
        raise UsageError("--play needs a terminal, and no other form of output", command)
    if on_screen and play is not False:
        from qvq_mlx.render.viewer import can_view, view

        if can_view(env):
            from qvq_mlx.run.signals import stoppable

            with stoppable("nothing was changed", command):
                view(_story(run), env)
            return
        if play:
            raise UsageError("--play needs a terminal with a keyboard", command)
    show(run, form, env, settings.view, command)


def show(run: Run, form: Form, env: Env, view: ThinkingView | None, command: str) -> None:
    """Print a run. Raises NoAnswerError where the answer is wanted and there is none."""
    match form:
        case Form.JSON | Form.JSONL:
            env.stdout.write(_data(run, form))
            return
        case Form.BOXES:
            env.stdout.write(_boxes(run, env))
            return
        case Form.THINKING:
            env.stdout.write(_text(run.transcript.thinking, env) + "\n")
            return
        case _:
            pass
    done = run.done
    if env.stdout.isatty() and form in (Form.SCREEN, Form.BOXED):
        from qvq_mlx.history.exporting import ended
        from qvq_mlx.render.replay import replay

        hint = f"{command} --thinking"
        replay(run.request, ended(run), env, hint=hint, view=view, boxed_only=form is Form.BOXED)
    elif done is not None and done.complete:
        answer = run.transcript.answer
        env.stdout.write(_text(_boxed(answer) if form is Form.BOXED else answer, env) + "\n")
    if done is None or not done.complete:
        what = "the last run" if command == "qvq last" else f"run {run.id}"
        raise NoAnswerError(
            f"{what} ended without an answer ({run.ending})", f"{command} --thinking"
        )


def _data(run: Run, form: Form) -> str:
    from dataclasses import asdict

    from qvq_mlx.history.exporting import lines_json, result
    from qvq_mlx.render.clean import json_text

    if form is Form.JSON:
        return json_text(asdict(result(run)), indent=2) + "\n"
    return "".join(json_text(entry) + "\n" for entry in lines_json(run))


def _boxes(run: Run, env: Env) -> str:
    from qvq_mlx.render.documents import boxes_text
    from qvq_mlx.run.pointed import with_coordinates
    from qvq_mlx.settings import config

    done = run.done
    request = with_coordinates(run.request, config.read(env))
    return boxes_text(request, run.transcript.answer, complete=bool(done and done.complete))


def _boxed(answer: str) -> str:
    from qvq_mlx.answer.box import boxed

    content = boxed(answer)
    return answer if content is None else content


def _text(text: str, env: Env) -> str:
    """As it is in a pipe; on a terminal harmless, and wrapped."""
    from qvq_mlx.render.clean import clean, writable

    if not env.stdout.isatty():
        return writable(text, env.stdout)
    from qvq_mlx.render.rows import wrap

    return writable("\n".join(wrap(clean(text), env.terminal_size().columns)), env.stdout)


def _story(run: Run) -> Story:
    from qvq_mlx.history.exporting import result
    from qvq_mlx.pointing.in_text import readable
    from qvq_mlx.render.pages import Story
    from qvq_mlx.render.replay import receipts_of, thought_of

    found = result(run)
    when = f"{run.time:%Y-%m-%d %H:%M} · " if run.time else ""
    return Story(
        heads=(*receipts_of(run.request), f"{when}{found.model} · {run.id} · {run.ending}"),
        question=found.question,
        thought=thought_of(run.events),
        thinking=readable(found.thinking),
        answer=readable(found.answer or found.partial_answer or ""),
        notes=tuple(f"note[{notice.code}]: {notice.text}" for notice in found.notices),
        unfinished=found.answer is None,
    )
