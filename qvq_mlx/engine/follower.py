"""A machine that follows: it computes its part of the layers, and has nothing else of a model.

Law: it does what it is told, line by line (engine/led.py), and ends with the line that tells it.
It reads no embeddings, no head and no vision encoder: what goes into a pass comes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from qvq_mlx.engine.adapter import lazy_model, split_layers
from qvq_mlx.engine.architecture import read_architecture
from qvq_mlx.engine.features import Embedded
from qvq_mlx.engine.language import Language
from qvq_mlx.engine.prefix import Boundary, PrefixCache
from qvq_mlx.engine.sequence import KVSequence, Layout, Saved
from qvq_mlx.families.family import CallNames, LayerCache


class FollowingLanguage(Language):
    """The layers alone: in place of logits a pass gives hidden states (rows, tokens, hidden)."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401  mlx-vlm is untyped
        names: CallNames,
        caches: Sequence[LayerCache],
        group: mx.distributed.Group,
    ) -> None:
        super().__init__(model, names, caches)
        self._group = group
        self._width = int(model.model.norm.weight.shape[0])
        self.dtype: mx.Dtype = mx.float32  # of what comes with the pass that is told

    def received(self, *shape: int) -> mx.array:
        """Return what the leader shares (engine/led.py). Not evaluated."""
        nothing = mx.zeros((*shape, self._width), dtype=self.dtype)
        array: mx.array = mx.distributed.all_sum(nothing, group=self._group)
        return array

    def logits(self, ids: mx.array, positions: mx.array, cache: list[Any]) -> mx.array:
        """Hidden states of a pass whose ids are known elsewhere."""
        return self.run(self.received(*ids.shape), positions, cache)


def load_layers(folder: Path, group: mx.distributed.Group) -> FollowingLanguage:
    """Read this machine's part of the layers, one by one, and nothing else.

    Raises UnsupportedModelError or BrokenModelError.
    """
    architecture = read_architecture(folder)
    model = lazy_model(folder, architecture)
    split_layers(model, folder, group)
    language = model.language_model
    for part in (*language.model.layers, language.model.norm):
        mx.eval(part.parameters())
    return FollowingLanguage(language, architecture.family.call, architecture.caches, group)


class Follower:
    """The layers of one machine, and the sequences and prefixes that it was told of."""

    def __init__(self, language: FollowingLanguage) -> None:
        self._language = language
        self._held: dict[int, Any] = {}

    def do(self, told: dict[str, Any]) -> None:
        """Do what a message says, to its end. Raises RuntimeError where the ring is broken."""
        for number in told["drop"]:
            self._held.pop(number, None)
        held = self._held.get(told["of"]) if isinstance(told["of"], int) else None
        match told["do"], held:
            case "new", None:
                self._held[told["of"]] = KVSequence(self._language)
            case "prefixes", None:
                self._held[told["of"]] = PrefixCache(None)
            case "pass", None:
                self._pass([self._held[number] for number in told["of"]], told)
            case "prefill", KVSequence() as sequence:
                self._prefill(sequence, told)
            case "mark", KVSequence() as sequence:
                sequence.mark()
            case "trim", KVSequence() as sequence:
                sequence.trim(told["tokens"])
            case "quantise", KVSequence() as sequence:
                sequence.quantise(told["bits"])
            case "save", KVSequence() as sequence:
                self._held[told["to"]] = sequence.saved()
            case "restore", KVSequence() as sequence:
                sequence.restore(self._saved(told))
            case "find", PrefixCache() as prefixes:
                hit = prefixes.find(_ends(told), _no_layout)
                assert hit is not None
                self._held[told["to"]] = hit.saved
            case "keep", PrefixCache() as prefixes:
                prefixes.keep(_ends(told), self._saved(told))
            case other:
                raise ValueError(f"nobody can {other!r}")

    def _saved(self, told: dict[str, Any]) -> Saved:
        saved = self._held[told["to"]]
        assert isinstance(saved, Saved)
        return saved

    def _pass(self, sequences: Sequence[KVSequence], told: dict[str, Any]) -> None:
        self._language.dtype = _dtype(told)
        ids = mx.zeros(told["shape"], dtype=mx.int32)
        if len(sequences) == 1:
            hidden = sequences[0].forward(ids, told["positions"][0])
        else:
            hidden = KVSequence.together(sequences, ids, told["positions"])
        mx.eval(hidden)

    def _prefill(self, sequence: KVSequence, told: dict[str, Any]) -> None:
        self._language.dtype = _dtype(told)
        image = np.array(told["image"], dtype=np.bool_)
        rows = self._language.received(1, len(image))
        mx.eval(rows)
        deepstack = []
        for _ in range(told["deepstack"]):
            deepstack.append(self._language.received(int(image.sum())))
            mx.eval(deepstack[-1])
        tokens = Embedded(rows, image, tuple(deepstack))
        positions = np.array(told["positions"])
        hidden = sequence.extended(tokens, positions)
        mx.eval(sequence.saved().arrays, *([hidden] if told["hidden"] else []))


def _dtype(told: dict[str, Any]) -> mx.Dtype:
    return {str(kind): kind for kind in (mx.float32, mx.float16, mx.bfloat16)}[told["kind"]]


def _ends(told: dict[str, Any]) -> list[Boundary]:
    return [Boundary(index, pictures, key, ()) for index, pictures, key in told["ends"]]


def _no_layout() -> Layout:
    raise AssertionError("nothing is read from files")
