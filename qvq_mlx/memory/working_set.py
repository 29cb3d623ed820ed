"""The part of a Mac's memory that macOS lets the GPU hold.

Law: more memory is never a smaller working set. Where Metal itself can be asked, it is (the
`working_set_bytes` of a `Machine` are then MLX's): this table serves a Mac that is not this one.

The values are what owners' programs print as `recommendedMaxWorkingSetSize`, in GiB; `SOURCES` says
where each was reported.

Reports disagree with the age of macOS: older ones have two thirds below 36 GiB (10.67 of 16,
https://github.com/exo-explore/exo/pull/1672; 21.33 of 32) and three quarters above (27 of 36, 48 of
64, 96 of 128). Of 96 and 192 only the older share is reported, of 256 also 239. Taken is the newer
report, and of two newer ones the smaller. A size between two gets the share of the smaller one.
"""

from __future__ import annotations

import re

from qvq_mlx.core.sizes import parse_size

GIB = 2**30
_REPORTED_GIB = {
    8: 5.33,
    16: 11.84,
    24: 17.76,
    32: 24.96,
    36: 28.08,
    48: 37.44,
    64: 51.84,
    96: 72.0,
    128: 107.52,
    192: 144.0,
    256: 208.0,
}
SOURCES = (
    ("8", "https://github.com/SceneWorks/SceneWorks/pull/1552"),
    ("16", "https://github.com/AlexsJones/llmfit/pull/754"),
    ("24, 48, 64", "logs of llama.cpp; the same share as their neighbours"),
    ("32, 36", "`26800.60 MB` and `30150.67 MB` in logs of llama.cpp (M4, M5, M3 Max)"),
    ("96, 192", "https://github.com/raullenchai/Rapid-MLX/pull/183"),
    ("128", "https://github.com/antirez/ds4/pull/893"),
    ("256", "a report whose page was not kept; another one has 239"),
)
"""Macs in GB, and where their value was reported."""
_LARGEST_PLAUSIBLE_GIB = 4096


def working_set_of(memory_bytes: int) -> int:
    """Return what macOS lets the GPU wire by default, in bytes; reported or between reports."""
    sizes = sorted(_REPORTED_GIB)
    below = max((size for size in sizes if size * GIB <= memory_bytes), default=sizes[0])
    found = memory_bytes * _REPORTED_GIB[below] / below
    above = (_REPORTED_GIB[size] * GIB for size in sizes if size * GIB > memory_bytes)
    return int(min(found, *above)) if memory_bytes < sizes[-1] * GIB else int(found)


def is_reported(memory_bytes: int) -> bool:
    """True if a Mac of this size was reported, so that nothing is interpolated."""
    return memory_bytes % GIB == 0 and memory_bytes // GIB in _REPORTED_GIB


def highest_wired_limit_bytes(memory_bytes: int) -> int:
    """Return the highest limit that still leaves macOS 5 GiB, or a 16th where that is more.

    Owners run with 59 of 64 GiB (https://github.com/ddalcu/mlx-serve/issues/440) and 112 of 128
    (https://github.com/antirez/ds4/issues/890). Never below the default.
    """
    left = max(5 * GIB, memory_bytes // 16)
    return max(working_set_of(memory_bytes), (memory_bytes - left) // 2**20 * 2**20)


def sold_memory_bytes(text: str) -> int | None:
    """Return the memory of the Mac that is sold as `36GB`; None where the text is no size.

    `36`, `36 GB` and `36GiB` mean the same: what is sold as GB of memory is GiB. A number from
    4,096 on is bytes.
    """
    found = re.fullmatch(r"\s*(\d{1,4})\s*(?:g|gb|gib)?\s*", text.casefold())
    if found and int(found[1]) < _LARGEST_PLAUSIBLE_GIB:
        return int(found[1]) * GIB or None
    return parse_size(text) or None
