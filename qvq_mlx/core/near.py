"""Finds the word that was meant where a finger slipped."""

from __future__ import annotations

from collections.abc import Sequence


def near(word: str, words: Sequence[str]) -> str | None:
    """The word that one slip of the finger makes `word` of; None where there is none."""
    return next((known for known in words if _is_one_slip(word, known)), None)


def meant(word: str, words: Sequence[str]) -> str:
    """Return the end of an error line: `; did you mean list?`, or ''."""
    close = near(word, words)
    return f"; did you mean {close}?" if close else ""


def _is_one_slip(word: str, known: str) -> bool:
    """True if one letter is missing, too much, another one, or has changed places with the next."""
    if len(known) < 3 or word == known:
        return word == known
    letters = range(len(known))
    swapped = (known[:at] + known[at + 1 : at + 2] + known[at] + known[at + 2 :] for at in letters)
    if word in swapped or any(word == known[:at] + known[at + 1 :] for at in letters):
        return True
    if len(word) == len(known) + 1:
        return any(word[:at] + word[at + 1 :] == known for at in range(len(word)))
    differing = sum(one != other for one, other in zip(word, known, strict=False))
    return len(word) == len(known) and differing == 1
