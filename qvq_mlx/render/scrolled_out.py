"""Text of the live area that a smaller window pushed into the scrollback, so that it stands once.

Law: rows that say where in their text they stand, as those of the thinking do, are cut there. Any
other text is known again by its characters, since it is wrapped anew at the new width; spaces are
passed over. Rows that are to stay lose one run of characters, which ends where the text in the
scrollback or the rows end. Rows that are live lose whatever comes before the end of that text, too:
several parts of it may have been pushed out. A run shorter than LEAST characters is no proof by
itself, but what stood below the rows that were pushed out goes on with it: a run is known again by
its first LEAST characters, on either side of the edge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile

from qvq_mlx.render.rows import Row, solid

LEAST = 8
_PROOF = 24
_MOST = 20_000
"""Characters that are remembered; more than any window holds."""
_PIECES = re.compile(r"\x1b\[[0-9;]*m|.", re.DOTALL)


class ScrolledOut:
    """The text that is in the scrollback already, without its spaces."""

    def __init__(self) -> None:
        self._text = ""
        self._last = ""  # the end of what was pushed out last
        self._next = ""  # what stood below it
        self._reached = 0  # so many characters of the text whose rows say where they stand

    def add(self, rows: Iterable[Row], left: Iterable[Row]) -> None:
        """These rows were pushed out of the window, and those `left` stand below them."""
        rows = list(rows)
        for row in rows:
            if row.at is not None:
                self._reached = max(self._reached, row.at + len(solid(row.plain)))
        if new := _flat(rows):
            self._text = (self._text + new)[-_MOST:]
            self._last = new[-_PROOF:]
            self._next = _flat(left)[: LEAST - 1]

    def without(self, above: Sequence[Row], live: Sequence[Row]) -> tuple[list[Row], list[Row]]:
        """Return both without what is in the scrollback.

        What `above` would have brought to the scrollback in its turn is left out this once.
        """
        rows = [*above, *live]
        if any(row.at is not None for row in rows):
            return self._unseen(above), self._unseen(live)
        place = self._place(rows)
        if place is None:
            return list(above), self._begun(live)
        first, ending = place
        kept: tuple[list[Row], list[Row]] = ([], [])
        for number, row in enumerate(rows):
            if number == len(above) and first < number:
                self._text = ending
            part = kept[number >= len(above)]
            size = len(_flat([row]))
            if number < first:
                part += [row] if number < len(above) else []
                continue
            if not ending:
                part.append(row)
            elif size > len(ending):
                part.append(_after(row, len(ending)))
            ending = ending[size:]
        if first < len(above) and not live:
            self._text = ending
        return kept

    def _unseen(self, rows: Iterable[Row]) -> list[Row]:
        """Return the rows from where the scrollback ends; those that do not say where stay."""
        kept = []
        for row in rows:
            seen = 0 if row.at is None else self._reached - row.at
            if seen <= 0:
                kept.append(row)
            elif seen < len(solid(row.plain)):
                kept.append(_after(row, seen))
        return kept

    def _place(self, rows: Sequence[Row]) -> tuple[int, str] | None:
        """Return the first row that stands in the scrollback, and the text there from it on."""
        if not self._text:
            return None
        known = self._text + self._next
        for first in range(len(rows)):
            flat = _flat(rows[first:])
            if len(flat) < LEAST:
                return None
            at = known.find(flat[:LEAST])
            while at >= 0:
                ending = self._text[at:]
                if flat.startswith(ending) or ending.startswith(flat):
                    return first, ending
                at = known.find(flat[:LEAST], at + 1)
        return None

    def _begun(self, live: Sequence[Row]) -> list[Row]:
        """Return the live rows behind what was pushed out last, or behind what they begin with."""
        flat = _flat(live)
        at = flat.find(self._last) if len(self._last) >= LEAST else -1
        behind = at + len(self._last) if at >= 0 else self._run(flat)
        kept = []
        for row in live:
            size = len(_flat([row]))
            if behind <= 0:
                kept.append(row)
            elif size > behind:
                kept.append(_after(row, behind))
            behind -= size
        return kept

    def _run(self, flat: str) -> int:
        """Return how many characters `flat` begins with that are a part of the text."""
        longest, at = 0, self._text.find(flat[:LEAST]) if len(flat) >= LEAST else -1
        while at >= 0:
            pairs = zip(flat, self._text[at:], strict=False)
            longest = max(
                longest, sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            )
            at = self._text.find(flat[:LEAST], at + 1)
        return longest


def _flat(rows: Iterable[Row]) -> str:
    return "".join(solid(row.plain) for row in rows)


def _after(row: Row, count: int) -> Row:
    """The row without its first `count` characters that are no spaces; its styles stay."""
    end, at = 0, None if row.at is None else row.at + count
    while count:
        count -= bool(solid(row.plain[end]))
        end += 1
    end += len(row.plain[end:]) - len(row.plain[end:].lstrip())
    styled, left = "", end
    for piece in _PIECES.findall(row.styled):
        if piece.startswith("\x1b"):
            styled += piece
        elif left:
            left -= 1
        else:
            styled += piece
    return Row(row.plain[end:], styled, at)
