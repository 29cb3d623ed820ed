"""A box or a point as a model wrote it, and lists of numbers that become some.

Law: nothing is raised; numbers that make no box or point are a fault that counts them. x comes
before y, whatever a key is called.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TOKENS = frozenset(
    f"<|{kind}_{end}|>"
    for kind in ("object_ref", "box", "quad", "point")
    for end in ("start", "end")
)
"""Special tokens that point at a place (Qwen2-VL, QVQ)."""

_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)")
_NOTHING_ELSE = re.compile(r"[-+\d.,;()\[\]\s]*")
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Mark:
    """A box (x1, y1, x2, y2) or a point (x, y). `at` is its place in the text.

    `picture` is what its object says of the picture; `mention` the last one that the text names
    before it, as ("picture" or "page", number).
    """

    numbers: tuple[float, ...]
    label: str | None
    at: int
    picture: str | float | None = None
    mention: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A place that could not be read, or was repaired; `code` is stable. The rest as in Mark."""

    code: str
    text: str
    at: int
    picture: str | float | None = None
    mention: tuple[str, int] | None = None


Found = Mark | Fault


def boxes(numbers: Sequence[float], label: str | None, at: int) -> Iterator[Found]:
    """Four numbers are a box."""
    yield from _groups(numbers, 4, "box", label, at)


def points(numbers: Sequence[float], label: str | None, at: int) -> Iterator[Found]:
    """Two numbers are a point."""
    yield from _groups(numbers, 2, "point", label, at)


def polygon(numbers: Sequence[float], label: str | None, at: int) -> Iterator[Found]:
    """The rectangle around three corners or more."""
    name = named("polygon", label)
    if len(numbers) < 6 or len(numbers) % 2:
        yield Fault("count", f"{name} has {len(numbers)} numbers, not pairs of three or more", at)
        return
    xs, ys = numbers[::2], numbers[1::2]
    yield from boxes((min(xs), min(ys), max(xs), max(ys)), label, at)
    yield Fault("polygon", f"{name} of {len(xs)} corners: the box is what encloses it", at)


def numbers_in(text: str) -> list[float]:
    """Every number, in order; infinity for one that no float holds."""
    return [float(number) for number in _NUMBER.findall(text)]


def are_numbers(text: str) -> bool:
    """True if there is nothing but numbers, brackets and what separates them."""
    return bool(text) and _NOTHING_ELSE.fullmatch(text) is not None


def named(kind: str, label: str | None) -> str:
    """Return the name for a fault's text: `a box ('dog')`."""
    return f"a {kind} ({quoted(label)})" if label else f"a {kind}"


def quoted(text: str) -> str:
    """The beginning of `text`, on one line."""
    line = " ".join(text[:200].split())
    return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…")


def _groups(
    numbers: Sequence[float], size: int, kind: str, label: str | None, at: int
) -> Iterator[Found]:
    if not numbers or len(numbers) % size:
        yield Fault("count", f"{named(kind, label)} has {len(numbers)} numbers, not {size}", at)
    elif not all(math.isfinite(number) for number in numbers):
        yield Fault("number", f"{named(kind, label)} has a number that no float holds", at)
    else:
        for start in range(0, len(numbers), size):
            yield Mark(tuple(numbers[start : start + size]), label, at)
