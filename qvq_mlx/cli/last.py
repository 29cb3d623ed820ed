"""`qvq last`: what the last run said, and what it thought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.core.errors import NoAnswerError, UsageError

if TYPE_CHECKING:
    from qvq_mlx.core.env import Env


def last(
    context: typer.Context,
    thinking: Annotated[bool, typer.Option("--thinking", help="The thinking, whole.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The saved run as JSON.")] = False,
) -> None:
    """Print the answer of the last run, or its thinking."""
    import json  # all of it only now: `qvq --help` reads this module

    from qvq_mlx import config, history
    from qvq_mlx.core.events import Done, fold
    from qvq_mlx.core.records import event_to_json

    if thinking and as_json:
        raise UsageError("--thinking and --json exclude each other", "qvq last --json")
    env: Env = context.obj
    run = history.last(config.read(env).history_folder)
    if as_json:
        document = run.request | {"events": [event_to_json(event) for event in run.events]}
        env.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        return
    transcript = fold(run.events)
    whole = any(isinstance(event, Done) and event.complete for event in run.events)
    if thinking:
        text = transcript.thinking
    elif whole:
        text = transcript.answer
    else:
        raise NoAnswerError("the last run ended without an answer", "qvq last --thinking")
    env.stdout.write((_for_terminal(text, env) if env.stdout.isatty() else text) + "\n")


def _for_terminal(text: str, env: Env) -> str:
    from qvq_mlx.render.clean import clean
    from qvq_mlx.render.rows import wrap

    return "\n".join(wrap(clean(text), env.terminal_size().columns))
