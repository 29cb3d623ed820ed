"""What the decode loop yields, and the one object that steers it.

Law: `Control` is the only mutable object between the screen, the guards and the decode loop.
They write; the loop reads it between two commits, never in the middle of a forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from qvq_mlx.core.events import Progress, StopReason
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is given: token ids with image tokens in place, and the pictures, in order."""

    ids: tuple[int, ...]
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """How to go on from a prompt: draw so, at most `max_tokens`, and conclude with `closing`."""

    sampling: Sampling
    max_tokens: int
    closing: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """One committed token. `text` may be empty: a part of a character, or a special token."""

    id: int
    text: str
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The engine's last item: why it ended, what was held back, and what it measured."""

    stop_reason: StopReason
    tail: str
    """Text of an unfinished character (U+FFFD) that no later token completed."""
    prompt_tokens: int
    image_tokens: int
    peak_memory_bytes: int
    concluded: bool


Step = Progress | Token | Finished


class Control:
    """Stop now, or say this next."""

    __slots__ = ("_concluding", "_stopping")

    def __init__(self) -> None:
        self._stopping = False
        self._concluding = False

    def conclude(self) -> None:
        """Ask for the final answer now: the loop forces the card's closing text, once."""
        self._concluding = True

    def stop(self) -> None:
        """End the run before the next commit, or between two chunks of prefill."""
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """True once `stop` was called."""
        return self._stopping

    @property
    def concluding(self) -> bool:
        """True once `conclude` was called."""
        return self._concluding
