"""What will be done for one request, decided before anything heavy is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.clip import Visual
from qvq_mlx.core.events import Notice
from qvq_mlx.core.rates import Rates
from qvq_mlx.core.request import Request, Sampling
from qvq_mlx.core.rounds import Attachment, Round, Source, kept, retold
from qvq_mlx.core.setup import Setup
from qvq_mlx.core.tokens import AnswerConstraint


@dataclass(frozen=True, slots=True)
class Plan:
    """A request with every name resolved and every default filled in.

    `folder` is the absolute path of the checkpoint; `system` None sends no system message;
    `budget_tokens` None sets no bounds to the thinking. `notices` are said before the first event.
    `alone`: the model is so big that no second one may be loaded at the same time; `wait`: and then
    this run waits for its turn. `votes`: samples to draw from one prefill, sample r with seed + r.
    `request` is what was asked for, before names were resolved and defaults filled in.

    `rounds` are the earlier ones, of which the model is told as many as `room_bytes` allow;
    `pictures` are those of all rounds and of the question, in order, and `sources` what they come
    from. `attachments` are the bytes of sources that could not be read again. The first
    `seen_pictures` need no receipt any more.

    `rates`: how fast earlier runs were here.
    """

    question: str
    card: ModelCard
    folder: Path
    pictures: tuple[Visual, ...]
    system: str | None
    sampling: Sampling
    max_tokens: int
    constraint: AnswerConstraint | None = None
    setup: Setup = Setup()
    notices: tuple[Notice, ...] = ()
    alone: bool = False
    wait: bool = True
    budget_tokens: int | None = None
    answer_tokens: int = 1024
    votes: int = 1
    verify: bool = False
    rates: Rates = Rates()
    request: Request | None = None
    rounds: tuple[Round, ...] = ()
    room_bytes: int | None = None
    sources: tuple[Source, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    follows: str | None = None
    seen_pictures: int = 0

    @property
    def labelled(self) -> bool:
        """Whether several pictures of a message are numbered.

        Always, but where a conversation that began with one picture is retold in one message: that
        picture had no number, and what was computed of it is used again.
        """
        shown = [past.pictures for past in self.rounds if past.pictures]
        return self.card.rounds or not shown or shown[0] > 1

    def posed(self, question: str) -> tuple[str, tuple[Round, ...]]:
        """`question` and the earlier rounds as this model takes them: as rounds, or in words."""
        rounds = kept(self.rounds, self.room_bytes)
        return (question, rounds) if self.card.rounds else (retold(question, rounds), ())
