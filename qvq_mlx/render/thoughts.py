"""The thinking on its way into the scrollback, for `--thinking full`.

Law: every row is given out once; a row that may still grow is not.
"""

from __future__ import annotations

from qvq_mlx.render.rows import spans, wrap


class Thoughts:
    """How much of the thinking is in the scrollback. The text is the transcript's."""

    def __init__(self) -> None:
        self._taken = 0  # characters

    def take(self, text: str, width: int, *, ended: bool, rows: bool) -> list[str]:
        """The rows that will not change any more: all of them where the thinking has ended.

        `rows`: of the line that is being written, take the rows that are full.
        """
        new = text[self._taken :]
        if ended:
            self._taken = len(text)
            return wrap(new.rstrip(), width) if new.strip() else []
        end = new.rfind("\n") + 1
        found = wrap(new[: end - 1], width) if end else []
        if rows and "\t" not in new[end:]:  # with a tab, rows and characters do not line up
            line = new[end:]
            pieces = spans(line, width)
            found += [line[start:stop].rstrip() for start, stop in pieces[:-1]]
            end += pieces[-1][0]
        self._taken += end
        return found

    def rest(self, text: str, width: int) -> list[str]:
        """The rows that are left."""
        return wrap(text[self._taken :], width) if len(text) > self._taken else []
