"""The last hidden states of a sequence, for a drafter that reads on from them.

Law: the trace ends where its sequence ends: what is taken back from the one is taken back from the
other. It holds `WINDOW` tokens or little more, whatever the length of the sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx

from qvq_mlx.engine.prompt import Positions

WINDOW = 1024
"""Tokens. A head of one layer guesses the next few words from the last ones; all of a long prompt
would cost memory and time that are not worth it."""


@dataclass(frozen=True, slots=True)
class ReadPart:
    """A part of the prompt: embeddings and hidden states (1, tokens, hidden), and positions
    (3, tokens).
    """

    rows: mx.array
    hidden: mx.array
    positions: Positions


class Trace:
    """Hidden states (1, tokens, hidden), after the last norm, from the token `first` on."""

    def __init__(self, first: int) -> None:
        self.first = first
        self._hidden: list[mx.array] = []
        self._read: list[ReadPart] = []

    @property
    def arrays(self) -> list[mx.array]:
        """All that mx.eval has to evaluate behind a part of the prompt."""
        return self._hidden[-1:]

    def read(self, rows: mx.array, hidden: mx.array, positions: Positions) -> None:
        """Take a part of the prompt; see `ReadPart`."""
        self._read.append(ReadPart(rows, hidden, positions))
        self._hidden.append(hidden)

    def taken_parts(self) -> list[ReadPart]:
        """The parts of the prompt; they are not kept any longer."""
        parts, self._read = self._read, []
        return parts

    def add(self, hidden: mx.array) -> None:
        """Take the states of one more pass."""
        self._hidden.append(hidden)
        if sum(part.shape[1] for part in self._hidden[1:]) > WINDOW:
            self.first += self._hidden.pop(0).shape[1]

    def trim(self, tokens: int) -> None:
        """Take back the last `tokens`."""
        while tokens and self._hidden:
            last = self._hidden.pop()
            if last.shape[1] > tokens:
                self._hidden.append(last[:, : last.shape[1] - tokens])
            tokens = max(0, tokens - last.shape[1])

    def since(self, index: int) -> mx.array:
        """States from the token `index` on, at least one; those before are forgotten."""
        held = self._hidden
        whole = held[0] if len(held) == 1 else mx.concatenate(held, axis=1)
        rest = whole[:, index - self.first :]
        self.first, self._hidden = index, [rest]
        return rest
