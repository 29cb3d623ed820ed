"""MathVista's official rules, from the extracted answer to a verdict.

Source of the rules: the benchmark's `extract_answer.py` and `calculate_score.py`. The official
pipeline lets a language model extract the answer from a response; here `extracted` is the part of
it that is a rule, and where none applies the final value of the answer is taken.
"""

from __future__ import annotations

import re
from string import ascii_uppercase

from qvq_mlx.evaluate.gold import MathVistaGold

_QUOTED = re.compile(r'The answer is "(.*)"\.')
_LETTER = re.compile(r"\(([a-zA-Z])\)")


def extracted(response: str, gold: MathVistaGold) -> str | None:
    """Return what the official rules extract without a language model; None: they do not."""
    if not response or response in gold.choices:
        return response
    try:
        if gold.answer_type == "integer":
            return str(int(response))
        if gold.answer_type == "float":
            return str(float(response))
    except ValueError:
        pass
    quoted = _QUOTED.search(response)
    return quoted[1] if quoted else None


def normalised(extraction: str, gold: MathVistaGold) -> str | None:
    """Return an extraction in the form of the gold answer; None: it cannot be brought to it.

    A choice is told by its letter, else it is the one with the fewest edits, whatever was said:
    that is the official rule.
    """
    if gold.choices:
        said = extraction.strip()
        if letters := _LETTER.findall(said):
            said = letters[0].upper()
        place = ascii_uppercase.find(said) if len(said) == 1 else -1
        if 0 <= place < len(gold.choices):
            return gold.choices[place]
        return min(gold.choices, key=lambda choice: _edits(said, choice))
    try:
        if gold.answer_type == "integer":
            return str(int(float(extraction)))
        if gold.answer_type == "float":
            return str(round(float(extraction), gold.precision))
    except (ValueError, OverflowError):
        return None
    return extraction


def is_correct(extraction: str, gold: MathVistaGold) -> bool:
    """Tell whether an extraction, normalised, is the gold answer letter by letter."""
    return normalised(extraction, gold) == gold.answer


def _edits(first: str, second: str) -> int:
    """Return the Levenshtein distance of two texts, in characters."""
    row = list(range(len(second) + 1))
    for i, one in enumerate(first, 1):
        above = row
        row = [i]
        for j, other in enumerate(second, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (one != other)))
    return row[-1]
