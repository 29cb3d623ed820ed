"""Finds text that repeats itself word for word, while it is being written.

Law: a hard finding means that the text ends in two whole repetitions of one period and the
beginning of a third, with nothing between them. The same paragraph three times with other text
between is a recap and not a loop, however long it is: recaps, tables, code and refrains repeat
runs, and only a loop repeats all of it.

    pieces   a word, at most 24 characters of it; one Chinese or Japanese character. White space
             does not count; `BlankRun` finds text that ends in nothing else.
    weight   a piece with a letter counts one word. In a period of at least 8 different pieces
             every other piece does so, too; in a plainer one it counts len/5 words where it has
             a digit, and 1/2 or 1 where it has none: rows of a table of zeros are cheap. In a
             period without white space a piece of 24 characters counts 6.
    hard     period >= 30 words: the 30th word of its third repetition has been written.
             period < 30 words: 90 words in all; but of fewer than 8 different pieces 400 with
             digits or code's characters, 160 with a formula's or of symbols alone, and 120 of 3 or
             fewer words.
    soft     a run of 30 words came a second time, and at least 30 words lie between.
    stale    hardly anything of the last part was said for the first time (guards/news.py).

One dictionary step for each piece: a match is followed piece by piece, and looked up anew, as the
latest place of the last four pieces, where it breaks. Findings depend on the text alone, not on
how it was cut. Bounds: periods up to 16,384 pieces (some 90 KB of English) and a memory of twice
that. Not covered: loops that change a number in each turn, which a budget ends.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count, islice
from operator import attrgetter

from qvq_mlx.guards.news import NewsMeter

WORDS = 30
_HISTORY_PIECES = 16_384
_VOCABULARY = 131_072  # different pieces; more are not remembered
_GRAM_BITS = 15  # four pieces in the 60 bits of a small integer
_WORD_MASK = (1 << _GRAM_BITS) - 1
_GRAM_MASK = (1 << 4 * _GRAM_BITS) - 1
_SAMPLE_PIECES = 256  # enough to judge most periods by
_MANY_PIECES = 8
_FEW_PIECES = 4
_SHORT_PERIOD_WORDS = 90
_CHANT_WORDS = 120
_SYMBOLS_WORDS = 160
_FORMULA_WORDS = 160
_CODE_WORDS = 400
_DIGITS_WORDS = 400
_LONGEST_PIECE = 24
_BLANK_CHARS = 800  # white space on end

# ideographs, kana, full-width forms: scripts that write no spaces, one character at a time
_UNSPACED = "\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef"
_PIECE = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]{{1,{_LONGEST_PIECE}}}")
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
_BLANK = re.compile(rf"\s{{{_BLANK_CHARS}}}")
_LETTER = re.compile(r"[^\W\d_]")
_DIGIT = re.compile(r"\d")
_FORMULA = re.compile(r"[=\\$]")
_CODE = re.compile(r"[\d\[\]{}()<>=_\\|`\"'+*/&^$#@-]")


class Severity(StrEnum):
    """The kinds of findings."""

    SOFT = "soft"
    STALE = "stale"
    """The text goes in circles, in other words or in another order: `period_chars` is 0."""
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class Repetition:
    """A finding: `at_char` characters had been written when it was certain.

    `period_chars` is the length of what repeats; characters are counted from the first of the text.
    """

    severity: Severity
    at_char: int
    period_chars: int


class LoopDetector:
    """Takes a text in pieces of any size, and says what has become certain.

    After a hard finding the detector is `spent`, until `restart`.
    """

    def __init__(self) -> None:
        self._chars = 0  # taken so far, but for what is held
        self._held = ""  # the last piece: it may go on
        self._softened = False
        self._staled = False
        self.spent = False
        self._forget()

    def feed(self, text: str) -> list[Repetition]:
        """The findings that `text` makes certain; the last piece waits for what follows."""
        if self.spent:
            self._chars += len(text)
            return []
        return self._add(self._held + text)

    def close(self) -> list[Repetition]:
        """The findings of the last piece, now that nothing follows."""
        held, self._held = self._held, ""
        return [] if self.spent or not held else self._take([held], held)

    def restart(self) -> None:
        """Forget what was written; positions go on."""
        self._chars += len(self._held)
        self._held = ""
        self._staled = False
        self._forget()

    def _forget(self) -> None:
        """Know no text."""
        self.spent = False
        self._base = 0  # pieces that were forgotten: an index minus this is a place in the lists
        self._texts: list[str] = []
        self._words: list[int] = []
        self._chunks: list[_Chunk] = []
        self._ids: defaultdict[str, int] = defaultdict(count().__next__)
        self._gram = 0  # the last four pieces
        self._latest: dict[int, int] = {}  # a gram: the index after its latest place
        self._older: dict[int, int] = {}  # the same, for the text before the last pruning
        self._match = -1  # the place that is equal to the next piece, if the run goes on
        self._run = 0
        self._target = 0  # the run at which the next look is worth it
        self._news = NewsMeter()

    def _add(self, text: str) -> list[Repetition]:
        pieces = _pieces(text)
        self._held = ""
        if pieces and not text[-1].isspace():
            self._held = pieces.pop()
            text = text[: -len(self._held)]
        return self._take(pieces, text)

    def _take(self, pieces: Sequence[str], text: str) -> list[Repetition]:
        """Add the pieces of `text`. The state lives in local names here: the innermost loop."""
        if not pieces:
            self._chars += len(text)
            return []
        found: list[Repetition] = []
        words, latest, base = self._words, self._latest, self._base
        latest_place, older_place = latest.get, self._older.get
        is_known = self._news.known.append
        start = len(words)
        self._texts += pieces
        self._chunks.append(_Chunk(base + start, self._chars, text))
        self._chars += len(text)
        words.extend(map(self._ids.__getitem__, pieces))
        match, run, target, gram = self._match, self._run, self._target, self._gram
        for index, word in enumerate(words[start:], start=base + start + 1):  # after the piece
            gram = (gram << _GRAM_BITS | word & _WORD_MASK) & _GRAM_MASK
            if match >= 0 and words[match] == word:
                match += 1
                run += 1
                is_known(index)
                if run >= target:
                    end = index - base
                    finding, run, target = self._look(end, end - match, run)
                    if finding is not None:
                        found.append(finding)
                        if finding.severity is Severity.HARD:
                            found[-1:-1] = self._stale(index)
                            self._forget()
                            self.spent = True
                            return found
            else:
                place = latest_place(gram)
                match = (older_place(gram, -1) if place is None else place) - base
                run, target = 0, WORDS
                if match >= 0:
                    is_known(index)
            latest[gram] = index
        self._gram = gram
        self._match, self._run, self._target = match, run, target
        found += self._stale(base + len(words))
        if len(words) > 2 * _HISTORY_PIECES:
            self._prune()
        return found

    def _prune(self) -> None:
        """Forget the older half, at the edge of a chunk."""
        if len(self._ids) > _VOCABULARY:
            self._forget()
            return
        half = self._base + len(self._words) - _HISTORY_PIECES
        first = bisect_right(self._chunks, half, key=attrgetter("first")) - 1
        cut = self._chunks[first].first - self._base
        self._base += cut
        del self._chunks[:first], self._words[:cut], self._texts[:cut]
        self._news.forget_before(self._base)
        self._match = max(self._match - cut, -1)
        self._latest, self._older = {}, self._latest

    def _look(self, end: int, period: int, run: int) -> tuple[Repetition | None, int, int]:
        """Judge a run of equal pieces: return a finding, the whole run, and the next target.

        The `run` pieces before `end` are equal to those `period` earlier; there may be more.
        """
        words, texts = self._words, self._texts
        while end - run - period > 0 and words[end - run - 1] == words[end - run - period - 1]:
            run += 1
        first = end - run - period  # the first piece of the first repetition
        measure = _Measure(texts[first : first + min(period, _SAMPLE_PIECES)])
        if measure.after_words is None and period > _SAMPLE_PIECES:
            measure = _Measure(texts[first : first + period])
        thirty = measure.after_words
        hard = measure.short_run if thirty is None else period + thirty
        if run >= hard:
            return self._finding(Severity.HARD, end, period), run, hard
        if thirty is None or self._softened:
            return None, run, hard
        if run < thirty:
            return None, run, thirty
        self._softened = True
        return self._finding(Severity.SOFT, end, period), run, hard

    def _stale(self, end: int) -> list[Repetition]:
        """The finding that the text says nothing new, once, up to the place `end`."""
        if self._staled:
            return []
        place = self._news.stale_at(end, self._texts, self._base, _LETTER.search)
        if place is None:
            return []
        self._staled = True
        return [Repetition(Severity.STALE, self._end_of(place - 1 - self._base), 0)]

    def _finding(self, severity: Severity, end: int, period: int) -> Repetition:
        at = self._end_of(end - 1)
        chars = at - self._end_of(end - 1 - period)
        return Repetition(severity, at, chars)

    def _end_of(self, index: int) -> int:
        """Return where the piece at a place ends, in characters."""
        index += self._base
        chunk = self._chunks[bisect_right(self._chunks, index, key=attrgetter("first")) - 1]
        piece = next(islice(_PIECE.finditer(chunk.text), index - chunk.first, None))
        return chunk.start + piece.end()


class BlankRun:
    """Finds white space that goes on for _BLANK_CHARS characters."""

    def __init__(self) -> None:
        self._blank = 0  # how much white space the text ends in

    def feed(self, text: str) -> bool:
        """Take more of the text; True where white space has just gone on for too long."""
        body = text.strip()
        leading = len(text) - len(text.lstrip()) if body else len(text)
        before = self._blank
        self._blank = len(text) - len(text.rstrip()) if body else before + len(text)
        if before < _BLANK_CHARS <= before + leading:
            return True
        return len(text) >= _BLANK_CHARS and _BLANK.search(body) is not None


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A stretch of text that begins at character `start`, with piece `first`."""

    first: int
    start: int
    text: str


def _pieces(text: str) -> list[str]:
    """The same as `_PIECE.findall`, several times as fast where words have spaces."""
    if not text.isascii() and _UNSPACED_CHARACTER.search(text):
        return _PIECE.findall(text)
    pieces = text.split()
    if not pieces or max(map(len, pieces)) <= _LONGEST_PIECE:
        return pieces
    return [
        piece[at : at + _LONGEST_PIECE]
        for piece in pieces
        for at in range(0, len(piece), _LONGEST_PIECE)
    ]


class _Measure:
    """The weight of a period, in words.

    `after_words` pieces of it weigh 30 words, None where it is shorter; `short_run` is then the
    number of pieces, after the first repetition, that make a loop.
    """

    def __init__(self, period: Sequence[str]) -> None:
        kinds = set(period)
        varied = len(kinds) >= _MANY_PIECES
        unbroken = all(len(kind) == _LONGEST_PIECE for kind in kinds)
        weights = {
            kind: len(kind) / 4 if unbroken else 1.0 if varied else _weight(kind) for kind in kinds
        }
        total = 0.0
        self.after_words: int | None = None
        for index, piece in enumerate(period):
            total += weights[piece]
            if total >= WORDS and varied:
                self.after_words = index + 1
                break
        pieces = math.ceil(_loop_words(kinds) / total * len(period))
        self.short_run = max(pieces - len(period), 2 * len(period))


def _weight(piece: str) -> float:
    """The words that a piece counts in a period of few different pieces."""
    if _LETTER.search(piece):
        return 1.0
    return len(piece) / 5 if _DIGIT.search(piece) else min(len(piece), 2) / 2


def _loop_words(kinds: set[str]) -> int:
    """The words, in all, that make a loop of a short period."""
    if len(kinds) >= _MANY_PIECES:
        return _SHORT_PERIOD_WORDS
    text = "".join(kinds)
    if not _LETTER.search(text):
        return _DIGITS_WORDS if _DIGIT.search(text) else _SYMBOLS_WORDS
    if _FORMULA.search(text):
        return _FORMULA_WORDS
    if _CODE.search(text):
        return _CODE_WORDS
    return _CHANT_WORDS if len(kinds) < _FEW_PIECES else _SHORT_PERIOD_WORDS
