"""Checks the shapes and types of stored weights against the model, before MLX computes with them.

Law: MLX divides by what a weight's shape says, so a wrong one would end the process without a word.
Of a quantized matrix with `rows` and `columns`: `weight` is (rows, columns * bits / 32) of uint32,
`scales` and `biases` are (rows, columns / group size), and bits and group size are ones that MLX
has. A stack of matrices (sparse experts) has one more axis, the first. Everything else has exactly
the shape of the module's own parameter. Shapes are known without reading the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mlx.core as mx

_BITS = (2, 3, 4, 5, 6, 8)
_GROUP_SIZES = (16, 32, 64, 128)
_MODES = ("affine", "mxfp4", "mxfp8", "nvfp4")
_FLOATS = (mx.float16, mx.bfloat16, mx.float32)


@dataclass(frozen=True, slots=True)
class Quantized:
    """How a matrix is stored: bits of a number, numbers in a group that shares a scale."""

    bits: int
    group_size: int
    mode: str


def quantized(
    path: str, shape: tuple[int, ...], weights: Mapping[str, mx.array], mode: object
) -> Quantized:
    """How the matrix at `path` is quantized; `shape` is the one of the module's own weight.

    Raises ValueError where its parts contradict each other or the model.
    """
    if mode not in _MODES:
        raise ValueError(f"{path} is quantized in a mode {str(mode)[:40]!r} that is not known")
    packed, scales = weights.get(f"{path}.weight"), weights[f"{path}.scales"]
    if packed is None:
        raise ValueError(f"{path} has scales and no weight")
    *rows, columns = shape
    ranks = {len(shape), packed.ndim, scales.ndim}
    if ranks not in ({2}, {3}) or packed.dtype != mx.uint32:
        raise ValueError(f"{path} is no quantized matrix: {_stored(packed)}, {_stored(scales)}")
    bits, left_bits = divmod(32 * packed.shape[-1], columns)
    group_size, left = divmod(columns, scales.shape[-1]) if scales.shape[-1] else (0, 1)
    found = Quantized(bits, group_size, str(mode))
    whole = not left and not left_bits and bits in _BITS and group_size in _GROUP_SIZES
    if not whole or [*packed.shape[:-1]] != rows or [*scales.shape[:-1]] != rows:
        raise ValueError(
            f"{path} should be {' x '.join(map(str, shape))} and is stored as "
            f"{_stored(packed)} with scales of {_stored(scales)}"
        )
    biases = weights.get(f"{path}.biases")
    if (biases is None) == (mode == "affine"):
        raise ValueError(f"{path} is quantized as {mode} and {_has(biases)} biases")
    if biases is not None and biases.shape != scales.shape:
        raise ValueError(f"{path} has biases of {_stored(biases)} and scales of {_stored(scales)}")
    return found


def check(own: Mapping[str, mx.array], weights: Mapping[str, mx.array]) -> None:
    """Compare every stored weight with the parameter that it will be.

    Raises ValueError for the first one of another shape or of a type that is none of a weight.
    Missing and additional ones are left to the loader.
    """
    for name, parameter in own.items():
        stored = weights.get(name)
        if stored is None:
            continue
        if stored.shape != parameter.shape:
            raise ValueError(f"{name} should be {_shape(parameter)} and is {_stored(stored)}")
        packed = parameter.dtype in (mx.uint32, mx.uint8)
        if stored.dtype != parameter.dtype if packed else stored.dtype not in _FLOATS:
            raise ValueError(f"{name} holds {_type(stored)}, which are no weights")


def _stored(array: mx.array) -> str:
    return f"{_shape(array)} of {_type(array)}"


def _shape(array: mx.array) -> str:
    return " x ".join(map(str, array.shape)) or "one number"


def _type(array: mx.array) -> str:
    return str(array.dtype).removeprefix("mlx.core.")


def _has(biases: mx.array | None) -> str:
    return "has no" if biases is None else "has"
