"""Asks the question of a saved run again, of the same model or another, and shows both answers.

Law: the same is asked of the same bytes. An image that is not what it was, by its SHA-256, is
refused, unless the user says that it may have changed; one that is gone is refused. What the user
had set is set again; what the model chose by itself, the model that is asked now chooses.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import QvqError
from qvq_mlx.core.request import (
    Limits,
    Method,
    Origin,
    Output,
    OutputForm,
    Policy,
    PromptOptions,
    Request,
    SamplingOverrides,
    ThinkingView,
)
from qvq_mlx.core.rounds import Shown
from qvq_mlx.history import Run
from qvq_mlx.history.exporting import result
from qvq_mlx.records.runs import VERSION, Json
from qvq_mlx.render.beside import side_of, write_beside
from qvq_mlx.render.clean import json_text
from qvq_mlx.run.ending import notifying
from qvq_mlx.run.following import shown_of
from qvq_mlx.run.show import run as ask
from qvq_mlx.settings.config import Settings


def ask_again(run: Run, request: Request, env: Env, settings: Settings, *, as_json: bool) -> int:
    """Ask `request`, which `request_again` made of `run`, and show both answers; in a pipe the new
    one alone. Returns the exit code of the new run.

    Raises a QvqError where it has no whole answer, ImageChangedError among them.
    """
    if not as_json and not env.stdout.isatty():
        return ask(request, Output(), env, settings)
    now, failure = _result(request, env, settings)
    then = asdict(result(run))
    if now is not None and as_json:
        both = {"version": VERSION, "earlier": then, "again": now}
        env.stdout.write(json_text(both, indent=2) + "\n")
    elif now is not None:
        write_beside(side_of(f"then: {run.id}", then), side_of("now", now), env)
    if failure is not None:
        raise failure
    return 0


def request_again(run: Run, history_folder: Path, model: str | None, *, changed: bool) -> Request:
    """The question of `run`, for `model`; None: the one that was asked.

    `changed`: images are taken as they are now.
    """
    then = run.request
    given = then.given
    shown = shown_of(then, history_folder)
    if changed:
        shown = tuple(
            one if one.data is not None else Shown(replace(one.source, sha256="")) for one in shown
        )
    return Request(
        question=then.question,
        images=(),
        model=model or then.model_argument or then.model,
        rounds=then.rounds,
        earlier=shown,
        # a run of an earlier version does not say what was given: what it used is taken
        prompt=PromptOptions(given.system if given else (then.system or "")),
        limits=Limits(
            budget=given.budget if given else None,
            answer_tokens=then.answer_tokens,
            max_tokens=given.max_tokens if given else then.max_tokens,
            think=given.think if given else None,
        ),
        sampling=given.sampling if given else SamplingOverrides(**asdict(then.sampling)),
        method=Method(
            votes=then.votes,
            double_check=then.double_check,
            schema=then.schema or "",
            lang=then.lang,
            look=then.look,
            kv_bits=then.kv_bits,
        ),
        policy=Policy(draft=then.draft),
        origin=Origin(follows=then.follows),
    )


def _result(request: Request, env: Env, settings: Settings) -> tuple[Json | None, QvqError | None]:
    """The new run as `--json` prints it, and how it failed. It is watched on stderr meanwhile."""
    document = io.StringIO()
    view = ThinkingView.TAIL if env.stderr.isatty() else None
    failure = None
    try:
        with notifying(env, settings, "the run"):
            ask(request, Output(OutputForm.JSON, view), replace(env, stdout=document), settings)
    except QvqError as error:
        failure = error
    text = document.getvalue()
    return (json.loads(text) if text else None), failure
