"""A saved run to go through: what is on the screen after each key, without a screen.

Law: `frame` has exactly as many rows as it is asked for, none wider than the width; a key never
raises. Searching ignores case, looks at rows as they are shown, folded thinking included, and
unfolds it where it finds something there. Not covered: words that a row's end divides.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from qvq_mlx.render.answer import Answer
from qvq_mlx.render.clean import clean, clean_line
from qvq_mlx.render.rows import BLANK, Row, at_both_ends, bold, cells, cut, dim, plain, wrap

_KEYS = (
    "t thinking · / search · n next · space page · q leave",
    "t thinking · / search · q leave",
    "q leave",
)
"""What can be pressed, in as many words as there is room for."""


class Key(Enum):
    """Keys that a person pressed, besides characters."""

    UP = auto()
    DOWN = auto()
    PAGE_UP = auto()
    PAGE_DOWN = auto()
    HOME = auto()
    END = auto()
    ENTER = auto()
    ERASE = auto()
    ESCAPE = auto()


_LETTERS = {
    "k": Key.UP,
    "j": Key.DOWN,
    "b": Key.PAGE_UP,
    " ": Key.PAGE_DOWN,
    "f": Key.PAGE_DOWN,
    "g": Key.HOME,
    "G": Key.END,
}


@dataclass(frozen=True, slots=True)
class Story:
    """A saved run to show, as it came from the disk. `thought` is the line about the thinking."""

    heads: tuple[str, ...]
    question: str
    thought: str
    thinking: str
    answer: str
    notes: tuple[str, ...] = ()
    unfinished: bool = False


class Pages:
    """The state of the view."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._open = False
        self._top = 0
        self._width, self._height = 80, 24
        self._typed: str | None = None  # of a search that is being entered
        self._wanted = ""
        self._said = ""
        self._rows: list[Row] = []
        self._thinking = (0, 0)  # the rows of it
        self._lay()

    def frame(self, width: int, height: int) -> list[Row]:
        """The rows of a screen of that size; the last one is about the view itself."""
        if (width, height) != (self._width, self._height):
            self._width, self._height = width, height
            self._lay()
        self._top = max(0, min(self._top, len(self._rows) - self._room))
        shown = [self._marked(row) for row in self._rows[self._top : self._top + self._room]]
        shown += [BLANK] * (self._room - len(shown))
        return [*shown, self._foot()]

    def press(self, key: Key | str) -> bool:
        """Take a key. False: the person wants to leave."""
        self._said = ""
        if self._typed is not None:
            self._type(key)
            return True
        if isinstance(key, str) and key in _LETTERS:
            key = _LETTERS[key]
        match key:
            case "q" | "Q" | Key.ESCAPE:
                return False
            case "t" | "\x0f":
                self._fold(not self._open)
            case "/":
                self._typed = ""
            case "n":
                self._search(1)
            case "N":
                self._search(-1)
            case Key.UP:
                self._top -= 1
            case Key.DOWN | Key.ENTER:
                self._top += 1
            case Key.PAGE_UP:
                self._top -= self._room
            case Key.PAGE_DOWN:
                self._top += self._room
            case Key.HOME:
                self._top = 0
            case Key.END:
                self._top = len(self._rows)
            case _:
                pass
        self._top = max(0, min(self._top, len(self._rows) - self._room))
        return True

    @property
    def _room(self) -> int:
        return max(1, self._height - 1)

    def _lay(self) -> None:
        """All rows at this width."""
        story, width = self._story, self._width
        rows = [dim(row) for head in story.heads for row in wrap(clean_line(head), width)]
        rows += [bold(row) for row in wrap(clean(story.question), width)]
        rows.append(BLANK)
        begin = end = len(rows)
        if story.thinking.strip():
            mark = "▾" if self._open else "▸"
            rows += [dim(row) for row in wrap(clean_line(f"{mark} {story.thought}"), width)]
            begin = end = len(rows)
            if self._open:
                rows += [dim(row) for row in wrap(clean(story.thinking).strip("\n"), width)]
                end = len(rows)
            rows.append(BLANK)
        if story.answer.strip():
            if story.unfinished:
                rows.append(dim(cut("unfinished answer:", width)))
            answer = Answer()
            answer.replace(clean(story.answer))
            rows += answer.rows(width)
        for note in story.notes:
            rows += [dim(row) for row in wrap(clean_line(note), width)]
        self._rows, self._thinking = rows, (begin, end)

    def _fold(self, unfold: bool) -> None:
        """Show the thinking or hide it; what is at the top stays there."""
        before = self._thinking
        self._open = unfold
        self._lay()
        grown = (self._thinking[1] - self._thinking[0]) - (before[1] - before[0])
        if self._top >= before[1] and self._top > before[0]:
            self._top += grown
        elif self._top > before[0]:
            self._top = before[0] - 1

    def _type(self, key: Key | str) -> None:
        assert self._typed is not None
        match key:
            case Key.ENTER:
                self._wanted, self._typed = self._typed or self._wanted, None
                self._search(1)
            case Key.ESCAPE:
                self._typed = None
            case Key.ERASE if self._typed:
                self._typed = self._typed[:-1]
            case Key.ERASE:
                self._typed = None
            case str() if key.isprintable():
                self._typed += key
            case _:
                pass

    def _search(self, step: int) -> None:
        """To the next row that holds the words, around the end if need be."""
        wanted = self._wanted.casefold()
        if not wanted:
            return
        if not self._open and self._hidden_hit(wanted):
            self._fold(True)
        hits = [at for at, row in enumerate(self._rows) if wanted in row.plain.casefold()]
        if not hits:
            self._said = f"{self._wanted} is not here"
            return
        later = [at for at in hits if at > self._top] if step > 0 else hits
        earlier = [at for at in hits if at < self._top]
        if step > 0:
            self._top = later[0] if later else hits[0]
        else:
            self._top = earlier[-1] if earlier else hits[-1]
        self._said = f"{len(hits)} {'row holds' if len(hits) == 1 else 'rows hold'} {self._wanted}"

    def _hidden_hit(self, wanted: str) -> bool:
        return wanted in self._story.thinking.casefold()

    def _marked(self, row: Row) -> Row:
        """The row with what was searched for in reverse."""
        wanted, folded = self._wanted.casefold(), row.plain.casefold()
        if not wanted or wanted not in folded or len(folded) != len(row.plain):
            return row
        styled, at = "", 0
        while (found := folded.find(wanted, at)) >= 0:
            end = found + len(wanted)
            styled += f"{row.plain[at:found]}\x1b[7m{row.plain[found:end]}\x1b[0m"
            at = end
        return Row(row.plain, styled + row.plain[at:])

    def _foot(self) -> Row:
        width = self._width
        if self._typed is not None:
            entered = f"/{clean_line(self._typed)}"
            while cells(entered) > width:  # its end is where one types
                entered = entered[1:]
            return plain(entered)
        last = min(len(self._rows), self._top + self._room)
        place = f"{self._top + 1}-{last} of {len(self._rows)}"
        said = cut(clean_line(self._said) or place, width)
        keys = next((keys for keys in _KEYS if cells(f"{said}  {keys}") <= width), "")
        foot = at_both_ends(said, keys, width)
        return Row(foot.plain, f"\x1b[2m{foot.plain}\x1b[0m")
