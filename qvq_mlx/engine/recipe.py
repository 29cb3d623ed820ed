"""Options of a conversion of weights."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Dtype(StrEnum):
    """The type of what is not quantized, and of the scales of what is."""

    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


@dataclass(frozen=True, slots=True)
class Recipe:
    """`bits` 3, 4, 5, 6 or 8; 0 means not quantized. `group_size` weights share a scale."""

    bits: int = 4
    group_size: int = 64
    dtype: Dtype = Dtype.BFLOAT16
