"""Reads how long an idle model stays loaded."""

from __future__ import annotations

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Field

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600}


def parse_keep(text: str | None) -> float | None:
    """`90s`, `10m`, `2h` or seconds; None: for ever. Raises UsageError."""
    if text is None:
        return None
    word = text.strip().lower()
    digits = word.rstrip("smh")
    unit = word[len(digits) :]
    if digits.isascii() and digits.isdigit() and unit in _UNITS_S and len(digits) < 7:
        return float(digits) * _UNITS_S[unit]
    raise UsageError((Field.KEEP, f" is {text[:40]!r}; it can be like 90s, 10m or 2h"))
