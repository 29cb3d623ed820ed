"""The state of one linear-attention layer, which can be taken back as far as its mark.

A gated delta net keeps two arrays of fixed size, whatever the number of tokens: the last inputs of
its convolution (rows, width - 1, channels), and the recurrent state (rows, heads, value width, key
width) in 32 bit. Each token overwrites both.

Law: from `mark` on the state after every token is kept, until the next mark; `trim` selects one
of them, and what it gives is to the bit what running the tokens that stay would have given.
Without a mark nothing is kept: prefill passes hundreds of tokens.

The pass itself yields the states: restoring the mark and running the accepted tokens again would
read all weights a second time (docs/engine.md weighs both). It stands in for mlx-vlm's
`ArraysCache`, whose records end with the first take-back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import mlx.core as mx

if TYPE_CHECKING:
    from qvq_mlx.engine.sequence import State


class RecurrentCache:
    """Cache that mlx-vlm's gated delta net reads and writes, with marks.

    `lengths` None: no row is padded.
    """

    lengths = None

    def __init__(self) -> None:
        self._window: mx.array | None = None
        self._recurrent: mx.array | None = None
        self._history: _History | None = None

    @property
    def state(self) -> State:
        """Both arrays. Raises AssertionError where no token was run."""
        assert self._window is not None
        assert self._recurrent is not None
        return self._window, self._recurrent

    @state.setter
    def state(self, state: State) -> None:
        self._window, self._recurrent = state
        self._history = None

    def mark(self) -> None:
        """Keep the state after every token from here on; what is before is for good."""
        self._history = _History(self._window, self._recurrent)

    def settle(self) -> None:
        """Keep nothing more."""
        self._history = None

    def trim(self, tokens: int) -> None:
        """Take back the last `tokens`. Raises AssertionError behind the mark."""
        if not tokens:
            return
        assert self._history is not None
        self._window, self._recurrent = self._history.without(tokens)

    def __getitem__(self, index: int) -> mx.array | None:
        """The convolution's last inputs (index 0) or the recurrent state (1), if there are any."""
        return (self._window, self._recurrent)[index]

    def update_window(self, index: int, inputs: mx.array, width: int, *, lengths: None) -> None:
        """Take the inputs (rows, width + tokens, channels) of a pass, those before it included."""
        assert index == 0
        del lengths  # of padded rows; there are none
        if self._history is not None:
            self._history.extend_window(inputs, width)
        self._window = mx.contiguous(inputs[:, inputs.shape[1] - width :])

    def update_recurrent(
        self, index: int, tokens: int, update: Callable[[mx.array | None, int | None], Any]
    ) -> tuple[mx.array, mx.array]:
        """Run `update` over a pass of so many tokens; outputs and the last state.

        `update` takes the state before and, where states are kept, how many of those between to
        give besides.
        """
        assert index == 1
        outputs, last, *states = update(self._recurrent, self.between(tokens))
        self.take(states[0] if states else None, last)
        return outputs, last

    def between(self, tokens: int) -> int | None:
        """Count the states to keep between those before and after a pass; None: none is kept."""
        return tokens - 1 if self._history is not None and tokens > 1 else None

    def take(self, between: mx.array | None, last: mx.array) -> None:
        """Take the states that a pass gives: `between` (1, tokens - 1, ...), and the last."""
        if self._history is not None:
            self._history.extend_states(between, last)
        self._recurrent = last


class _History:
    """The states since a mark: one after each token, and the mark's own."""

    def __init__(self, window: mx.array | None, recurrent: mx.array | None) -> None:
        self._mark = (window, recurrent)
        self._inputs: mx.array | None = None
        self._width = 0
        self._states: list[tuple[mx.array, int | None]] = []  # an array, and the place in it

    def extend_window(self, inputs: mx.array, width: int) -> None:
        """The inputs of a pass, with `width` of those before it in front."""
        before = self._inputs
        self._width = width
        self._inputs = (
            inputs if before is None else mx.concatenate([before, inputs[:, width:]], axis=1)
        )

    def extend_states(self, between: mx.array | None, last: mx.array) -> None:
        """States (rows, tokens - 1, ...) after all tokens of a pass but the last, and after it."""
        if between is not None:
            self._states += [(between, place) for place in range(between.shape[1])]
        self._states.append((last, None))

    def without(self, tokens: int) -> tuple[mx.array | None, mx.array | None]:
        """Forget the last `tokens`, and return what was there before them."""
        kept = len(self._states) - tokens
        assert kept >= 0
        assert self._inputs is not None
        del self._states[kept:]
        if not kept:
            self._inputs = None
            return self._mark
        self._inputs = self._inputs[:, : self._width + kept]
        array, place = self._states[-1]
        return (
            mx.contiguous(self._inputs[:, kept:]),
            array if place is None else array[:, place],
        )
