"""A model whose layers are split among machines, as the first of them sees it: it leads.

Law: the others are told every pass before it is run, and what becomes of the caches, in the order
in which it happens here; what goes into a pass (embeddings, deepstack rows) they get within it. So
they need no tokenizer, no picture, no embedding and no head, and draw nothing. Everything above
`KVSequence` and `PrefixCache` is as it is on one machine.

A message is a line of JSON (engine/follower.py reads it). What is told about is numbered: sequences
and what was saved of them. Numbers that nobody here holds any more are told with the next message.
"""

from __future__ import annotations

import itertools
import json
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import mlx.core as mx

from qvq_mlx.core.errors import HostGoneError
from qvq_mlx.engine.adapter import Model
from qvq_mlx.engine.architecture import Architecture
from qvq_mlx.engine.cache_files import KeptFiles
from qvq_mlx.engine.features import Embedded
from qvq_mlx.engine.language import Language
from qvq_mlx.engine.prefix import Boundary, Hit, PrefixCache
from qvq_mlx.engine.prompt import Positions
from qvq_mlx.engine.sequence import KVSequence, Layout, Saved
from qvq_mlx.families.family import CallNames, LayerCache


class Others:
    """The machines that follow: `lines` lead to them, `group` is the ring with them."""

    def __init__(self, group: mx.distributed.Group, lines: Sequence[IO[bytes]]) -> None:
        self.group = group
        self._lines = lines
        self._numbers = itertools.count()
        self._dropped: list[int] = []

    def number(self, held: object) -> int:
        """Number a thing that they hold, too, for as long as it is held here."""
        number = next(self._numbers)
        weakref.finalize(held, self._dropped.append, number)
        return number

    def tell(self, do: str, **values: object) -> None:
        """Say what to do. Raises HostGoneError."""
        dropped, self._dropped[:] = list(self._dropped), []
        text = json.dumps({"do": do, **values, "drop": dropped}, separators=(",", ":"))
        try:
            for line in self._lines:
                line.write(text.encode() + b"\n")
                line.flush()
        except OSError:
            raise HostGoneError("another machine of the model ended") from None

    def shared(self, array: mx.array) -> mx.array:
        """The same array, which the others get, too. Not evaluated."""
        total: mx.array = mx.distributed.all_sum(array, group=self.group)
        return total


class LedModel(Model):
    """A checkpoint of which this machine has all but a part of the layers."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401  mlx-vlm is untyped
        architecture: Architecture,
        folder: Path,
        others: Others,
    ) -> None:
        super().__init__(model, architecture, folder)
        self._others = others
        family = architecture.family
        self._language = LedLanguage(model.language_model, family.call, architecture.caches, others)

    def sequence(self) -> KVSequence:
        """An empty KV cache, here and there."""
        return LedSequence(self._language)

    def prefixes(self, files: KeptFiles | None) -> PrefixCache:
        """Prefixes in memory: a file would hold a part of the heads."""
        del files
        return LedPrefixes(self._others)


class LedLanguage(Language):
    """The language model, whose passes the others run at the same time."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        names: CallNames,
        caches: Sequence[LayerCache],
        others: Others,
    ) -> None:
        super().__init__(model, names, caches)
        self.others = others
        self.kind = str(self.embed([0]).dtype)

    def logits(self, ids: mx.array, positions: mx.array, cache: list[Any]) -> mx.array:
        """As of one machine."""
        return self.traced(ids, positions, cache)[0]

    def traced(
        self, ids: mx.array, positions: mx.array, cache: list[Any]
    ) -> tuple[mx.array, mx.array]:
        """As of one machine."""
        hidden = self.run(self.others.shared(self.embedded(ids)), positions, cache)
        return self.output(hidden), hidden


class LedSequence(KVSequence):
    """The caches of one sequence, which the others have, too, each for its heads."""

    def __init__(self, language: Language) -> None:
        super().__init__(language)
        assert isinstance(language, LedLanguage)
        self._others, self._kind = language.others, language.kind
        self.number = self._others.number(self)
        self._others.tell("new", of=self.number)

    def layout(self) -> Layout:
        """As of one machine; the others hold the same for as many heads."""
        return KVSequence(self.language).layout()

    def prefill(self, tokens: Embedded, positions: Positions) -> None:
        """As of one machine."""
        self._others.tell(
            "prefill",
            of=self.number,
            kind=str(tokens.rows.dtype),
            image=tokens.image.tolist(),
            deepstack=len(tokens.deepstack),
            positions=positions.tolist(),
            hidden=self.trace is not None,
        )
        whole = []
        for array in (tokens.rows, *tokens.deepstack):
            whole.append(self._others.shared(array))
            mx.eval(whole[-1])  # one by one: all machines have to send in the same order
        shared = replace(tokens, rows=whole[0], deepstack=tuple(whole[1:]))
        super().prefill(shared, positions)

    def forward(self, ids: mx.array, position: int) -> mx.array:
        """As of one machine; what it gives has to be evaluated before the next pass."""
        self._pass([self], ids, [position])
        return super().forward(ids, position)

    @classmethod
    def together(
        cls, sequences: Sequence[KVSequence], ids: mx.array, positions: Sequence[int]
    ) -> mx.array:
        """As of one machine."""
        cls._pass(sequences, ids, positions)
        return super().together(sequences, ids, positions)

    @staticmethod
    def _pass(sequences: Sequence[KVSequence], ids: mx.array, positions: Sequence[int]) -> None:
        first = sequences[0]
        assert isinstance(first, LedSequence)
        first._others.tell(
            "pass",
            of=[one.number for one in sequences if isinstance(one, LedSequence)],
            shape=list(ids.shape),
            positions=list(positions),
            kind=first._kind,
        )

    def mark(self) -> None:
        """As of one machine."""
        if self._recurrent:
            self._others.tell("mark", of=self.number)
        super().mark()

    def trim(self, tokens: int) -> None:
        """As of one machine."""
        if tokens:
            self._others.tell("trim", of=self.number, tokens=tokens)
        super().trim(tokens)

    def quantise(self, bits: int) -> None:
        """As of one machine."""
        self._others.tell("quantise", of=self.number, bits=bits)
        super().quantise(bits)

    def saved(self) -> Saved:
        """As of one machine, with the number of what the others save."""
        saved = _numbered(super().saved(), self._others)
        self._others.tell("save", of=self.number, to=saved.number)
        return saved

    def restore(self, saved: Saved) -> None:
        """As of one machine."""
        assert isinstance(saved, LedSaved)
        self._others.tell("restore", of=self.number, to=saved.number)
        super().restore(saved)


@dataclass(frozen=True, eq=False)
class LedSaved(Saved):
    """Content of a sequence, of which the others hold their heads under a `number`."""

    number: int = -1


def _numbered(saved: Saved, others: Others) -> LedSaved:
    led = LedSaved(saved.attention, saved.recurrent)
    object.__setattr__(led, "number", others.number(led))
    return led


class LedPrefixes(PrefixCache):
    """The prefix that is kept in memory, here and there."""

    def __init__(self, others: Others) -> None:
        super().__init__(None)
        self._others = others
        self.number = others.number(self)
        others.tell("prefixes", of=self.number)

    def find(self, ends: Sequence[Boundary], layout: Callable[[], Layout]) -> Hit | None:
        """As of one machine."""
        hit = super().find(ends, layout)
        if hit is None:
            return None
        saved = _numbered(hit.saved, self._others)
        self._others.tell("find", of=self.number, ends=_plain(ends), to=saved.number)
        return replace(hit, saved=saved)

    def keep(self, ends: Sequence[Boundary], saved: Saved) -> None:
        """As of one machine."""
        assert isinstance(saved, LedSaved)
        self._others.tell("keep", of=self.number, ends=_plain(ends), to=saved.number)
        super().keep(ends, saved)


def _plain(ends: Sequence[Boundary]) -> list[list[object]]:
    return [[end.index, end.pictures, end.key] for end in ends]
