"""Values of the decode loop, and the one object that steers it.

Law: `Control` is the only mutable object between the screen, the guards and the decode loop.
They write; the loop reads it between two commits, never in the middle of a forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from qvq_mlx.core.card import Thinking
from qvq_mlx.core.clip import Visual
from qvq_mlx.core.events import Progress, StopReason
from qvq_mlx.core.request import Sampling


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt: token ids with image tokens in place, and the pictures that they stand for."""

    ids: tuple[int, ...]
    pictures: tuple[Visual, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerConstraint:
    """Constraints on the answer, from its first token on; `thinking` tells where that is.

    `schema` is the text of a JSON schema, empty for none; `scripts` names the scripts (their
    values in guards.language.Script) that letters may be of, None for any.
    """

    thinking: Thinking
    schema: str = ""
    scripts: frozenset[str] | None = None


class Continuation:
    """A sequence that one run keeps between two turns: its next prompt goes on from there.

    Law: it belongs to one run, and only the engine looks inside; who lets go of it frees the
    memory.
    """

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept: object | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """Settings of one generation: sampling, at most `max_tokens`, and the closing text.

    `continuation`: where the prompt begins with the ids that are kept there, nothing of them is
    computed again, and what is written is kept for a next turn. With `kv_bits` 8 or 4 keys and
    values are quantised when the prompt is read, and what is written is kept for no next turn:
    a prompt is read at full precision. `ends` False: where the model ends its turn it writes on, up
    to `max_tokens`, which is for who measures and not for who reads.
    """

    sampling: Sampling
    max_tokens: int
    closing: str = ""
    constraint: AnswerConstraint | None = None
    continuation: Continuation | None = None
    kv_bits: int | None = None
    ends: bool = True


class Part(StrEnum):
    """The two parts of a reply."""

    THINKING = "thinking"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Token:
    """One committed token. `text` may be empty: a part of a character, or a special token.

    `row` counts the samples that are drawn side by side; there is one, unless several are asked
    for. `part` is what whoever wrote it calls it; None: the text alone tells.
    """

    id: int
    text: str
    forced: bool = False
    row: int = 0
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Peaks:
    """The highest memory use of each stage, in bytes, weights included."""

    load_bytes: int = 0
    encode_bytes: int = 0
    prefill_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Effort:
    """The cost of decoding. `passes` count passes of the model, not of a drafter's.

    `drafter`: "none", "lookup", "mtp" or the name of a draft model. `off` says why drafting ended,
    if it did.
    """

    drafter: str = "none"
    passes: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    off: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The engine's last item: why it ended, what was held back, and what it measured.

    `tail` is text of an unfinished character (U+FFFD) that no later token completed;
    `cached_tokens` are prompt tokens that were kept of an earlier run, the first `cached_images`
    pictures among them. `schema_met` is None where the answer was held to no schema.
    """

    stop_reason: StopReason
    tail: str
    prompt_tokens: int
    image_tokens: int
    peak_memory_bytes: int
    concluded: bool
    schema_met: bool | None = None
    cached_tokens: int = 0
    peaks: Peaks = Peaks()
    effort: Effort = Effort()
    cached_images: int = 0


Step = Progress | Token | Finished


class Control:
    """Stop now, or say this next. Of two wishes of a kind the first one counts.

    What is asked of the control `above` holds for this one too, and not the other way round: a run
    of several samples or passes has one for each, and the user's above them.
    """

    __slots__ = ("_above", "_concluding", "_conclusion", "_reason", "_stopping", "over")

    def __init__(self, above: Control | None = None) -> None:
        self._above = above
        self._stopping = False
        self._reason = StopReason.INTERRUPT
        self._concluding = False
        self._conclusion: StopReason | None = None
        self.over = False
        """The stream has come to its `Done`, which is on its way through what saves it."""

    def conclude(self, reason: StopReason | None = None) -> None:
        """Ask for the final answer now: the loop forces the card's closing text, once.

        `reason` is the guard's; None where the user asked.
        """
        if not self.concluding:
            self._concluding, self._conclusion = True, reason

    def stop(self, reason: StopReason = StopReason.INTERRUPT) -> None:
        """End the run before the next commit, or between two chunks of prefill."""
        if not self._stopping or reason is StopReason.INTERRUPT:
            self._stopping, self._reason = True, reason

    @property
    def stopping(self) -> bool:
        """True once `stop` was called."""
        return self._stopping or (self._above is not None and self._above.stopping)

    @property
    def reason(self) -> StopReason:
        """Why to stop; meaningful once `stopping`. The user's wish counts before a guard's."""
        if self._above is not None and self._above.stopping:
            return self._above.reason
        return self._reason

    @property
    def concluding(self) -> bool:
        """True once `conclude` was called."""
        return self._concluding or (self._above is not None and self._above.concluding)

    @property
    def conclusion(self) -> StopReason | None:
        """The guard's reason for concluding; None where the user asked, or nobody."""
        return self._conclusion


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a loaded model: its prompt, how the reply goes on, and what steers it."""

    prompt: Prompt
    generation: Generation
    control: Control
