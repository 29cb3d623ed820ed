"""The thinking on its way into the scrollback, for `--thinking full`.

Law: every row is given out once; a row that may still grow is not. Rows are dim and say where in
the thinking they stand.
"""

from __future__ import annotations

from qvq_mlx.render.rows import Row, placed, solid, spans, unspaced, untabbed, wrap


class Thoughts:
    """The part of the thinking that is not in the scrollback yet."""

    def __init__(self) -> None:
        self._rest = ""
        self._column = 0  # of the line, for tabs
        self._taken = 0  # characters, as `solid` counts them

    def add(self, text: str) -> None:
        """The thinking goes on."""
        text, self._column = untabbed(text, self._column)
        self._rest += text

    def take(self, width: int, *, ended: bool, rows: bool) -> list[Row]:
        """The rows that will not change any more: all of them where the thinking has ended.

        `rows`: of the line that is being written, take the rows that are full.
        """
        new, begin = self._rest, self._taken
        if ended:
            self._rest = ""
            self._taken += len(solid(new))
            return placed(wrap(new.rstrip(), width) if new.strip() else [], begin)
        end = new.rfind("\n") + 1
        found = wrap(new[: end - 1], width) if end else []
        if rows:
            line = unspaced(new[end:], width)
            new = new[:end] + line
            pieces = spans(line, width)
            found += [line[start:stop].rstrip() for start, stop in pieces[:-1]]
            end += pieces[-1][0]
        self._rest = new[end:]
        self._taken += len(solid(new[:end]))
        return placed(found, begin)

    def rest(self, width: int) -> list[Row]:
        """The rows that are left."""
        return placed(wrap(self._rest, width) if self._rest else [], self._taken)
