"""Bytes and numbers of things as people read and write them. GiB = 2**30, GB = 10**9."""

from __future__ import annotations

import re

_UNITS = {
    letter + binary: (1024 if binary else 1000) ** power
    for power, letter in enumerate("kmgt", start=1)
    for binary in ("", "i")
}


def size(count_bytes: int) -> str:
    """`38.5 GiB`, `6.3 MiB`, `640 KiB`, `12 bytes`."""
    if count_bytes < 1 << 10:
        return f"{count_bytes} bytes"
    unit, name = unit_of(count_bytes)
    return f"{count_bytes / unit:.{0 if name == 'KiB' else 1}f} {name}"


def counted(count: int, one: str) -> str:
    """`1 token`, `2,000 tokens`."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def unit_of(count_bytes: int) -> tuple[int, str]:
    """The unit that a number of bytes is told in, and its name."""
    if count_bytes >= 1 << 30:
        return 1 << 30, "GiB"
    return (1 << 20, "MiB") if count_bytes >= 1 << 20 else (1 << 10, "KiB")


def parse_size(text: str) -> int | None:
    """The bytes of `64GiB`, `500 MB` or a plain number; None where it is no size."""
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]*)\s*", text.casefold())
    if found is None:
        return None
    unit = found[2].removesuffix("b")
    if unit and unit not in _UNITS:
        return None
    return int(float(found[1]) * _UNITS.get(unit, 1))
