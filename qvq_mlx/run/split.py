"""Reads an output that a model wrote elsewhere, and tells its thinking from its answer."""

from __future__ import annotations

from pathlib import Path

from qvq_mlx.core.card import Thinking
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import InputError, NoAnswerError
from qvq_mlx.core.remedies import Remedy
from qvq_mlx.guards.saved import Examined, examine, has_answer, why_no_answer
from qvq_mlx.store import registry
from qvq_mlx.store.styles import voice


def examined(file: str, model: str, env: Env) -> Examined:
    """The text of `file`, `-` for stdin, as `model` writes. Bytes that are no UTF-8 become U+FFFD.

    Raises InputError, and UnknownModelError.
    """
    try:
        content = env.stdin.buffer.read() if file == "-" else Path(file).expanduser().read_bytes()
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(f"{file} cannot be read: {why}") from error
    text = content.decode("utf-8", errors="replace").removeprefix("\ufeff")
    return examine(text, thinking_style(model))


def show_split(env: Env, file: str, model: str, more: Remedy | None, *, as_json: bool) -> None:
    """Print thinking and answer of a saved output. Raises NoAnswerError where it has no answer;
    `more` is its remedy.
    """
    from qvq_mlx.records.split import split_record
    from qvq_mlx.render import listing
    from qvq_mlx.render.split import write_answer, write_findings

    found = examined(file, model, env)
    whole = has_answer(found)
    if as_json:
        listing.write_json(env, split_record(found))
    else:
        write_findings(env, found)
        if whole:
            write_answer(env, found.transcript.answer)
    if not whole:
        raise NoAnswerError(why_no_answer(found), more)


def thinking_style(model: str) -> Thinking:
    """Return the thinking style of a shipped model, or of one that is known by its style alone.

    Raises UnknownModelError.
    """
    shipped = next((card for card in registry.cards() if card.answers_to(model)), None)
    if shipped is not None:
        return shipped.thinking
    return voice(model) or registry.find(model).thinking
