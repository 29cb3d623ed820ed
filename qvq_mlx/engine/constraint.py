"""Constrain the answer: masks on the logits, from its first token on.

Law: a hold never changes a token of the thinking, and never takes a token back. The mask behind a
token depends on the answer so far and on that token alone, so that a block of drafted tokens is
masked as single steps are.

A schema is enforced by llguidance on the token's bytes; scripts by the letters of a token's bytes.
Where both hold, the schema's own strings are always allowed: its keys and values add their scripts,
and where the two leave nothing, the schema alone counts.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import AskAgain, Field
from qvq_mlx.core.tokens import AnswerConstraint
from qvq_mlx.engine.vocabulary import Vocabulary
from qvq_mlx.guards.language import RUNS, Script, begins_letter_outside, has_letter_outside
from qvq_mlx.reply.gate import Gate

if TYPE_CHECKING:
    from llguidance import LLTokenizer

Allowed = npt.NDArray[np.bool_]


class Hold(Protocol):
    """A constraint: the tokens that may come next."""

    def now(self) -> Allowed:
        """(vocabulary,): what may come next."""

    def after(self, ids: Sequence[int]) -> Allowed:
        """(tokens, vocabulary): what may follow each of `ids`, were they the answer's next."""

    def take(self, token_id: int) -> None:
        """A token of the answer was committed."""


class AnswerMask:
    """The answer of one row, and what it is held to: nothing, scripts, a schema."""

    def __init__(
        self, wanted: AnswerConstraint | None, vocabulary: Vocabulary, eos_ids: frozenset[int]
    ) -> None:
        """Raises UsageError for a schema that cannot be enforced."""
        self._holds: list[Hold] = []
        self._schema: SchemaHold | None = None
        if wanted is not None and wanted.schema:
            self._schema = SchemaHold(vocabulary, eos_ids, wanted.schema)
            self._holds.append(self._schema)
        if wanted is not None and wanted.scripts is not None:
            allowed = frozenset(map(Script, wanted.scripts)) | _spelt_in(wanted.schema)
            self._holds.append(ScriptHold(vocabulary, allowed))
        self._gate = Gate(wanted.thinking) if wanted is not None and self._holds else None
        self.begins = False
        """True if the next token is the answer's first, and was drawn before that was known."""

    @property
    def begun(self) -> bool:
        """True if what comes is held to something."""
        return self._gate is not None and self._gate.is_open

    @property
    def owed(self) -> bool:
        """True if the turn must not end yet: a schema waits for an answer."""
        return self._schema is not None and not self.begun

    @property
    def schema_met(self) -> bool | None:
        """True if the answer satisfies its schema; None where it has none."""
        return None if self._schema is None else self.begun and self._schema.met

    def allowed(self, ids: Sequence[int], *, taken: bool) -> mx.array | None:
        """(tokens, vocabulary): what may be drawn behind each of `ids`; None for anything.

        `taken`: they are committed already. Else they are the answer's next, if it has begun.
        """
        if not self.begun:
            return None
        if taken:
            return mx.array(self._now()[None])
        return mx.array(_both([constraint.after(ids) for constraint in self._holds]))

    def refuses(self, token_id: int) -> bool:
        """True if the answer begins here and may not begin with this token."""
        begins, self.begins = self.begins, False
        return begins and not self._now()[token_id]

    def take(self, token_id: int, text: str) -> None:
        """A token was committed."""
        if self._gate is None:
            return
        if self._gate.is_open:
            for constraint in self._holds:
                constraint.take(token_id)
        else:
            self.begins = self._gate.feed(text)

    def open(self) -> None:
        """The closing text was said: the answer begins."""
        if self._gate is not None:
            self.begins = self._gate.open()

    def _now(self) -> Allowed:
        return _both([constraint.now() for constraint in self._holds])


class ScriptHold:
    """Letters of these scripts only; a token that begins a letter of another one is out as well."""

    def __init__(self, vocabulary: Vocabulary, allowed: frozenset[Script]) -> None:
        self._vocabulary = vocabulary
        self._scripts = allowed

    def now(self) -> Allowed:
        """See `Hold`."""
        return _tokens_in_scripts(self._vocabulary, self._scripts)

    def after(self, ids: Sequence[int]) -> Allowed:
        """See `Hold`."""
        return np.broadcast_to(self.now(), (len(ids), self._vocabulary.size))

    def take(self, token_id: int) -> None:
        """See `Hold`."""


class SchemaHold:
    """JSON that satisfies a schema, and then the end. Source: llguidance."""

    def __init__(self, vocabulary: Vocabulary, eos_ids: frozenset[int], schema: str) -> None:
        """Raises UsageError for a schema that cannot be enforced."""
        from qvq_mlx.engine.grammar import matcher

        self._size = vocabulary.size
        tokenizer = _tokenizer(vocabulary.path, tuple(sorted(eos_ids)))
        try:
            self._matcher = matcher(tokenizer, schema)
        except ValueError as error:
            raise UsageError(
                (Field.SCHEMA, f" cannot be enforced: {' '.join(str(error).split())[:200]}"),
                AskAgain(((Field.SCHEMA, '{"type": "object"}'),)),
            ) from error
        self._ends = np.zeros(self._size, dtype=np.bool_)
        self._ends[sorted(eos_ids)] = True
        self._bitmask = np.zeros((1, (tokenizer.vocab_size + 31) // 32), dtype=np.int32)

    def after(self, ids: Sequence[int]) -> Allowed:
        """See `Hold`. Behind a token that is not allowed itself nothing matters."""
        rows: list[Allowed] = []
        taken = 0
        for token_id in ids:
            if len(rows) == taken and not self._matcher.is_stopped():
                taken += self._matcher.try_consume_tokens([token_id])
            rows.append(self.now())
        self._matcher.rollback(taken)
        return np.stack(rows)

    def take(self, token_id: int) -> None:
        """See `Hold`."""
        if not self._matcher.is_stopped():
            self._matcher.try_consume_tokens([token_id])

    @property
    def met(self) -> bool:
        """True if the answer could end here."""
        return bool(self._matcher.is_accepting())

    def now(self) -> Allowed:
        """See `Hold`."""
        from llguidance.numpy import fill_next_token_bitmask

        if self._matcher.is_stopped():
            return self._ends
        fill_next_token_bitmask(self._matcher, self._bitmask)
        bits = np.unpackbits(self._bitmask.view(np.uint8), bitorder="little")
        return bits[: self._size].astype(np.bool_)


def _both(masks: Sequence[Allowed]) -> Allowed:
    """Combine masks (..., vocabulary) by "and"; where nothing is left, the first one counts."""
    both: Allowed = np.logical_and.reduce(masks)
    empty = ~both.any(axis=-1, keepdims=True)
    return np.where(empty, masks[0], both) if empty.any() else both


def _spelt_in(schema: str) -> frozenset[Script]:
    """The scripts of the strings in a schema: keys, values, descriptions."""
    try:
        text = json.dumps(json.loads(schema), ensure_ascii=False) if schema else ""
    except ValueError:
        text = schema
    found = {script for script, runs in RUNS.items() if runs.search(text)}
    return frozenset(found)


# Reading 150,000 tokens takes a moment: once for all rows of a session, and not before an answer
# has begun.
@functools.lru_cache(maxsize=2)
def _tokens_in_scripts(vocabulary: Vocabulary, allowed: frozenset[Script]) -> Allowed:
    """(vocabulary,): which tokens an answer in these scripts may hold."""
    return np.array([_in_scripts(piece, allowed) for piece in vocabulary.pieces])


@functools.lru_cache(maxsize=1)
def _tokenizer(path: Path, eos_ids: tuple[int, ...]) -> LLTokenizer:
    """The tokenizer file as llguidance reads it: a second, once for all rows of a session."""
    from llguidance import LLTokenizer

    return LLTokenizer(str(path), eos_token=list(eos_ids))


def _in_scripts(piece: bytes, allowed: frozenset[Script]) -> bool:
    """True if the bytes of a token hold no letter, and begin none, of a script not in `allowed`."""
    if piece.isascii():
        return True
    text = piece.decode("utf-8", errors="ignore")
    return not has_letter_outside(text, allowed) and not begins_letter_outside(piece, allowed)
