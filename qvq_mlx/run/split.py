"""Reads an output that a model wrote elsewhere, and tells its thinking from its answer."""

from __future__ import annotations

from pathlib import Path

from qvq_mlx.core.card import Thinking
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import InputError
from qvq_mlx.guards.saved import Examined, examine
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


def thinking_style(model: str) -> Thinking:
    """Return the thinking style of a shipped model, or of one that is known by its style alone.

    Raises UnknownModelError.
    """
    shipped = next((card for card in registry.cards() if card.answers_to(model)), None)
    if shipped is not None:
        return shipped.thinking
    return voice(model) or registry.find(model).thinking
