"""Measures how much of a text is new, to notice thinking that goes in circles in other words.

    phrase   four pieces on end (guards/loop.py says what a piece is)
    news     of the last W phrases, the share that the text had not said before
    stale    news <= 5 % of 700 phrases, 10 % of 1,000, 20 % of 1,600 or 25 % of 3,200

Phrases without a letter are left out, and at least half of a window has to be phrases with one: a
table or a grid of digits is no circle.

Law: a stale text is a reason to ask for the answer, never to stop one. A cycle of paraphrases
("wait, let me check option B again", in any order) is no exact repetition; an honest recap is none
either, and is soon over. The finding depends on the text alone, not on how it was cut.

Measured on the finished outputs of benchmarks/splitting.json: the lowest news of 400 phrases is
33 %, of 800 41 %. Not covered: circles that bring a new number in each turn, which a budget ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

_PHRASE_PIECES = 4
_STEP_PIECES = 64  # news is looked at this often
_WINDOWS = ((700, 0.05), (1000, 0.10), (1600, 0.20), (3200, 0.25))  # phrases, share of news
_LONGEST_WINDOW = max(window for window, _ in _WINDOWS)
_FEWEST_KNOWN = min(window * (1 - share) for window, share in _WINDOWS)  # in a stale window


class NewsMeter:
    """Remembers which phrases were said before. Places are counted in pieces from the text's
    beginning.
    """

    def __init__(self) -> None:
        self.known: list[int] = []
        """The place after each phrase that was said before, in order; all others are new."""
        self._looked_at = 0

    def stale_at(
        self, end: int, texts: Sequence[str], base: int, has_letter: Callable[[str], object]
    ) -> int | None:
        """The first place up to `end` at which the text is stale; None where it is not.

        `texts` are the pieces of the text from place `base` on.
        """
        first = self._looked_at + _STEP_PIECES
        self._looked_at = max(self._looked_at, end - end % _STEP_PIECES)
        if len(self.known) - bisect_right(self.known, first - _LONGEST_WINDOW) < _FEWEST_KNOWN:
            return None  # fresh text costs one look
        for place in range(first, end + 1, _STEP_PIECES):
            known = bisect_right(self.known, place)
            for window, share in _WINDOWS:
                begin = place - window
                if begin < max(base, 0):
                    break
                news = window - (known - bisect_right(self.known, begin))
                if news <= share * window and self._is_prose(
                    texts[begin - base : place - base], begin, share, has_letter
                ):
                    return place
        return None

    def forget_before(self, place: int) -> None:
        """Drop what lies before `place`."""
        del self.known[: bisect_right(self.known, place)]

    def _is_prose(
        self, texts: Sequence[str], begin: int, share: float, has_letter: Callable[[str], object]
    ) -> bool:
        """True if the window is stale by its phrases with letters alone, and has enough of them."""
        letters = [bool(has_letter(text)) for text in texts]
        lettered = [
            any(letters[max(0, at - _PHRASE_PIECES + 1) : at + 1]) for at in range(len(letters))
        ]
        counted = sum(lettered)
        first = bisect_right(self.known, begin)
        last = bisect_right(self.known, begin + len(texts))
        news = counted - sum(lettered[place - begin - 1] for place in self.known[first:last])
        return 2 * counted >= len(texts) and news <= share * counted
