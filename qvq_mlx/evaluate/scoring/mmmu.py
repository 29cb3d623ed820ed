r"""MMMU's official rules: a letter or a text in a response. Without the official random guess.

Source of the rules: the benchmark's `eval_utils.py`, and VLMEvalKit's `can_infer` for `inferred`.
The official parser guesses a letter at random where it finds none; here that is no answer. It
finds none in `\boxed{B}` nor in `**B**`, since it looks for a letter between spaces or in
parentheses: the canonical reading exists because of that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_AROUND = ",.!?;:'"
_SHORTEST_PROSE_WORDS = 6
"""A shorter response is not searched for an option's text."""

_KEYS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL = frozenset(":,.!?;'")
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),  # 1,234
    re.compile(r"-?(?<!\d)\d+(?:\.\d+)?[eE][+-]?\d+"),  # 1e3
    # 12, 3.4, .5
    re.compile(r"-?(?:(?<!\d)\d+\.\d+|\.\d+|(?<!\d)\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)

_SEPARATORS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_LAST_WORDS = 5


def letter(response: str, options: Mapping[str, str]) -> str | None:
    """Return the letter that the official parser finds; None where it would guess.

    `options` maps letters to their texts.
    """
    for sign in _AROUND:
        response = response.strip(sign)
    response = f" {response} "
    for shape in ("({})", " {} "):
        places = {name: response.rfind(shape.format(name)) for name in options}
        if max(places.values(), default=-1) >= 0:
            return max(places, key=lambda name: places[name])
    if len(response.split()) < _SHORTEST_PROSE_WORDS:
        return None
    places = {name: response.lower().rfind(text.lower()) for name, text in options.items()}
    last = max(places, key=lambda name: places[name], default=None)
    return last if last is not None and places[last] >= 0 else None


def is_open_answer_correct(response: str, answers: tuple[str, ...]) -> bool:
    """Tell whether a response to an open question has a gold text or a gold number in it."""
    gold = [form for answer in answers for form in _normalised(answer)]
    for found in _open_answers(response):
        if isinstance(found, float):
            if found in gold:
                return True
        elif any(isinstance(form, str) and form in found for form in gold):
            return True
    return False


def inferred(response: str, options: Mapping[str, str]) -> str | None:
    """Return the letter that VLMEvalKit infers without a language model; `Z` for a refusal.

    One letter has to stand alone, within the last words of the response; else one option's text
    has to be in a response that is not much longer than the options.
    """
    if any(refusal in response for refusal in _REFUSALS):
        return "Z"
    words = response.translate(_SEPARATORS).split()
    found = [name for name in options if name in words]
    if len(found) == 1 and words.index(found[0]) > len(words) - _LAST_WORDS:
        return found[0]
    if not found and "Z" in words:
        return "Z"
    if len(response) > 2 * sum(map(len, options.values())):
        return None
    named = [name for name, text in options.items() if text.lower() in response.lower()]
    return named[0] if len(named) == 1 else None


def _open_answers(response: str) -> list[float | str]:
    """Return the texts and numbers that the official parser takes for answers."""
    whole = response.strip().strip(".").lower()
    lines = whole.split("\n")
    keys = [_KEYS] * (len(lines) - 1) + [(*_KEYS, "=")]
    tails = [_tail(line, keys_here) for line, keys_here in zip(lines, keys, strict=True)]
    texts = [tail for tail in tails if tail and tail not in _TRIVIAL] or [whole]
    numbers = [found for text in texts for shape in _NUMBERS for found in shape.findall(text)]
    return [form for text in (*texts, *numbers) for form in _normalised(text)]


def _tail(line: str, keys: tuple[str, ...]) -> str:
    """Return the shortest text that follows a key word's last place in a line."""
    shortest = ""
    for key in keys:
        if key in line:
            tail = line.rpartition(key)[2].strip()
            if not shortest or len(tail) < len(shortest):
                shortest = tail
    return shortest


def _normalised(text: str) -> tuple[float | str, ...]:
    """Return a number with two decimals, or a text in lower case.

    A single character counts only at the beginning or the end of a word.
    """
    text = text.strip()
    try:
        return (round(float(text.replace(",", "")), 2),)
    except ValueError:
        text = text.lower()
    return (f" {text}", f"{text} ") if len(text) == 1 else (text,)
