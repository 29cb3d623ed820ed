"""The ring of the machines that split a model: joined, and measured."""

from __future__ import annotations

import time
from statistics import median

import mlx.core as mx

_SUM_NUMBERS = 8192
"""One token of QVQ-72B is so many from layer to layer: 16 KiB."""
_SUMS = 50
_LARGE_NUMBERS = 4 * 2**20
_LARGE_SUMS = 4


def joined() -> mx.distributed.Group:
    """Join the ring that the variables of the process name. Raises RuntimeError."""
    return mx.distributed.init(strict=True, backend="ring")


def measured(group: mx.distributed.Group) -> tuple[float, float]:
    """Measure the ring, of which all machines do so at the same time.

    Returns the seconds that the sum of 8,192 16-bit numbers takes, which a layer has two of, and
    the bytes per second between two neighbours while 16 MiB are summed.
    """
    small, large = mx.zeros(_SUM_NUMBERS, dtype=mx.float16), mx.zeros(_LARGE_NUMBERS)
    _sum_s(small, group)  # the first one connects
    sum_s = median(_sum_s(small, group) for _ in range(_SUMS))
    large_s = median(_sum_s(large, group) for _ in range(_LARGE_SUMS))
    # each machine passes every part but its own on, twice
    sent_bytes = 2 * (group.size() - 1) * large.nbytes / group.size()
    return sum_s, sent_bytes / large_s


def _sum_s(array: mx.array, group: mx.distributed.Group) -> float:
    began = time.perf_counter()
    mx.eval(mx.distributed.all_sum(array, group=group))
    return time.perf_counter() - began
