"""A checkpoint's weights under the names of mlx-vlm's modules.

Law: the family says which stored weight becomes which (`Family.placements`). Data are mapped, not
read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.engine import weight_shapes
from qvq_mlx.families import Family
from qvq_mlx.families.family import Placement
from qvq_mlx.store.checkpoint import read_json

_INDEX = "model.safetensors.index.json"
HEAD = "language_model.lm_head."
_EMBEDDING = "language_model.model.embed_tokens."


def read_weights(folder: Path, family: Family) -> dict[str, mx.array]:
    """Every weight of the model, from the folder's safetensors files.

    Raises BrokenModelError, OSError, ...
    """
    stored = _stored(folder)
    return _all_placed(stored, family.placements(_shapes(stored)))


def read_head(folder: Path, family: Family) -> dict[str, mx.array]:
    """Every weight of the family's draft head; nothing where the files hold none of it."""
    head = family.draft_head
    stored = _stored(folder) if head is not None else {}
    return _all_placed(stored, head.place(_shapes(stored))) if head is not None else {}


def head_names(folder: Path, family: Family) -> list[str]:
    """The stored names of the weights of the family's draft head; headers are read, no data."""
    head = family.draft_head
    if head is None:
        return []
    placements = head.place(_shapes(_stored(folder)))
    return [source for placement in placements for source in placement.sources]


def tie(weights: Mapping[str, mx.array], stated: bool | None) -> tuple[dict[str, mx.array], bool]:
    """The weights less a second copy of a matrix, and whether output and input share one.

    As transformers 5 decides (`PreTrainedModel.tie_weights`): what the files hold comes before what
    the config says. Two matrices that differ are never tied; where the config ties and one of the
    two is missing, the other stands for both. Raises ValueError where the config says that they are
    two and there is one.
    """
    head, embedding = _part(weights, HEAD), _part(weights, _EMBEDDING)
    if stated and head and not embedding:
        moved = {f"{_EMBEDDING}{leaf}": array for leaf, array in head.items()}
        return _without(weights, HEAD) | moved, True
    if not head:
        if stated is False:
            raise ValueError("tie_word_embeddings is false, and there is no lm_head")
        return dict(weights), True
    if not stated or not _equal(head, embedding):
        return dict(weights), False
    return _without(weights, HEAD), True


def install(
    model: Any, weights: Mapping[str, mx.array], quantization: Mapping[str, object]
) -> None:
    """Set all weights of `model`, quantized where they are; nothing is read.

    What is quantized, in how many bits and in which groups follows from the shapes: old
    conversions do not say it of every module. `quantization` says in which mode. Raises
    ValueError where a weight is missing, too many, or of a wrong shape.
    """

    def stored(path: str, module: Any) -> bool | dict[str, object]:
        if f"{path}.scales" not in weights or not hasattr(module, "to_quantized"):
            return False
        own = quantization.get(path)
        mode = (own if isinstance(own, dict) else quantization).get("mode", "affine")
        found = weight_shapes.quantized(path, module.weight.shape, weights, mode)
        return {"group_size": found.group_size, "bits": found.bits, "mode": found.mode}

    nn.quantize(model, class_predicate=stored)  # type: ignore[attr-defined]
    weight_shapes.check(dict(tree_flatten(model.parameters())), weights)
    model.load_weights(list(weights.items()))
    model.eval()


def _stored(folder: Path) -> dict[str, mx.array]:
    """Everything in the files. Raises BrokenModelError, OSError, RuntimeError, ..."""
    stored: dict[str, mx.array] = {}
    for path in _files(folder):
        if not path.is_file():  # to open a pipe would wait for ever
            raise BrokenModelError(f"{path} is no file", RunProgram(("ls", "-l", str(folder))))
        stored |= cast("dict[str, mx.array]", mx.load(str(path)))
    return stored


def _shapes(stored: Mapping[str, mx.array]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in stored.items()}


def _all_placed(
    stored: Mapping[str, mx.array], placements: Iterable[Placement]
) -> dict[str, mx.array]:
    return {
        placement.name: _placed([stored[source] for source in placement.sources], placement)
        for placement in placements
    }


def _part(weights: Mapping[str, mx.array], prefix: str) -> dict[str, mx.array]:
    """The weights of one module by their names in it."""
    return {
        name.removeprefix(prefix): array
        for name, array in weights.items()
        if name.startswith(prefix)
    }


def _without(weights: Mapping[str, mx.array], prefix: str) -> dict[str, mx.array]:
    return {name: array for name, array in weights.items() if not name.startswith(prefix)}


def _equal(one: Mapping[str, mx.array], other: Mapping[str, mx.array]) -> bool:
    return one.keys() == other.keys() and all(
        array.shape == other[leaf].shape and bool(mx.array_equal(array, other[leaf]).item())
        for leaf, array in one.items()
    )


def _placed(stored: Sequence[mx.array], placement: Placement) -> mx.array:
    array = stored[0] if len(stored) == 1 else mx.stack(list(stored))
    if placement.axes:
        array = array.transpose(*placement.axes)
    if placement.added:
        array = array + placement.added
    number, parts = placement.part
    if parts == 1:
        return array
    rows, left = divmod(array.shape[-2], parts)
    if left:
        raise ValueError(f"{placement.sources[0]} has {array.shape[-2]} rows, not {parts} parts")
    return array[..., number * rows : (number + 1) * rows, :]


def _files(folder: Path) -> list[Path]:
    """The files that the index names; without an index, all."""
    index = folder / _INDEX
    if not index.is_file():
        return sorted(
            path
            for path in folder.glob("[!.]*.safetensors")
            # a second copy of all weights, in another naming, in some repositories
            if not path.name.startswith("consolidated")
        )
    try:
        named = {str(name) for name in read_json(index)["weight_map"].values()}
        if outside := [name for name in named if Path(name).name != name]:
            raise BrokenModelError(
                f"{index} names {outside[0][:60]!r}, which does not lie beside it",
                RunProgram(("ls", "-l", str(folder))),
            )
        return sorted(folder / name for name in named)
    except (KeyError, TypeError, AttributeError) as error:
        raise BrokenModelError(
            f"{index} is no list of weight files",
            RunProgram(("python3", "-m", "json.tool", str(index))),
        ) from error
