"""From a prompt to a lane that is ready to decode: vision encoder, prefill, image-prefix cache.

Law: prefill is cut at the end of every image, and between two cuts into chunks of fixed size, with
or without a cache: what was kept of an earlier run is to the bit what this run would compute.
`Control` is read between two pictures, two steps of a clip, and two chunks.
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
from qvq_mlx.engine.decode import Start
from qvq_mlx.engine.features import Features
from qvq_mlx.engine.patches import Patches, patches, step_patches
from qvq_mlx.engine.prefix import PrefixCache, boundaries
from qvq_mlx.engine.prompt import positions
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


class Reader:
    """Reads prompts into lanes of one checkpoint."""

    def __init__(
        self, parts: Parts, prefixes: PrefixCache, chunk_tokens: int = PREFILL_CHUNK_TOKENS
    ) -> None:
        self.parts = parts
        self._prefixes = prefixes
        self._chunk_tokens = chunk_tokens

    def in_chunks_of(self, tokens: int) -> Reader:
        """The same checkpoint, prefilled in other chunks, with nothing kept yet."""
        return Reader(self.parts, PrefixCache(None), tokens)

    def read(self, prompt: Prompt, control: Control) -> Generator[Progress, None, Start | None]:
        """Encode and prefill what is not kept of an earlier run. None where `control` stopped it.

        All but the last prompt token: that one is the decode loop's first block.
        """
        parts, ids, model = self.parts, prompt.ids, self.parts.model
        visual = (model.image_token_id, model.video_token_id)
        key = f"{parts.fingerprint} {self._chunk_tokens}"
        ends = list(boundaries(prompt, model.image_token_id, key, model.video_token_id))
        sequence = parts.model.sequence()
        begin, seen = 0, 0
        if (hit := self._prefixes.find(ends, sequence.layout)) is not None:
            begin, seen = hit.end.index, hit.end.pictures
            sequence.restore(hit.saved)
        features = yield from self._encode(prompt.pictures[seen:], control)
        if features is None:
            return None
        encode_peak_bytes = _peak_bytes()
        grids = [
            block
            for picture in prompt.pictures
            for block in blocks(picture, parts.layout, model.family, model.tokens_per_s)
        ]
        where = positions(ids, grids, *visual)  # (3, tokens)
        embedded = parts.model.embed(ids[begin:], features)
        cuts = [begin, *(end.index for end in ends if end.index > begin), len(ids) - 1]
        for first, last in self._chunks(cuts):
            yield Progress(Stage.PREFILL, first, len(ids))
            if control.stopping:
                return None
            sequence.prefill(embedded[first - begin : last - begin], where[:, first:last])
            reached = [end for end in ends if end.index <= last]
            if reached and reached[-1].index == last:
                self._prefixes.keep(reached, sequence.saved())
        yield Progress(Stage.PREFILL, len(ids), len(ids))
        return Start(
            sequence, ids, int(where[0, -1]), begin, encode_peak_bytes, _peak_bytes(), seen
        )

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


def _peak_bytes() -> int:
    """The peak since it was last asked for."""
    peak: int = mx.get_peak_memory()
    mx.reset_peak_memory()
    return peak
