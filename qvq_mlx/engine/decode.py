"""The decode loop. There is one.

Law: a block is the next token, or the tokens that are forced next, and behind the next token
whatever a drafter proposes. It is run in one forward pass and committed token by token; `Control`
is read between two commits, and what it asks for rejects the rest of the block. What was not
committed is taken back from the cache, which is marked before each pass. So drafting, steering and
rows never change the text: a drafted token is committed only where it is the token that the model
itself draws there.

The pass of a block is dispatched before its first token is handed out: the device works while the
screen draws. Several rows march in step, one token a pass, and leave one by one.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import mlx.core as mx

from qvq_mlx.core.events import StopReason
from qvq_mlx.core.tokens import Control, Generation, Token
from qvq_mlx.engine.constraint import AnswerMask
from qvq_mlx.engine.sample import Sampler
from qvq_mlx.engine.sequence import KVSequence
from qvq_mlx.engine.soundness import at_drawn, check_finite, told_apart
from qvq_mlx.engine.speculation import MOST_TOKENS, Speculation
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


def decode(
    start: Start, rows: Sequence[Row], speculation: Speculation
) -> Generator[Token, None, None]:
    """Tokens as they are committed, until every row has its `ending`.

    Raises UnsoundLogitsError before a token is committed that was drawn from no numbers.
    """
    sequence, live = start.sequence, list(rows)
    offset = start.position - (len(start.ids) - 1)

    def draw_after(block: mx.array, *, taken: bool = False) -> tuple[mx.array, mx.array]:
        """Run a block (rows, tokens), draw what follows each token, and return that and the logits
        of it; dispatched, not awaited.

        `taken`: its tokens are committed already.
        """
        first = sequence.length
        sequence.mark()
        logits = sequence.forward(block, first + offset)  # (rows, tokens, vocab)
        drawn = [
            row.sampler(
                row.penalised(logits[place], block[place], taken=taken),
                first + 1,
                row.allowed(block, place, taken=taken),
            )
            for place, row in enumerate(live)
        ]
        together = mx.stack(drawn) if len(drawn) > 1 else drawn[0][None]  # (rows, tokens)
        values = at_drawn(logits, together)
        if first == len(start.ids) - 1:
            apart = told_apart(logits, live[0].sampler.vocabulary_size)
            values = mx.where(apart, values, mx.nan)
        mx.async_eval(together, values)  # type: ignore[no-untyped-call]
        return together, values

    # (rows, 1), not in the cache
    pending, values = draw_after(mx.array([[start.ids[-1]]] * len(live)), taken=True)
    while True:
        staying = [place for place, row in enumerate(live) if not row.ended()]
        if not staying:
            return
        if len(staying) < len(live):
            live, pending = [live[place] for place in staying], pending[mx.array(staying)]
            sequence.keep(staying)
        if any(row.owes_an_answer for row in live):
            drawn_next = cast("list[list[int]]", pending.tolist())
            for row, [token_id] in zip(live, drawn_next, strict=True):
                row.foresee(token_id)
        most = 1 if len(live) > 1 else MOST_TOKENS
        forced = [row.forced(min(most, row.room)) for row in live]
        drafted = 0
        if any(forced):
            block = _with_forced(forced, pending)
        elif len(live) == 1 and speculation.on:
            drafts = speculation.propose(live[0].sequence, pending[0], live[0].room - 1)
            drafted = drafts.size
            block = mx.concatenate([pending, drafts[None]], axis=1) if drafted else pending
        else:
            block = pending
        before = values
        drawn, values = draw_after(block)
        ids = cast("list[list[int]]", block.tolist())  # known before the pass is done
        check_finite(before)
        kept = 0
        for place, row in enumerate(live):
            count = yield from row.commit(ids[place], drawn, place, bool(forced[place]))
            kept = max(kept, count)
        if drafted and kept > 1:
            check_finite(values)  # which were awaited to compare the drafts
        sequence.trim(block.shape[1] - kept)
        speculation.judged(drafted, max(kept - 1, 0))
        pending = drawn[:, max(kept, 1) - 1 : max(kept, 1)] if block.shape[1] > 1 else drawn
        if any(row.held.begins for row in live) and _any_refused(live, pending):
            # drawn before it was known that the answer begins with it: draw again
            sequence.trim(1)
            last = mx.array([[row.sequence[-1]] for row in live])
            pending, values = draw_after(last, taken=True)


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a row ended, whether it was told to conclude, and text of an unfinished character."""

    stop_reason: StopReason
    concluded: bool = False
    tail: str = ""


class Row:
    """One sequence: how it goes on from the prompt, and what it has written so far."""

    def __init__(
        self,
        prompt: Sequence[int],
        vocabulary: Vocabulary,
        eos_ids: frozenset[int],
        generation: Generation,
        control: Control,
        number: int = 0,
    ) -> None:
        self.ending: Ending | None = None
        self.sequence = list(prompt)  # the prompt, and every token committed since
        self.sampler = Sampler(generation.sampling, vocabulary.size)
        self._penalties: Penalties | None = None
        if generation.sampling.penalises:
            from qvq_mlx.engine.penalties import Penalties  # few models ask for any

            self._penalties = Penalties(generation.sampling, prompt, vocabulary.size)
        self._number = number
        self._end = len(prompt) + generation.max_tokens
        self._control = control
        self._eos_ids = eos_ids
        self._closing = vocabulary.encode(generation.closing) if generation.closing else []
        self._due: list[int] = []  # of the closing text
        self._concluded = False
        self.held = AnswerMask(generation.constraint, vocabulary, eos_ids)
        self._detokenizer = Detokenizer(vocabulary)

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

    def penalised(self, logits: mx.array, block: mx.array, *, taken: bool) -> mx.array:
        """`logits` (tokens, vocab) behind a block (tokens,), less what its words cost."""
        if self._penalties is None:
            return logits
        return self._penalties.applied(logits, self.sequence, block, taken=taken)

    def allowed(self, block: mx.array, place: int, *, taken: bool) -> mx.array | None:
        """Return the tokens allowed behind each of a block (rows, tokens), ours in row `place`."""
        if not self.held.begun:
            return None
        return self.held.allowed(cast("list[list[int]]", block.tolist())[place], taken=taken)

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
            yield Token(token_id, text, forced, self._number)
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


def _any_refused(live: Sequence[Row], pending: mx.array) -> bool:
    """True if a row's answer may not begin with what was drawn for it.

    The likeliest token under some noise is the likeliest of those that are allowed, if it is one.
    """
    drawn = cast("list[list[int]]", pending.tolist())
    # every row is asked: `refuses` notes that the answer begins
    refused = [row.held.refuses(first) for row, [first] in zip(live, drawn, strict=True)]
    return any(refused)


def _with_forced(forced: Sequence[Sequence[int]], pending: mx.array) -> mx.array:
    """A block (rows, tokens): forced tokens where a row has some, else its pending one."""
    drawn = cast("list[list[int]]", pending.tolist())
    return mx.array([list(said) or free for said, free in zip(forced, drawn, strict=True)])
