"""The rows of the live area that are ours: the status, the header, the keys.

Law: no row is wider than the window; what matters least is left out first, and a number is whole
or not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from qvq_mlx.core.events import Progress, Stage
from qvq_mlx.core.request import ThinkingView
from qvq_mlx.render.meter import short, status
from qvq_mlx.render.rows import Row, at_both_ends, cells, cut, dim, joined, packed, plain

Paint = Callable[[str], str]
"""Colours a text, or leaves it as it is."""


def admission(variants: Sequence[str], width: int) -> str:
    """The first that fits, or as much of the last as fits."""
    return next((text for text in variants if cells(text) <= width), cut(variants[-1], width))


def header_row(
    variants: Sequence[str], notes: Sequence[str], width: int, paint: Paint = str
) -> Row:
    """The header at the left, the keys, as many as there is room for, at the right.

    `paint` colours what goes on.
    """
    head = admission(variants, width)
    room = width - cells(head) - 2
    note = next((note for note in notes if cells(note) <= room), "")
    row = at_both_ends(head, note, width)
    if row.plain == head:
        return painted(row, paint)
    keys = dim(" · ").styled.join(_key(part, paint) for part in note.split(" · "))
    return painted(Row(row.plain, row.plain[: -len(note)] + keys), paint)


def _key(part: str, paint: Paint) -> str:
    """`t expands`: the key coloured, what it does dim."""
    key, _, does = part.partition(" ")
    return f"{paint(key)} {dim(does).styled}"


def painted(row: Row, paint: Paint) -> Row:
    """Return the row with its first part, up to ` · ` or two spaces, coloured."""
    first = re.split(r" · |  ", row.plain, maxsplit=1)[0]
    if not row.styled.startswith(first):
        return row
    return Row(row.plain, paint(first) + row.styled[len(first) :])


def key_notes(*, view: ThinkingView, can_answer: bool, expanded: bool) -> list[str]:
    """Return names for the right end of the header, from the most to the least."""
    turn = "t collapses" if expanded else "t expands"
    named = [turn] if view is ThinkingView.TAIL else []
    answers = ["a answers"] if can_answer else []
    most = [*named, *answers, "? keys"]
    return [" · ".join(most[:count] + most[-1:]) for count in range(len(most) - 1, -1, -1)]


def key_rows(
    width: int, *, view: ThinkingView, can_answer: bool, expanded: bool, height: int
) -> list[Row]:
    """Return the keys that do something now, as `?` shows them."""
    parts = ["q stops and saves", "c copies", "? hides"]
    if can_answer:
        parts.insert(0, "a answers now")
    if view is ThinkingView.TAIL:
        parts.insert(0, "t collapses the thinking" if expanded else "t expands the thinking")
    return [dim(row) for row in packed(parts, width)[: max(0, height)]]


def status_row(
    progress: Progress,
    stages: Sequence[Stage],
    left_s: float | None,
    width: int,
    paint: Paint = str,
) -> Row:
    """`load 62 % · encode · prefill · 9 s left`: the stage that goes on, what follows it dim.

    In a narrow window the present one alone, with the time left where there is room.
    """
    now = status(progress)
    left = [] if left_s is None else [f"{told(left_s)} left"]
    later = stages[stages.index(progress.stage) + 1 :] if progress.stage in stages else ()
    names = [stage.value for stage in later]
    whole = " · ".join([now, *names, *left])
    if cells(whole) > width:
        return painted(plain(joined([now, *left], width)), paint)
    styled = " · ".join([now, *(dim(name).styled for name in names), *left])
    return painted(Row(whole, styled), paint)


def told(seconds: float) -> str:
    """`9 s`, `1m 12s`: a time to come, in whole seconds and never 0."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else short(whole)
