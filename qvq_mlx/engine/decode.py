"""The decode loop. There is one.

Law: a block is the next token, or the tokens that are forced next; it is run in one forward pass
and committed token by token, and `Control` is read between two commits. The pass after a block is
dispatched before the block is handed out, so that the device works while the screen draws.

A forced block replaces a token that was drawn and not yet run, so the cache never holds anything
that was not committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import mlx.core as mx

from qvq_mlx.core.events import StopReason
from qvq_mlx.core.tokens import Control, Generation, Token
from qvq_mlx.engine.adapter import Lane
from qvq_mlx.engine.sample import Sampler
from qvq_mlx.engine.vocabulary import Detokenizer, Vocabulary


@dataclass(slots=True)
class Ending:
    """What the loop leaves behind when it ends: set as it runs, read once it is exhausted."""

    stop_reason: StopReason = StopReason.END
    concluded: bool = False
    tail: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """Where decoding begins: a prefilled lane, its last prompt token, and that token's position.

    `index` counts tokens of the sequence, `position` M-RoPE positions; images make them differ.
    """

    lane: Lane
    token: int
    index: int
    position: int


def decode(
    start: Start,
    vocabulary: Vocabulary,
    eos_ids: frozenset[int],
    generation: Generation,
    control: Control,
    ending: Ending,
) -> Iterator[Token]:
    """Tokens as they are committed. `ending` is complete when the iterator is exhausted."""
    sampler = Sampler(generation.sampling, vocabulary.size)
    closing = vocabulary.encode(generation.closing) if generation.closing else []
    detokenizer = Detokenizer(vocabulary)
    index, position = start.index, start.position

    def draw_after(block: mx.array) -> mx.array:
        """Run a block and draw the token after it; dispatched, not awaited."""
        nonlocal index, position
        logits = start.lane.forward(block, position)  # (1, tokens, vocab)
        index, position = index + block.size, position + block.size
        drawn = sampler(logits, index)  # (1,)
        mx.async_eval(drawn)  # type: ignore[no-untyped-call]
        return drawn

    committed = 0
    pending = draw_after(mx.array([start.token]))
    while True:
        if control.stopping:
            ending.stop_reason = StopReason.INTERRUPT
            break
        if committed >= generation.max_tokens:
            ending.stop_reason = StopReason.LENGTH
            break
        forced: list[int] = []
        if control.concluding and not ending.concluded:
            ending.concluded = True
            forced = closing[: generation.max_tokens - committed]
        block = mx.array(forced) if forced else pending
        upcoming = draw_after(block)
        for token_id in forced or cast("list[int]", pending.tolist()):
            if not forced and token_id in eos_ids:
                ending.stop_reason = StopReason.END
                ending.tail = detokenizer.close()
                return
            committed += 1
            yield Token(token_id, detokenizer.feed(token_id), forced=bool(forced))
        pending = upcoming
    ending.tail = detokenizer.close()
