"""Bytes as people read them. GiB = 2**30."""

from __future__ import annotations


def size(count_bytes: int) -> str:
    """`38.5 GiB`, `6.3 MiB`, `640 KiB`, `12 bytes`."""
    if count_bytes < 1 << 10:
        return f"{count_bytes} bytes"
    unit, name = unit_of(count_bytes)
    return f"{count_bytes / unit:.{0 if name == 'KiB' else 1}f} {name}"


def unit_of(count_bytes: int) -> tuple[int, str]:
    """The unit that a number of bytes is told in, and its name."""
    if count_bytes >= 1 << 30:
        return 1 << 30, "GiB"
    return (1 << 20, "MiB") if count_bytes >= 1 << 20 else (1 << 10, "KiB")
