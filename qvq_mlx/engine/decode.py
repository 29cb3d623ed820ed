"""The decode loop. There is one.

Law: a block is the next token, or the tokens that are forced next, and behind the next token
whatever a drafter proposes. It is run in one forward pass and committed token by token; `Control`
is read between two commits, and what it asks for rejects the rest of the block. What was not
committed is taken back from the cache, which is marked before each pass. So drafting, steering and
rows never change the text: a drafted token is committed only where it is the token that the model
itself draws there.

The pass of a block is dispatched before its first token is handed out: the device works while the
screen draws. Rows of other prompts and lengths share a pass, one token each; they leave one by one,
and others join between two passes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import cast

import mlx.core as mx

from qvq_mlx.core.events import Progress
from qvq_mlx.core.tokens import Token
from qvq_mlx.engine.row import Row
from qvq_mlx.engine.sequence import forward_together
from qvq_mlx.engine.soundness import at_drawn, check_finite, told_apart
from qvq_mlx.engine.speculation import MOST_TOKENS, Speculation

Arrivals = Iterable[Row | Progress | None]
"""Rows that join while others run. Pulled once between two passes: a row that is ready, the
progress of one that is being read, or None where there is no room or nobody waits."""


def decode(
    rows: Sequence[Row], speculation: Speculation, arrivals: Arrivals = ()
) -> Generator[Token | Progress | Row, None, None]:
    """Tokens as they are committed, and each row as soon as it has its `ending`.

    Ends when every row has ended and no more arrive. Raises UnsoundLogitsError before a token is
    committed that was drawn from no numbers.
    """
    live, alone, waiting = list(rows), len(rows) == 1, iter(arrivals)
    pending = mx.array([[row.sequence[-1]] for row in live])  # (rows, 1), not in the cache
    values: mx.array | None = None  # the logits of what was drawn
    while True:
        staying = [place for place, row in enumerate(live) if not row.ended()]
        yield from (row for row in live if row.ending is not None)
        if len(staying) < len(live):
            live = [live[place] for place in staying]
            pending = pending[mx.array(staying)] if live else pending[:0]
        if (joined := (yield from _next_row(waiting, wait=not live))) is not None:
            first = mx.array([[joined.sequence[-1]]])
            pending = mx.concatenate([pending.astype(first.dtype), first]) if live else first
            live.append(joined)
        if not live:
            return
        forced = _forced(live, pending)
        drafted = 0
        if any(forced):
            block = _with_forced(forced, pending)
        elif alone and speculation.ready and not live[0].taken:
            drafts = speculation.propose(live[0].sequence, pending[0], live[0].room - 1)
            drafted = drafts.size
            block = mx.concatenate([pending, drafts[None]], axis=1) if drafted else pending
        else:
            block = pending
        before, goes_on = values, any(not row.taken for row in live)
        drawn, values = _draw_after(live, block)
        ids = cast("list[list[int]]", block.tolist())  # known before the pass is done
        if before is not None:
            check_finite(before)
        kept: list[int] = []
        for place, row in enumerate(live):
            kept.append((yield from row.commit(ids[place], drawn, place, bool(forced[place]))))
        if drafted and kept[0] > 1:
            check_finite(values)  # which were awaited to compare the drafts
        for row, count in zip(live, kept, strict=True):
            row.kv.trim(block.shape[1] - count)
        if goes_on:
            speculation.judged(drafted, max(max(kept) - 1, 0))
        if block.shape[1] > 1:  # one row
            drawn = drawn[:, max(kept[0], 1) - 1 : max(kept[0], 1)]
        pending = _drawn_again(live, drawn)


def _next_row(
    arrivals: Iterator[Row | Progress | None], *, wait: bool
) -> Generator[Progress, None, Row | None]:
    """Return a row that joins, if there is one; progress passes. `wait`: until there is one, or
    no more come.
    """
    for arrived in arrivals:
        if isinstance(arrived, Progress):
            yield arrived
        elif arrived is not None:
            return arrived
        if not wait:
            return None
    return None


def _forced(live: Sequence[Row], pending: mx.array) -> list[list[int]]:
    """The tokens that each row has to say next; none where it goes on by itself."""
    if any(row.owes_an_answer and not row.taken for row in live):
        drawn_next = cast("list[list[int]]", pending.tolist())
        for row, [token_id] in zip(live, drawn_next, strict=True):
            if not row.taken:
                row.foresee(token_id)
    most = 1 if len(live) > 1 else MOST_TOKENS
    return [[] if row.taken else row.forced(min(most, row.room)) for row in live]


def _draw_after(live: Sequence[Row], block: mx.array) -> tuple[mx.array, mx.array]:
    """Run a block (rows, tokens), draw what follows each token, and return that and the logits of
    it; dispatched, not awaited.
    """
    lengths = [row.kv.length for row in live]
    for row in live:
        row.kv.mark()
    logits = forward_together(  # (rows, tokens, vocab)
        [row.kv for row in live],
        block,
        [length + row.offset for length, row in zip(lengths, live, strict=True)],
    )
    drawn = [
        row.sampler(
            row.penalised(logits[place], block[place]),
            length + 1,
            row.allowed(block, place),
        )
        for place, (row, length) in enumerate(zip(live, lengths, strict=True))
    ]
    together = mx.stack(drawn) if len(drawn) > 1 else drawn[0][None]  # (rows, tokens)
    values = at_drawn(logits, together)
    for place, row in enumerate(live):
        if row.is_new:
            apart = told_apart(logits[place : place + 1], row.sampler.vocabulary_size)
            values = mx.where(apart, values, mx.nan)
    mx.async_eval(together, values)  # type: ignore[no-untyped-call]
    return together, values


def _drawn_again(live: Sequence[Row], pending: mx.array) -> mx.array:
    """`pending` (rows, 1), less what was drawn before it was known that the answer begins with it,
    and may not: such a row goes back to its last token, to draw again.

    The likeliest token under some noise is the likeliest of those that are allowed, if it is one.
    """
    if not any(row.held.begins for row in live):
        return pending
    drawn = cast("list[list[int]]", pending.tolist())
    for row, own in zip(live, drawn, strict=True):
        if row.held.refuses(own[0]):
            row.kv.trim(1)
            row.taken = True
            own[0] = row.sequence[-1]
    return mx.array(drawn) if any(row.taken for row in live) else pending


def _with_forced(forced: Sequence[Sequence[int]], pending: mx.array) -> mx.array:
    """A block (rows, tokens): forced tokens where a row has some, else its pending one."""
    drawn = cast("list[list[int]]", pending.tolist())
    return mx.array([list(said) or free for said, free in zip(forced, drawn, strict=True)])
