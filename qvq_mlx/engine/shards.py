"""Writes safetensors files of bounded size, one tensor at a time.

Law: a file's header is written before its data, from shapes that are known before anything is
computed; a tensor is computed, written and dropped before the next one. Memory is therefore that
of the largest group of arrays with one origin, whatever the size of the whole. The files, their
names and their index are those of the published checkpoints.

Source of the format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import mlx.core as mx
import numpy as np

INDEX = "model.safetensors.index.json"
_KINDS = {
    mx.float32: "F32",
    mx.float16: "F16",
    mx.bfloat16: "BF16",
    mx.uint32: "U32",
    mx.int32: "I32",
    mx.int64: "I64",
    mx.uint8: "U8",
}


@dataclass(slots=True)
class Group:
    """Arrays that come from one source tensor, not yet computed. `read_bytes`: the source's."""

    arrays: dict[str, mx.array]
    read_bytes: int

    @property
    def nbytes(self) -> int:
        """Bytes that will be written."""
        return sum(array.nbytes for array in self.arrays.values())


@dataclass(slots=True)
class _Shard:
    groups: deque[Group] = field(default_factory=deque)
    nbytes: int = 0


def write(folder: Path, groups: Iterable[Group], shard_bytes: int) -> Iterator[int]:
    """Write the groups in order; yields the `read_bytes` of each as it is done, and empties it.

    A file holds at most `shard_bytes` of data, unless one group alone is larger.
    """
    shards = _shared_out(groups, shard_bytes)
    total = sum(shard.nbytes for shard in shards)
    places: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = "model.safetensors"
        if len(shards) > 1:
            name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        places |= {array: name for group in shard.groups for array in group.arrays}
        with (folder / name).open("wb") as file:
            yield from _write_shard(file, shard.groups)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _shared_out(groups: Iterable[Group], shard_bytes: int) -> list[_Shard]:
    shards = [_Shard()]
    for group in groups:
        if shards[-1].groups and shards[-1].nbytes + group.nbytes > shard_bytes:
            shards.append(_Shard())
        shards[-1].groups.append(group)
        shards[-1].nbytes += group.nbytes
    return shards


def _write_shard(file: BinaryIO, groups: deque[Group]) -> Iterator[int]:
    file.write(_header(groups))
    while groups:
        group = groups.popleft()
        mx.eval(list(group.arrays.values()))
        file.writelines(_data(array) for array in group.arrays.values())
        read_bytes = group.read_bytes
        group.arrays.clear()
        del group
        mx.clear_cache()  # the allocator would keep the buffer for the next one of its size
        yield read_bytes


def _header(groups: Sequence[Group] | deque[Group]) -> bytes:
    """Length, then JSON padded to 8 bytes: name -> type, shape and place."""
    entries: dict[str, object] = {"__metadata__": {"format": "mlx"}}
    offset = 0
    for group in groups:
        for name, array in group.arrays.items():
            end = offset + array.nbytes
            entries[name] = {
                "dtype": _KINDS[array.dtype],
                "shape": list(array.shape),
                "data_offsets": [offset, end],
            }
            offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _data(array: mx.array) -> memoryview:
    """The bytes of an evaluated array, row-major and little-endian."""
    if array.dtype == mx.bfloat16:  # numpy has none
        array = array.view(mx.uint16)
    return np.ascontiguousarray(np.array(array, copy=False)).reshape(-1).data.cast("B")
