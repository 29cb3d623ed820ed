"""One sequence in the decode loop: what it has written, and how it goes on.

Law: a row's text depends on its own prompt, settings and `Control` alone, whoever runs beside it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import mlx.core as mx

from qvq_mlx.core.events import StopReason
from qvq_mlx.core.tokens import Control, Generation, Token
from qvq_mlx.engine.constraint import AnswerMask
from qvq_mlx.engine.sample import Sampler
from qvq_mlx.engine.sequence import KVSequence
from qvq_mlx.engine.vocabulary import Detokenizer, Vocabulary

if TYPE_CHECKING:
    from qvq_mlx.engine.penalties import Penalties


@dataclass(frozen=True, slots=True)
class Start:
    """The start of decoding: a sequence that holds all of the prompt's `ids` but the last, and the
    M-RoPE position of that last one. Images make positions fall behind indices.

    The rest is what getting there took: prompt tokens and pictures that were kept from an earlier
    run, and the peaks of memory.
    """

    sequence: KVSequence
    ids: tuple[int, ...]
    position: int
    cached_tokens: int = 0
    encode_peak_bytes: int = 0
    prefill_peak_bytes: int = 0
    cached_images: int = 0

    def copy(self) -> Start:
        """Return the same start on a sequence of its own."""
        return replace(self, sequence=self.sequence.copy())


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a row ended, whether it was told to conclude, and text of an unfinished character."""

    stop_reason: StopReason
    concluded: bool = False
    tail: str = ""


class Row:
    """One sequence: how it goes on from the prompt, and what it has written so far.

    `taken`: its next block is its last token, which is committed already: the prompt's last one, or
    one behind which the model has to draw again.
    """

    def __init__(
        self,
        start: Start,
        vocabulary: Vocabulary,
        eos_ids: frozenset[int],
        generation: Generation,
        control: Control,
        number: int = 0,
    ) -> None:
        self.ending: Ending | None = None
        prompt = start.ids
        self.start = start
        self.kv = start.sequence
        self.offset = start.position - (len(prompt) - 1)  # of positions from indices
        self.number = number
        self.taken = True
        self.passes = 0
        self.sequence = list(prompt)  # the prompt, and every token committed since
        self.sampler = Sampler(generation.sampling, vocabulary.size)
        self._penalties: Penalties | None = None
        if generation.sampling.penalises:
            from qvq_mlx.engine.penalties import Penalties  # few models ask for any

            self._penalties = Penalties(generation.sampling, prompt, vocabulary.size)
        self._prompt_tokens = len(prompt)
        self._end = len(prompt) + generation.max_tokens
        self._control = control
        self._eos_ids = eos_ids if generation.ends else frozenset()
        self._closing = vocabulary.encode(generation.closing) if generation.closing else []
        self._due: list[int] = []  # of the closing text
        self._concluded = False
        self.held = AnswerMask(generation.constraint, vocabulary, eos_ids)
        self._detokenizer = Detokenizer(vocabulary)

    @property
    def is_new(self) -> bool:
        """True if nothing was committed behind the prompt."""
        return len(self.sequence) == self._prompt_tokens and self.taken

    @property
    def written(self) -> int:
        """Tokens that were committed behind the prompt."""
        return len(self.sequence) - self._prompt_tokens

    @property
    def room(self) -> int:
        """Tokens that may still be committed."""
        return self._end - len(self.sequence)

    def ended(self) -> bool:
        """True if no further block is due: the row has ended, is stopped or is full."""
        if self.ending is None and self._control.stopping:
            self._finish(self._control.reason)
        elif self.ending is None and self.room <= 0:
            self._finish(StopReason.LENGTH)
        return self.ending is not None

    def penalised(self, logits: mx.array, block: mx.array) -> mx.array:
        """`logits` (tokens, vocab) behind a block (tokens,), less what its words cost."""
        if self._penalties is None:
            return logits
        return self._penalties.applied(logits, self.sequence, block, taken=self.taken)

    def allowed(self, block: mx.array, place: int) -> mx.array | None:
        """Return the tokens allowed behind each of a block (rows, tokens), ours in row `place`."""
        if not self.held.begun:
            return None
        ids = cast("list[list[int]]", block.tolist())[place]
        return self.held.allowed(ids, taken=self.taken)

    @property
    def owes_an_answer(self) -> bool:
        """True if the turn must not end yet: a schema waits, and the closing text can be said."""
        return self.held.owed and bool(self._closing) and not self._concluded

    def foresee(self, token_id: int) -> None:
        """Before `token_id` is run: where it ends the turn too early, the closing text is due."""
        if self.owes_an_answer and token_id in self._eos_ids:
            self._conclude()

    def forced(self, most: int) -> list[int]:
        """The next tokens of the closing text, up to `most`; none unless it was asked for."""
        if self._control.concluding and not self._concluded:
            self._conclude()
        forced, self._due = self._due[:most], self._due[most:]
        return forced

    def commit(
        self, ids: Sequence[int], drawn: mx.array, place: int, forced: bool
    ) -> Generator[Token, None, int]:
        """Hand out the tokens `ids` of a block that hold, and return how many did.

        `drawn` (rows, tokens) is what the model draws after each, ours in row `place`. The first
        token holds, as do forced ones; a drafted one holds where it is what was drawn before it.
        """
        if self.taken:
            self.taken = False
            return len(ids)
        self.passes += 1
        truth: list[int] = []
        for count, token_id in enumerate(ids):
            if count and not forced:
                truth = truth or cast("list[list[int]]", drawn.tolist())[place]  # waits
                if token_id != truth[count - 1]:
                    return count
            if token_id in self._eos_ids and not forced:
                if not self.owes_an_answer:
                    self._finish(StopReason.END)
                return count
            self.sequence.append(token_id)
            text = self._detokenizer.feed(token_id)
            self.held.take(token_id, text)
            yield Token(token_id, text, forced, self.number)
            if self.held.begins:
                return count + 1
            if self._control.stopping or (self._control.concluding and not self._concluded):
                return count + 1
        if forced and not self._due:
            self.held.open()
        return len(ids)

    def _conclude(self) -> None:
        """The closing text is due, unless an answer that is held to something has begun."""
        self._concluded = True
        if not self.held.begun:
            self._due = self._closing

    def _finish(self, stop_reason: StopReason) -> None:
        self.ending = Ending(stop_reason, self._concluded, self._detokenizer.close())
