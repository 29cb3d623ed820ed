"""Drafters: cheap guesses at the next tokens, for the model to verify in one pass.

Law: a drafter cannot change the text, only how many passes it takes. It is given the sequence as it
was committed and proposes what may follow; nobody tells it what became of a proposal, it sees that
in the next sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import mlx.core as mx

from qvq_mlx.engine.sample import Sampler
from qvq_mlx.engine.sequence import KVSequence

_MOST_NGRAMS = 1_000_000
"""Some 200 MB; then the table starts anew."""


class Drafter(Protocol):
    """Guesses. `name` is for people."""

    @property
    def name(self) -> str:
        """Return the drafter's name in the stats."""

    def propose(self, sequence: Sequence[int], pending: mx.array, most: int) -> mx.array:
        """Up to `most` ids (tokens,) that may follow `sequence` and then `pending` (1,).

        `sequence` only ever grows between two calls.
        """


class PromptLookup:
    """Propose the tokens that followed the same few tokens the last time.

    Looks in the prompt and the output so far, and in what the session read and wrote before: the
    second question about a folder of pictures is answered in much the same words. Source: prompt
    lookup decoding (Saxena, 2023), with the table kept between runs.
    """

    name = "lookup"

    def __init__(self, longest: int = 4, shortest: int = 2) -> None:
        self._sizes = range(longest, shortest - 1, -1)
        self._after: dict[tuple[int, ...], int] = {}  # n-gram -> the token behind it
        self._learned = 0  # tokens of the current sequence

    def restart(self) -> None:
        """Another sequence begins."""
        self._learned = 0
        if len(self._after) > _MOST_NGRAMS:
            self._after.clear()

    def propose(self, sequence: Sequence[int], pending: mx.array, most: int) -> mx.array:
        """See `Drafter`. Waits for `pending`."""
        self._learn(sequence)
        known = [*sequence[-self._sizes.start :], cast("int", pending.item())]
        drafts: list[int] = []
        while len(drafts) < most:
            found = (self._after.get(tuple(known[-size:])) for size in self._sizes)
            token_id = next((token for token in found if token is not None), None)
            if token_id is None:
                break
            drafts.append(token_id)
            known.append(token_id)
        return mx.array(drafts, dtype=pending.dtype)

    def _learn(self, sequence: Sequence[int]) -> None:
        for end in range(self._learned, len(sequence)):
            for size in self._sizes:
                if size <= end:
                    self._after[tuple(sequence[end - size : end])] = sequence[end]
        self._learned = len(sequence)


class DraftModel:
    """A smaller model with the same tokenizer, which has read the same prompt and pictures.

    It draws with the noise that the large model will draw with, so that at any temperature equal
    distributions mean equal tokens.
    """

    def __init__(
        self, name: str, sequence: KVSequence, ids: Sequence[int], offset: int, sampler: Sampler
    ) -> None:
        """`sequence` holds all of `ids`; M-RoPE positions are indices plus `offset`."""
        self.name = name
        self._sequence = sequence
        self._ids = list(ids)  # what the lane holds
        self._offset = offset
        self._sampler = sampler
        self._unread = mx.zeros(0, dtype=mx.int32)  # drafts that the lane holds, not in _ids yet

    def propose(self, sequence: Sequence[int], pending: mx.array, most: int) -> mx.array:
        """See `Drafter`. Dispatches; waits for nothing but the last proposal."""
        if most <= 0:
            return mx.zeros(0, dtype=pending.dtype)
        self._forget_rejected(sequence)
        unseen = mx.array(list(sequence[len(self._ids) :]), dtype=pending.dtype)
        self._ids = list(sequence)
        self._sequence.mark()
        drafts = [self._draw_after(mx.concatenate([unseen, pending]))]
        while len(drafts) < most:
            drafts.append(self._draw_after(drafts[-1]))
        self._unread = mx.concatenate([pending, *drafts[:-1]])
        return mx.concatenate(drafts)

    def _forget_rejected(self, sequence: Sequence[int]) -> None:
        """Take back from the lane what the committed sequence does not hold."""
        held = len(self._ids)
        drafted = cast("list[int]", self._unread.tolist())
        truth = sequence[held : held + len(drafted)]
        accepted = 0
        while accepted < len(truth) and truth[accepted] == drafted[accepted]:
            accepted += 1
        self._sequence.trim(len(drafted) - accepted)
        self._ids += drafted[:accepted]

    def _draw_after(self, block: mx.array) -> mx.array:
        """Run `block` (tokens,) and draw the token after it, shape (1,)."""
        first = self._sequence.length
        logits = self._sequence.forward(block[None], first + self._offset)  # (1, tokens, vocab)
        return self._sampler(logits[0, -1:], first + block.size)
