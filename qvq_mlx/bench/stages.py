"""Times what a loaded model does, stage by stage, through the engine that answers questions.

Law: a rate is tokens that were computed over the seconds of their stage alone. Nothing is drafted
but where drafting is measured, and no prompt finds what an earlier one left but where that is.

`pp512` and `tg128` mean what they mean in llama-bench: a prompt of 512 tokens is read, 128 tokens
are written; `@ d2048`: behind a prompt of 2,048.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Engine
from qvq_mlx.core.events import Progress, Stage
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Drafting, Setup
from qvq_mlx.core.tokens import Asked, Control, Finished, Generation, Prompt, Token

Clock = Callable[[], float]
"""Seconds from an arbitrary start."""

TEXT = "Count from one to a thousand, in words, one number a line."
QUESTIONS = ("What is in this picture?", "Which colour is in its upper left corner?")


@dataclass(frozen=True, slots=True)
class Took:
    """So many tokens in so many seconds. `note` says what else was seen."""

    tokens: int
    seconds: float
    note: str = ""

    @property
    def per_s(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds if self.seconds else 0.0


class Bench:
    """A loaded model under the clock. `setup` is that of its questions."""

    def __init__(self, engine: Engine, setup: Setup, clock: Clock, control: Control) -> None:
        self._engine = engine
        self._setup = setup
        self._clock = clock
        self._control = control

    def prefill(self, tokens: int) -> Took:
        """Read a prompt of so many tokens."""
        prompt = self._text_of(tokens + 1)  # the last one is run with the first that is written
        began = ended = 0.0
        for step in self._plain().generate(prompt, _so_many(1), self._control):
            if isinstance(step, Progress) and step.stage is Stage.PREFILL:
                began, ended = began or self._clock(), self._clock()
        return Took(tokens, ended - began)

    def decode(self, tokens: int, depth: int = 0) -> Took:
        """Write so many tokens behind a prompt of `depth`."""
        return replace(self._written(self._plain(), tokens, depth), note="")  # nobody drafts

    def drafted(self, tokens: int) -> Took:
        """Write as `decode` does, with whoever drafts here by itself."""
        return self._written(self._engine.under(self._setup), tokens, 0)

    def encode(self, card: ModelCard, side_tokens: int) -> Took:
        """Run the vision encoder over a square picture."""
        picture, began, ended = _picture(card, side_tokens), 0.0, 0.0
        prompt = self._engine.prompt(QUESTIONS[0], [picture], card.system)
        for step in self._plain().generate(prompt, _so_many(1), self._control):
            if isinstance(step, Progress) and step.stage is Stage.ENCODE:
                began, ended = began or self._clock(), self._clock()
        return Took(picture.tokens, ended - began)

    def second_question(self, card: ModelCard, side_tokens: int) -> tuple[float, float]:
        """Seconds to the first token of a question about a picture, and of another one about it."""
        engine, picture, took = self._plain(), _picture(card, side_tokens), []
        for question in QUESTIONS:
            prompt, began = engine.prompt(question, [picture], card.system), self._clock()
            steps = engine.generate(prompt, _so_many(1), self._control)
            took += [self._clock() - began for step in steps if isinstance(step, Token)]
        return took[0], took[1]

    def in_flight(self, rows: int, tokens: int) -> Took:
        """Write so many tokens of each of several prompts, a pass giving all of them one."""
        prompts = [self._text_of(32 + 3 * row) for row in range(rows)]
        asked = (Asked(prompt, _so_many(tokens), self._control) for prompt in prompts)
        times: dict[int, list[float]] = {}
        for number, step in self._plain().generate_each(asked, rows):
            if isinstance(step, Token):
                times.setdefault(number, []).append(self._clock())
        # while all of them write: the first ones wait for those that are read
        begin = max(row[0] for row in times.values())
        end = min(row[-1] for row in times.values())
        count = sum(begin < time <= end for row in times.values() for time in row)
        return Took(count, end - begin)

    def _plain(self) -> Engine:
        """The engine without a drafter, with nothing kept of an earlier question."""
        return self._engine.under(Setup(Drafting.NONE))

    def _written(self, engine: Engine, tokens: int, depth: int) -> Took:
        """Time what comes behind the first token of a reply."""
        prompt, first, last, note = self._text_of(max(depth, 32)), 0.0, 0.0, ""
        for step in engine.generate(prompt, _so_many(tokens + 1), self._control):
            if isinstance(step, Token):
                last = self._clock()
                first = first or last
            elif isinstance(step, Finished):
                effort = step.effort
                note = ", ".join(filter(None, (effort.drafter, effort.off)))
        return Took(tokens, last - first, note)

    def _text_of(self, tokens: int) -> Prompt:
        """A prompt of so many tokens: one question, over and over."""
        ids = self._engine.prompt(TEXT, [], None).ids
        return Prompt((ids * (tokens // len(ids) + 1))[-tokens:])


def _so_many(tokens: int) -> Generation:
    """Write so many tokens, wherever the model would end."""
    return Generation(Sampling(), tokens, ends=False)


def _picture(card: ModelCard, side_tokens: int) -> Picture:
    """A square picture of slow gradients, as large as its tokens need."""
    side = side_tokens * card.vision.factor_px
    ramp = bytes(x * 255 // side for x in range(side))
    rows = [
        bytes(itertools.chain.from_iterable((x, y * 255 // side, 255 - x) for x in ramp))
        for y in range(side)
    ]
    rgb, tokens = b"".join(rows), side_tokens**2
    return Picture("gradients", side, side, side, side, tokens, "", rgb)
