"""The drafter of a checkpoint's own MTP head (multi-token prediction).

Law: the head reads the hidden state of token i and the embedding of token i + 1, and gives the
hidden state from which the model's own output matrix tells token i + 2; fed with its own guess it
tells the one after that. It shares the model's embedding, and keeps keys and values of its own.
What it guesses is verified like any other draft. Source: the report on DeepSeek-V3, section 2.2.

It reads the last tokens of the prompt, as far as `Trace` has them. Pairs of a state and a token are
held for committed tokens; those of the pending one and of guesses are taken back before the next
proposal, since the model may have gone another way.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from qvq_mlx.engine.language import Language
from qvq_mlx.engine.library import family_package, new_cache
from qvq_mlx.engine.row import Start
from qvq_mlx.engine.sample import Sampler
from qvq_mlx.engine.weights import install
from qvq_mlx.families.family import DraftHead, LayerCache, Values

NAME = "mtp"
_ROUNDS = 5
"""The first compiles kernels and is not counted."""
_GUESSES = 4
"""In a row, when they are timed."""
_LAYER = re.compile(r"layers\.(\d+)\.")


class MTPHead:
    """A head in memory, on the language model that it belongs to."""

    def __init__(self, module: Any, language: Language) -> None:
        self._module = module
        self._language = language

    def new_cache(self) -> list[Any]:
        """Empty keys and values, layer by layer."""
        return new_cache([LayerCache.KEYS_VALUES] * len(self._module.layers))

    def embed(self, ids: mx.array) -> mx.array:
        """Embeddings (1, tokens, hidden) of `ids` (tokens,)."""
        return self._language.embedded(ids[None])

    def hidden(
        self, rows: mx.array, hidden: mx.array, positions: mx.array, cache: list[Any]
    ) -> mx.array:
        """States (1, tokens, hidden) from embeddings `rows` and the states `hidden` of the tokens
        before them, which are at `positions` (3, tokens). Not evaluated.
        """
        found: mx.array = self._module(rows, hidden, positions[:, None], cache)
        return found

    def logits(self, hidden: mx.array) -> mx.array:
        """Logits (1, tokens, vocab) of the token after the one that `rows` held."""
        return self._language.output(hidden)


class _Module(nn.Module):  # type: ignore[name-defined,misc]
    """The head as it is stored: its attributes are the names of its weights."""

    def __init__(self, layers: Sequence[Any], width: int, eps: float) -> None:
        super().__init__()
        self.pre_fc_norm_embedding = nn.RMSNorm(width, eps=eps)  # type: ignore[attr-defined]
        self.pre_fc_norm_hidden = nn.RMSNorm(width, eps=eps)  # type: ignore[attr-defined]
        self.fc = nn.Linear(2 * width, width, bias=False)  # type: ignore[attr-defined]
        self.layers = list(layers)
        self.norm = nn.RMSNorm(width, eps=eps)  # type: ignore[attr-defined]

    def __call__(
        self, rows: mx.array, hidden: mx.array, positions: mx.array, cache: Sequence[Any]
    ) -> mx.array:
        both = [self.pre_fc_norm_embedding(rows), self.pre_fc_norm_hidden(hidden)]
        state: mx.array = self.fc(mx.concatenate(both, axis=-1))
        mask = "causal" if rows.shape[1] > 1 else None
        for layer, own in zip(self.layers, cache, strict=True):
            state = layer(state, mask=mask, cache=own, position_ids=positions)
        last: mx.array = self.norm(state)
        return last


def build_head(
    head: DraftHead,
    package: str,
    text: Values,
    weights: Mapping[str, mx.array],
    quantization: Mapping[str, object],
) -> Any:
    """The module of a head, its weights mapped, not read; see `engine.weights.install`.

    Raises ValueError where a weight is missing, too many, or of a wrong shape.
    """
    found = [_LAYER.match(name) for name in weights]
    layers = 1 + max((int(match[1]) for match in found if match), default=0)
    family = family_package(package)
    config = family.TextConfig(
        **{**text, "num_hidden_layers": layers, "full_attention_interval": 1},
        tie_word_embeddings=True,  # a head has no matrix of its own
    )
    layer = getattr(family.language, head.layer)
    module = _Module(
        [layer(config, layer_idx=0) for _ in range(layers)], config.hidden_size, config.rms_norm_eps
    )
    install(module, weights, quantization)
    return module


class MTPDrafter:
    """The head, following one sequence, which is watched (`KVSequence.watch`)."""

    name = NAME

    def __init__(self, head: MTPHead, start: Start, sampler: Sampler) -> None:
        assert start.sequence.trace is not None
        self._head = head
        self._trace = start.sequence.trace
        self._sampler = sampler
        self._offset = start.position - (len(start.ids) - 1)
        self._cache = head.new_cache()
        self._held = self._trace.first  # the first index whose pair is not held for good
        self._loose = 0  # pairs behind it

    def read(self) -> None:
        """Run what the trace has of the prompt, and wait for it."""
        parts = self._trace.taken_parts()
        if sum(part.rows.shape[1] for part in parts) < 2:
            return
        rows = mx.concatenate([part.rows for part in parts], axis=1)[:, 1:]
        hidden = mx.concatenate([part.hidden for part in parts], axis=1)[:, :-1]
        where = mx.array(np.concatenate([part.positions for part in parts], axis=1)[:, :-1])
        self._head.hidden(rows, hidden, where, self._cache)
        mx.eval([layer.state for layer in self._cache])
        self._held += rows.shape[1]

    def measured_s(self) -> float:
        """Seconds that one guess takes here, of `_GUESSES` behind as many tokens that were accepted
        before; what is held is left as it was.
        """
        ids = mx.zeros(_GUESSES, dtype=mx.int32)
        seconds: list[float] = []
        for _ in range(_ROUNDS):
            hidden = self._head.embed(ids)
            mx.eval(hidden)
            began = time.perf_counter()
            state = self._after(ids, hidden, 0)
            drafts = [self._draw(state, 0)]
            while len(drafts) < _GUESSES:
                state = self._after(drafts[-1], state, 0)
                drafts.append(self._draw(state, 0))
            mx.eval(mx.concatenate(drafts))
            seconds.append(time.perf_counter() - began)
            for layer in self._cache:
                layer.trim(2 * _GUESSES - 1)
        return min(seconds[1:]) / _GUESSES

    def propose(self, sequence: Sequence[int], pending: mx.array, most: int) -> mx.array:
        """See `Drafter`. Dispatches; waits for nothing."""
        if most <= 0:
            return mx.zeros(0, dtype=pending.dtype)
        for layer in self._cache:
            layer.trim(self._loose)
        begin, end = max(self._held, self._trace.first), len(sequence)
        hidden = self._trace.since(begin)
        committed = mx.array(list(sequence[begin + 1 :]), dtype=pending.dtype)
        state = self._after(mx.concatenate([committed, pending]), hidden, begin)
        self._held, self._loose = end - 1, 1
        drafts = [self._draw(state, end + 1)]
        while len(drafts) < most:
            state = self._after(drafts[-1], state, end + len(drafts) - 1)
            self._loose += 1
            drafts.append(self._draw(state, end + 1 + len(drafts)))
        return mx.concatenate(drafts)

    def _after(self, ids: mx.array, hidden: mx.array, first: int) -> mx.array:
        """The last state (1, 1, hidden) of pairs of which the first state is of token `first`."""
        where = mx.broadcast_to(first + self._offset + mx.arange(ids.size), (3, ids.size))
        return self._head.hidden(self._head.embed(ids), hidden, where, self._cache)[:, -1:]

    def _draw(self, state: mx.array, index: int) -> mx.array:
        """Draw the token of that index, shape (1,), with the noise that the model will use."""
        return self._sampler(self._head.logits(state)[0], index)
