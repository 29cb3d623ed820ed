"""The image-prefix cache: what the model computed up to the end of an image, kept by content.

Law: the key is a hash of the model's fingerprint, the prompt's ids up to the end of an image, and
the pixels and sizes of every image up to there: never a path, never a name. Prefill is cut at the
end of every image whether or not anything is kept, so that an entry holds to the bit what the
run would have computed, and a cached run writes what a cold one writes.

In the process the last prefix stays in memory, and serves every image boundary within it. On disk
each image is a file of `KeptFiles` with what it adds to those before it, so that a prefix is read
as far as its images are the same. A file that does not load, or has other shapes or types than the
model's, is removed. A file names the pictures it is about, so that it goes with their last run.

Keys and values of a prefix are the first of a longer one's. The state of a recurrent layer is not:
it is kept as it was at the end of each image, in memory and in that image's file.

A 72B model has 320 KiB per token: some 0.4 GB for an image of 1,300 tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import mlx.core as mx
import numpy as np

from qvq_mlx.core.clip import Visual
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.tokens import Prompt
from qvq_mlx.engine.cache_files import KeptFiles, noted
from qvq_mlx.engine.library import versions
from qvq_mlx.engine.sequence import KeyValues, Layout, Saved, State

FORMAT = 2
"""Raised when the same key would mean other numbers."""

_SAMPLES = 16
_SAMPLE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Boundary:
    """The end of a prompt's n-th image: the index of the first token behind it, and the key.

    `sha256s` are those of the files of all images up to there.
    """

    index: int
    pictures: int
    key: str
    sha256s: tuple[str, ...]


def boundaries(
    prompt: Prompt,
    image_token_id: int | None,
    fingerprint: str,
    video_token_id: int | None = None,
) -> Iterator[Boundary]:
    """Return the ends of a prompt's images, first to last, each behind its `<|vision_end|>`.

    A clip is one image, also where its steps stand apart: it ends behind its last token.
    """
    digest = hashlib.sha256(f"{FORMAT} {fingerprint}".encode())
    hashed = 0
    ids = prompt.ids
    visual = [index for index, token in enumerate(ids) if token in (image_token_id, video_token_id)]
    last_tokens = accumulate(picture.tokens for picture in prompt.pictures)
    ends = [visual[last - 1] + 2 for last in last_tokens]
    for count, (end, picture) in enumerate(zip(ends, prompt.pictures, strict=True), start=1):
        digest.update(np.asarray(ids[hashed:end], dtype=np.int64).tobytes())
        _hash(digest, picture)
        hashed = end
        sha256s = tuple(dict.fromkeys(seen.sha256 for seen in prompt.pictures[:count]))
        yield Boundary(end, count, digest.copy().hexdigest()[:32], sha256s)


def _hash(digest: hashlib._Hash, visual: Visual) -> None:
    """Pixels and sizes; of a clip also its pace, which Qwen2.5-VL's positions hang on."""
    digest.update(f"{visual.width_px}x{visual.height_px}".encode())
    if isinstance(visual, Picture):
        digest.update(visual.rgb)
        return
    digest.update(f" {len(visual.frames)} at {visual.fps!r}".encode())
    for frame in visual.frames:
        digest.update(frame)


@dataclass(frozen=True, slots=True)
class Hit:
    """A prefix that is kept: where it ends, and what a sequence holds there."""

    end: Boundary
    saved: Saved


class PrefixCache:
    """Prefixes of one model. Without `files` only the last one is kept, in memory."""

    def __init__(self, files: KeptFiles | None) -> None:
        self._files = files
        self._attention: list[KeyValues] = []  # up to the last end in _states
        self._states: dict[str, list[State]] = {}  # by the keys of a prompt's ends

    def find(self, ends: Sequence[Boundary], layout: Callable[[], Layout]) -> Hit | None:
        """The longest prefix that is kept. `layout` is what a sequence of the model holds."""
        count = max(
            (n for n, end in enumerate(ends, start=1) if end.key in self._states), default=0
        )
        attention = _first(self._attention, ends[count - 1].index) if count else []
        states = self._of(ends[:count])
        for place in range(count, len(ends)):
            begin = ends[place - 1].index if place else 0
            part = self._read(ends[place], begin, layout)
            if part is None:
                break
            attention = _joined(attention, part.attention) if attention else part.attention
            states[ends[place].key] = part.recurrent
            count = place + 1
        if not count:
            return None
        self._attention, self._states = attention, states
        return Hit(ends[count - 1], Saved(attention, states[ends[count - 1].key]))

    def keep(self, ends: Sequence[Boundary], saved: Saved) -> None:
        """Keep what a sequence holds at the last of `ends`, the ends of all images up to there.

        A file holds what its image adds: so each image is written once, whatever follows it.
        """
        end, begin = ends[-1], ends[-2].index if len(ends) > 1 else 0
        self._attention = saved.attention
        self._states = self._of(ends) | {end.key: saved.recurrent}
        if self._files is None or self._files.has(end.key):
            return
        added = Saved([_since(begin, pair) for pair in saved.attention], saved.recurrent)
        arrays = {name: mx.contiguous(array) for name, array in _named(added)}
        size_bytes = sum(array.nbytes for array in arrays.values())
        about = noted(end.sha256s)
        self._files.put(
            end.key, size_bytes, lambda path: mx.save_safetensors(str(path), arrays, about)
        )

    def _of(self, ends: Sequence[Boundary]) -> dict[str, list[State]]:
        """Return the states that are in memory at these ends."""
        return {end.key: self._states[end.key] for end in ends if end.key in self._states}

    def _read(self, end: Boundary, begin: int, layout: Callable[[], Layout]) -> Saved | None:
        """What an image adds, from `begin` to its `end`. A file of anything else is removed."""
        path = self._files.find(end.key) if self._files is not None else None
        if self._files is None or path is None:
            return None
        try:
            arrays = mx.load(str(path))
            assert isinstance(arrays, dict)
            saved = _fitting(arrays, layout(), end.index - begin)
            mx.eval(saved.arrays)
        except (RuntimeError, ValueError, KeyError, AssertionError):
            self._files.drop(path)
            return None
        return saved


def _fitting(arrays: Mapping[str, mx.array], layout: Layout, tokens: int) -> Saved:
    """The content of every layer. Raises ValueError where an array is missing, too many, or of
    another shape or type than the model's.
    """
    saved = Saved(
        [(arrays[f"keys.{n}"], arrays[f"values.{n}"]) for n in range(len(layout.attention))],
        [(arrays[f"window.{n}"], arrays[f"state.{n}"]) for n in range(len(layout.recurrent))],
    )
    shapes = [
        ((1, heads, tokens, width), dtype)
        for pair in layout.attention
        for heads, width, dtype in pair
    ] + [kind for pair in layout.recurrent for kind in pair]
    if len(arrays) != len(shapes):
        raise ValueError(f"{len(arrays)} arrays for {len(shapes)}")
    for array, (shape, dtype) in zip(saved.arrays, shapes, strict=True):
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"{array.shape} {array.dtype}, not {shape} {dtype}")
    return saved


def _first(layers: Sequence[KeyValues], tokens: int) -> list[KeyValues]:
    return [(keys[:, :, :tokens], values[:, :, :tokens]) for keys, values in layers]


def _since(begin: int, pair: KeyValues) -> KeyValues:
    return pair[0][:, :, begin:], pair[1][:, :, begin:]


def _joined(before: Sequence[KeyValues], after: Sequence[KeyValues]) -> list[KeyValues]:
    """Join what the layers hold, along the tokens."""
    joined = [
        (mx.concatenate([keys, more_keys], axis=2), mx.concatenate([values, more_values], axis=2))
        for (keys, values), (more_keys, more_values) in zip(before, after, strict=True)
    ]
    mx.eval(joined)
    return joined


def _named(saved: Saved) -> Iterator[tuple[str, mx.array]]:
    for layer, (keys, values) in enumerate(saved.attention):
        yield f"keys.{layer}", keys
        yield f"values.{layer}", values
    for layer, (window, state) in enumerate(saved.recurrent):
        yield f"window.{layer}", window
        yield f"state.{layer}", state


def fingerprint(folder: Path) -> str:
    """A hash of a checkpoint: its config, and of every weight file size, time, header and samples.

    Reading 41 GB to name them would cost more than the prefill that is saved; whoever rewrites a
    file changes its time.
    """
    digest = hashlib.sha256()
    digest.update(f"{versions()} {mx.default_device()}".encode())
    for name in ("config.json", "preprocessor_config.json"):
        path = folder / name
        if path.is_file():
            with path.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
    for path in sorted(folder.glob("[!.]*.safetensors")):
        status = path.stat()
        digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}".encode())
        with path.open("rb") as file:
            for part in range(_SAMPLES):
                file.seek(status.st_size * part // _SAMPLES)
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:32]
