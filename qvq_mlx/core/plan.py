"""The plan of one request, made before anything heavy is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.card import ModelCard, Thinking
from qvq_mlx.core.clip import Visual
from qvq_mlx.core.events import Notice, Stage
from qvq_mlx.core.remedies import Message
from qvq_mlx.core.request import Placement, Request, Sampling
from qvq_mlx.core.rounds import Attachment, Round, Source, kept, retold
from qvq_mlx.core.setup import Checkpoint, Setup
from qvq_mlx.core.tokens import AnswerConstraint

if TYPE_CHECKING:  # most runs look at no region, and ask no host
    from qvq_mlx.core.host import Served
    from qvq_mlx.core.look import Look

CLOSING_TOKENS = 32
"""Room for the text that is forced where the budget ends."""
STAGES = (Stage.LOAD, Stage.ENCODE, Stage.PREFILL)
"""The stages before the first token, in order."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Speeds of one model on this machine, per second; 0.0: not known.

    load: bytes of weights; encode: image tokens; prefill: prompt tokens.
    """

    load: float = 0.0
    encode: float = 0.0
    prefill: float = 0.0

    def of(self, stage: Stage) -> float:
        """The rate of a stage, in the unit of its progress."""
        return {Stage.LOAD: self.load, Stage.ENCODE: self.encode, Stage.PREFILL: self.prefill}.get(
            stage, 0.0
        )


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request resolved for its model: every default filled in.

    `folder` is the absolute path of the checkpoint; `system` None sends no system message;
    `budget_tokens` None sets no bounds to the thinking. `max_tokens` bound thinking and answer
    together. `setup` says who drafts, and what may be kept. `sampling_note` says what a vote
    changed of the sampling. `thinks` False: the model is asked not to think, which it could.

    `served` is the model of a host that is asked instead; its `folder` is no folder then, but its
    address as a path. None: the model is loaded from there.
    """

    card: ModelCard
    folder: Path
    system: str | None
    sampling: Sampling
    max_tokens: int
    budget_tokens: int | None = None
    setup: Setup = Setup()
    sampling_note: Message | None = None
    thinks: bool = True
    served: Served | None = None

    @property
    def thinking(self) -> Thinking:
        """The voice of this run."""
        return self.card.thinking if self.thinks else self.card.thinking.switched_off

    def reply_tokens(self, answer_tokens: int) -> int:
        """The most tokens that the model writes: thinking, closing text and answer.

        `answer_tokens` may follow once the budget is spent.
        """
        if self.budget_tokens is None:
            return self.max_tokens
        return min(self.max_tokens, self.budget_tokens + CLOSING_TOKENS + answer_tokens)

    @property
    def checkpoint(self) -> Checkpoint:
        """The weights, and their card."""
        return Checkpoint(self.card, self.folder)


@dataclass(frozen=True, slots=True)
class Plan:
    """A request, what it means for its model, and the pictures that were read for it.

    `pictures` are those of all rounds and of the question, in order, and `sources` what they come
    from. `attachments` are the bytes of sources that could not be read again. Of earlier rounds
    the model is told as many as `room_bytes` allow; None: all.

    `notices` are said before the first event. `alone`: the model is so big that no second one may
    be loaded at the same time. `rates`: how fast earlier runs were here. `look` None: no region is
    looked at.
    """

    request: Request
    resolved: Resolved
    pictures: tuple[Visual, ...] = ()
    constraint: AnswerConstraint | None = None
    notices: tuple[Notice, ...] = ()
    alone: bool = False
    room_bytes: int | None = None
    sources: tuple[Source, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    rates: Rates = Rates()
    look: Look | None = None

    @property
    def labelled(self) -> bool:
        """True if several pictures of a message are numbered.

        Where the request says so, but not where a conversation that began with one picture is
        retold in one message: that picture had no number, and what was computed of it is used
        again.
        """
        if self.request.prompt.placement is not Placement.NUMBERED:
            return False
        shown = [past.pictures for past in self.request.rounds if past.pictures]
        return self.resolved.card.rounds or not shown or shown[0] > 1

    @property
    def inline(self) -> bool:
        """True if the question's pictures stand where it says `<image n>`."""
        return self.request.prompt.placement is Placement.INLINE

    def posed(self, question: str) -> tuple[str, tuple[Round, ...]]:
        """`question` and the earlier rounds as this model takes them: as rounds, or in words."""
        rounds = kept(self.request.rounds, self.room_bytes)
        return (question, rounds) if self.resolved.card.rounds else (retold(question, rounds), ())
