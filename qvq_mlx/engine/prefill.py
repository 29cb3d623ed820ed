"""From a prompt to a sequence that is ready to decode: vision encoder, prefill, prefix cache.

Law: prefill is cut at the end of every image, and between two cuts into chunks of fixed size, with
or without a cache: what was kept of an earlier run is to the bit what this run would compute.
`Control` is read between two pictures, two steps of a clip, and two chunks.

A prompt that goes on from a sequence of the same run extends it: text and pictures behind what was
written, at the positions that the whole prompt has. Nothing of that is kept for other runs, which
would compute it in other parts.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import mlx.core as mx

from qvq_mlx.core.card import Thinking
from qvq_mlx.core.clip import Visual
from qvq_mlx.core.events import Progress, Stage
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.tokens import Control, Prompt
from qvq_mlx.engine.adapter import Model
from qvq_mlx.engine.clips import blocks
from qvq_mlx.engine.features import Features
from qvq_mlx.engine.patches import Patches, patches, step_patches
from qvq_mlx.engine.prefix import Boundary, PrefixCache, boundaries
from qvq_mlx.engine.prompt import TURN_END, Positions, positions
from qvq_mlx.engine.row import Start
from qvq_mlx.engine.sequence import KVSequence
from qvq_mlx.engine.vocabulary import Vocabulary
from qvq_mlx.families.family import PatchLayout

PREFILL_CHUNK_TOKENS = 512
"""A chunk cannot be interrupted. On a 72B model at about 65 tokens/s this is some 8 s."""


@dataclass(frozen=True, slots=True)
class Parts:
    """One checkpoint in memory. `fingerprint` tells it from every other one.

    `thinking` says what the chat template writes into the reply before the model does; `stop_ids`
    are the tokens that end a reply.
    """

    name: str
    model: Model
    vocabulary: Vocabulary
    layout: PatchLayout
    fingerprint: str
    stop_ids: frozenset[int]
    thinking: Thinking = Thinking()
    load_peak_bytes: int = 0

    def as_text(self, written: Sequence[int]) -> list[int]:
        """Ids that a model wrote; what stands for no picture there is no image token."""
        visual = (self.model.image_token_id, self.model.video_token_id)
        end = self.vocabulary.special(TURN_END)
        return [end if token in visual else token for token in written]


@dataclass(frozen=True, slots=True)
class Written:
    """A sequence that holds the tokens `ids`, `pictures` among them; `position` is that of the
    token that comes next.
    """

    sequence: KVSequence
    ids: tuple[int, ...]
    pictures: tuple[Visual, ...]
    position: int

    def rest_of(self, prompt: Prompt) -> Prompt | None:
        """The part of `prompt` behind this; None where it does not go on from here."""
        count, seen = len(self.ids), len(self.pictures)
        goes_on = prompt.ids[:count] == self.ids and prompt.pictures[:seen] == self.pictures
        if not goes_on or len(prompt.ids) == count:
            return None
        return Prompt(prompt.ids[count:], prompt.pictures[seen:])


class Reader:
    """Reads prompts into sequences of one checkpoint."""

    def __init__(
        self, parts: Parts, prefixes: PrefixCache, chunk_tokens: int = PREFILL_CHUNK_TOKENS
    ) -> None:
        self.parts = parts
        self._prefixes = prefixes
        self._chunk_tokens = chunk_tokens

    def in_chunks_of(self, tokens: int) -> Reader:
        """The same checkpoint, prefilled in other chunks, with nothing kept yet."""
        return Reader(self.parts, self.parts.model.prefixes(None), tokens)

    def read(
        self,
        prompt: Prompt,
        control: Control,
        before: Written | None = None,
        *,
        watched: bool = False,
    ) -> Generator[Progress, None, Start | None]:
        """Encode and prefill what is not kept of an earlier run. None where `control` stopped it.

        All but the last prompt token: that one is the decode loop's first block. Where the prompt
        goes on from `before`, that sequence is extended. `watched`: the hidden states of its last
        tokens are kept.
        """
        rest = before.rest_of(prompt) if before is not None else None
        if before is not None and rest is not None:
            return (yield from self._extended(before, rest, control, watched=watched))
        ids, model = prompt.ids, self.parts.model
        ends = self._ends(prompt)
        sequence = model.sequence()
        begin, seen = 0, 0
        if (hit := self._prefixes.find(ends, sequence.layout)) is not None:
            begin, seen = hit.end.index, hit.end.pictures
            sequence.restore(hit.saved)
        features = yield from self._encode(prompt.pictures[seen:], control)
        if features is None:
            return None
        encode_peak_bytes = _peak_bytes()
        where = self._positions(prompt)  # (3, tokens)
        embedded = model.embed(ids[begin:], features)
        cuts = [begin, *(end.index for end in ends if end.index > begin), len(ids) - 1]
        for first, last in self._chunks(cuts):
            yield Progress(Stage.PREFILL, first, len(ids))
            if control.stopping:
                return None
            _watch(sequence, len(ids) - first, watched=watched)
            sequence.prefill(embedded[first - begin : last - begin], where[:, first:last])
            reached = [end for end in ends if end.index <= last]
            if reached and reached[-1].index == last:
                self._prefixes.keep(reached, sequence.saved())
        _watch(sequence, 1, watched=watched)
        yield Progress(Stage.PREFILL, len(ids), len(ids))
        return Start(
            sequence, ids, int(where[0, -1]), begin, encode_peak_bytes, _peak_bytes(), seen
        )

    def _extended(
        self, before: Written, rest: Prompt, control: Control, *, watched: bool
    ) -> Generator[Progress, None, Start | None]:
        """Encode and prefill `rest` behind what the sequence holds, all but the last token."""
        held, sequence = len(before.ids), before.sequence
        features = yield from self._encode(rest.pictures, control)
        if features is None:
            return None
        encode_peak_bytes = _peak_bytes()
        where = before.position + self._positions(rest)  # (3, tokens)
        embedded = self.parts.model.embed(rest.ids, features)
        cuts = [0, *(end.index for end in self._ends(rest)), len(rest.ids) - 1]
        total = held + len(rest.ids)
        for first, last in self._chunks(cuts):
            yield Progress(Stage.PREFILL, held + first, total)
            if control.stopping:
                return None
            _watch(sequence, len(rest.ids) - first, watched=watched)
            sequence.prefill(embedded[first:last], where[:, first:last])
        _watch(sequence, 1, watched=watched)
        yield Progress(Stage.PREFILL, total, total)
        ids = (*before.ids, *rest.ids)
        return Start(sequence, ids, int(where[0, -1]), 0, encode_peak_bytes, _peak_bytes())

    def _ends(self, prompt: Prompt) -> list[Boundary]:
        """The ends of a prompt's images, with the keys under which they are kept."""
        model, key = self.parts.model, f"{self.parts.fingerprint} {self._chunk_tokens}"
        return list(boundaries(prompt, model.image_token_id, key, model.video_token_id))

    def _positions(self, prompt: Prompt) -> Positions:
        """M-RoPE positions (3, tokens), from 0 on."""
        parts, model = self.parts, self.parts.model
        grids = [
            block
            for picture in prompt.pictures
            for block in blocks(picture, parts.layout, model.family, model.tokens_per_s)
        ]
        return positions(prompt.ids, grids, model.image_token_id, model.video_token_id)

    def _encode(
        self, pictures: Sequence[Visual], control: Control
    ) -> Generator[Progress, None, list[Features] | None]:
        """The vision encoder, picture by picture and step by step of a clip: its attention is
        quadratic in one of these, and so is the memory where it is not fused.
        """
        mx.reset_peak_memory()
        total = sum(picture.tokens for picture in pictures)
        features: list[Features] = []
        done = 0
        layout = self.parts.layout
        for picture in pictures:
            for part in _parts(picture, layout):
                yield Progress(Stage.ENCODE, done, total)
                if control.stopping:
                    return None
                encoded = self.parts.model.encode(part, layout.grid(picture))
                mx.eval(encoded.arrays)
                features.append(encoded)
                done += encoded.tokens
        if total:
            yield Progress(Stage.ENCODE, done, total)
        return features

    def _chunks(self, cuts: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Begin and end of every chunk: no longer than allowed, none across a cut."""
        for begin, end in pairwise(cuts):
            for first in range(begin, end, self._chunk_tokens):
                yield first, min(first + self._chunk_tokens, end)


def _parts(visual: Visual, layout: PatchLayout) -> Iterator[Patches]:
    """Yield what the vision encoder reads at a time, pictures or steps, cut only in turn."""
    if isinstance(visual, Picture):
        yield patches(visual, layout)
        return
    for step in range(visual.steps):
        yield step_patches(visual, layout, step)


def _watch(sequence: KVSequence, left: int, *, watched: bool) -> None:
    """Keep hidden states from here on, if so many tokens are `left` that all of them can be."""
    if not watched or sequence.trace is not None:
        return
    from qvq_mlx.engine.trace import WINDOW

    if left <= WINDOW + 1:
        sequence.watch()


def _peak_bytes() -> int:
    """The peak since it was last asked for."""
    peak: int = mx.get_peak_memory()
    mx.reset_peak_memory()
    return peak
