"""The decode loop. There is one.

Law: a block is the next token, or the tokens that are forced next; it is run in one forward pass
and committed token by token, and `Control` is read between two commits. The pass after a block is
dispatched before the block is handed out, so that the device works while the screen draws.

A forced block replaces a token that was drawn and not yet run, so nothing has to be taken back
from the cache. A stop leaves the rest of a block, or the end token, in it: a lane serves one run.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import cast

import mlx.core as mx

from qvq_mlx.core.events import StopReason
from qvq_mlx.core.tokens import Control, Generation, Token
from qvq_mlx.engine.lane import Lane
from qvq_mlx.engine.sample import Sampler
from qvq_mlx.engine.vocabulary import Detokenizer, Vocabulary


@dataclass(frozen=True, slots=True)
class Ending:
    """What the loop returns: why it ended, whether it was told to conclude, what is held back."""

    stop_reason: StopReason
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
) -> Generator[Token, None, Ending]:
    """Tokens as they are committed, then how it ended."""
    sampler = Sampler(generation.sampling, vocabulary.size)
    closing = vocabulary.encode(generation.closing) if generation.closing else []
    detokenizer = Detokenizer(vocabulary)
    index, position = start.index, start.position

    def draw_after(block: mx.array) -> mx.array:
        """Run a block and draw the token after it; dispatched, not awaited."""
        nonlocal index, position
        logits = start.lane.forward(block[None], position)  # (1, tokens, vocab)
        index, position = index + block.size, position + block.size
        drawn = sampler(logits, index)  # (1,)
        mx.async_eval(drawn)  # type: ignore[no-untyped-call]
        return drawn

    committed = 0
    concluded = False
    pending = draw_after(mx.array([start.token]))
    while True:
        if control.stopping:
            return Ending(control.reason, concluded, detokenizer.close())
        if committed >= generation.max_tokens:
            return Ending(StopReason.LENGTH, concluded, detokenizer.close())
        forced: list[int] = []
        if control.concluding and not concluded:
            concluded = True
            forced = closing[: generation.max_tokens - committed]
        upcoming = draw_after(mx.array(forced) if forced else pending)
        for token_id in forced or cast("list[int]", pending.tolist()):
            if control.stopping:
                break  # the rest of the block is not committed
            if not forced and token_id in eos_ids:
                return Ending(StopReason.END, concluded, detokenizer.close())
            committed += 1
            yield Token(token_id, detokenizer.feed(token_id), forced=bool(forced))
        pending = upcoming
