"""Shows a saved run again: on a screen as it ended, with keys, or one part of it for a script."""

from __future__ import annotations

from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx import history
from qvq_mlx.core.env import Env
from qvq_mlx.history import Run
from qvq_mlx.run.left_out import warn
from qvq_mlx.settings.config import Settings

if TYPE_CHECKING:  # what only prints an answer waits for none of these
    from qvq_mlx.render.pages import Story


class Form(Enum):
    """Forms of a printed run."""

    SCREEN = auto()
    """On a terminal as the run left it, elsewhere the answer."""
    ANSWER = auto()
    THINKING = auto()
    JSON = auto()
    JSONL = auto()
    BOXED = auto()
    BOXES = auto()


def find(folder: Path, prefix: str | None, env: Env) -> Run:
    """The run whose id begins with `prefix`; the last one for None. Raises InputError.

    A newer file that cannot be read is left out, and stderr says so.
    """
    if prefix is not None:
        return history.find(folder, prefix)
    run, skipped = history.newest(folder)
    warn(env, skipped)
    return run


def show(run: Run, form: Form, env: Env, settings: Settings, hint: str) -> bool:
    """Print a run. `hint` is how a person sees the thinking.

    False where the answer was wanted and there is none.
    """
    match form:
        case Form.JSON | Form.JSONL:
            env.stdout.write(_data(run, form))
            return True
        case Form.BOXES:
            env.stdout.write(_boxes(run, settings))
            return True
        case Form.THINKING:
            env.stdout.write(_text(run.transcript.thinking, env) + "\n")
            return True
        case Form.SCREEN | Form.ANSWER | Form.BOXED:
            pass
    complete = run.done is not None and run.done.complete
    if env.stdout.isatty() and form in (Form.SCREEN, Form.BOXED):
        from qvq_mlx.history.exporting import ended
        from qvq_mlx.render.replay import replay

        boxed_only = form is Form.BOXED
        replay(run.request, ended(run), env, hint=hint, view=settings.view, boxed_only=boxed_only)
    elif complete:
        answer = run.transcript.answer
        _say_if_forced(run, env)
        env.stdout.write(_text(_boxed(answer) if form is Form.BOXED else answer, env) + "\n")
    return complete


def _say_if_forced(run: Run, env: Env) -> None:
    """On stderr, where the answer was asked for before the model gave it."""
    from qvq_mlx.core.events import FORCED

    if notices := [notice for notice in run.notices if notice.code in FORCED]:
        from qvq_mlx.render.plain import write_notices

        write_notices(notices, env.stderr)


def view_with_keys(run: Run, env: Env) -> None:
    """Let a person page through a run and search in it, until they leave."""
    from qvq_mlx.render.viewer import view

    view(_story(run), env)


def _data(run: Run, form: Form) -> str:
    from dataclasses import asdict

    from qvq_mlx.history.exporting import lines_json, result
    from qvq_mlx.render.clean import json_text

    if form is Form.JSON:
        return json_text(asdict(result(run)), indent=2) + "\n"
    return "".join(json_text(entry) + "\n" for entry in lines_json(run))


def _boxes(run: Run, settings: Settings) -> str:
    from qvq_mlx.render.documents import boxes_text
    from qvq_mlx.run.pointed import with_coordinates

    done = run.done
    request = with_coordinates(run.request, settings)
    return boxes_text(request, run.transcript.answer, complete=bool(done and done.complete))


def _boxed(answer: str) -> str:
    from qvq_mlx.reply.box import boxed

    content = boxed(answer)
    return answer if content is None else content


def _text(text: str, env: Env) -> str:
    """As it is in a pipe; on a terminal harmless.

    Its lines are not broken: the terminal does that, and gives a copy of a paragraph in one line.
    """
    from qvq_mlx.render.clean import clean, writable

    return writable(clean(text) if env.stdout.isatty() else text, env.stdout)


def _story(run: Run) -> Story:
    from qvq_mlx.history.exporting import result
    from qvq_mlx.pointing.in_text import readable
    from qvq_mlx.render.pages import Story
    from qvq_mlx.render.replay import receipts_of, thought_of

    found = result(run)
    when = f"{run.time:%Y-%m-%d %H:%M} · " if run.time else ""
    return Story(
        heads=(
            *receipts_of(run.request),
            *(seen.receipt for seen in found.evidence),
            f"{when}{found.model} · {run.id} · {run.ending}",
        ),
        question=found.question,
        thought=thought_of(run.events),
        thinking=readable(found.thinking),
        answer=readable(found.answer or found.partial_answer or ""),
        notes=tuple(f"note[{notice.code}]: {notice.text}" for notice in found.notices),
        unfinished=found.answer is None,
    )
