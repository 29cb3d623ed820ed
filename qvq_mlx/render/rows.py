"""Lines of the screen, measured in cells.

Law: widths add up: the width of a text is the sum over its characters. That overestimates joined
emoji on some terminals and never makes a row wider than it may be.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import get_character_cell_size


@dataclass(frozen=True, slots=True)
class Row:
    """One line: `plain` to measure, `styled` the same text with its SGR sequences."""

    plain: str
    styled: str


BLANK = Row("", "")


def plain(text: str) -> Row:
    """A row without any style."""
    return Row(text, text)


def dim(text: str) -> Row:
    """A row in the background of attention."""
    return Row(text, f"\x1b[2m{text}\x1b[0m" if text else "")


def bold(text: str) -> Row:
    """A row that is the result."""
    return Row(text, f"\x1b[1m{text}\x1b[0m" if text else "")


def cells(text: str) -> int:
    """How many columns `text` takes. The emoji selector counts, as it may widen its neighbour."""
    if text.isascii():
        return len(text)
    return sum(_size(character) for character in text)


def cut(text: str, width: int) -> str:
    """The beginning of `text` that fits into `width` cells."""
    if cells(text) <= width:
        return text
    used = 0
    for index, character in enumerate(text):
        used += _size(character)
        if used > width:
            return text[:index]
    return text


def spans(line: str, width: int) -> list[tuple[int, int]]:
    """Where to break `line`, at spaces where there are some; the spans cover all of it.

    A row is `line[start:end].rstrip()`: the spaces at a break belong to the row before it.
    """
    found = []
    start = used = 0
    word = 0  # where the current word begins
    for index, character in enumerate(line):
        if character == " ":
            used += 1
            word = index + 1
            continue
        size = _size(character)
        while used + size > width and index > start:
            end = word if word > start else index
            found.append((start, end))
            start = end
            used = cells(line[start:index])
        used += size
    found.append((start, len(line)))
    return found


def wrap(text: str, width: int) -> list[str]:
    """The rows of a text, blank lines kept."""
    return [
        line[start:end].rstrip()
        for line in text.expandtabs(4).split("\n")
        for start, end in spans(line, width)
    ]


def tail(text: str, width: int, count: int, *, compact: bool) -> list[str]:
    """The last `count` rows of `text`; `compact` leaves out blank ones."""
    rows: list[str] = []
    end = len(text)
    while len(rows) < count and end >= 0:
        start = text.rfind("\n", 0, end) + 1
        # a line without end is not wrapped from its beginning again and again
        start_shown = start + max(0, end - start - _LONG) // _LONG * _LONG
        line = text[start_shown:end].expandtabs(4)
        if line.strip() or not compact:
            rows = wrap(line, width) + rows
        end = start - 1
    return rows[-count:] if count > 0 else []


def joined(parts: list[str], width: int) -> str:
    """The parts in one row, as many from the first as fit."""
    text = parts[0]
    for part in parts[1:]:
        if cells(text) + 3 + cells(part) > width:
            break
        text += f" · {part}"
    return cut(text, width)


def at_both_ends(text: str, note: str, width: int) -> Row:
    """`text` at the left and `note`, dim, at the right, where there is room for both."""
    gap = width - cells(text) - cells(note)
    if not note or gap < 2:
        return plain(text)
    left = text + " " * gap
    return Row(left + note, left + dim(note).styled)


_LONG = 8000


def _size(character: str) -> int:
    return 1 if character == "\ufe0f" else get_character_cell_size(character)
