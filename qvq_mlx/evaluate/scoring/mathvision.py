r"""MathVision's official rules, from a response to a verdict.

Source of the rules: the benchmark's own `evaluation/evaluate.py` and `utils.py`. Kept as they are,
oddities included, since published numbers come from them: everything is lower-cased, a box is read
up to the last brace of the text, and two values are equal when they agree to two decimals.
"""

from __future__ import annotations

import re

from qvq_mlx.evaluate.gold import MathVisionGold
from qvq_mlx.evaluate.scoring import latex

_LETTERS = "ABCDE"
_STATED = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")
_BOX = "oxed{"
_BOXED = re.compile(r"oxed{(.*)}", re.DOTALL)

# Applied in this order; an entry may depend on what an earlier one has left.
_BEFORE_ROOTS = (
    (" ", ""),
    ("\\,", ""),
    ("∞", "\\infty"),
    ("+\\infty", "\\infty"),
    ("\\\\", "\\"),
    ("\n", ""),
    ("\\text", ""),
    ("\\mbox", ""),
    ("bmatrix", "pmatrix"),
    ("\\left", ""),
    ("\\right", ""),
    ("^{\\circ}", ""),
    ("^\\circ", ""),
    ("{m}^3", ""),
    ("m^3", ""),
    ("{units}", ""),
    ("units", ""),
    ("{km}", ""),
    ("km", ""),
    ("\n", ""),
    ("\\!", ""),
    ("\\\\", "\\"),
    ("tfrac", "frac"),
    ("dfrac", "frac"),
    ("\\left", ""),
    ("\\right", ""),
    ("^{\\circ}", ""),
    ("^\\circ", ""),
    ("\\$", ""),
    ("$", ""),
    ("\\%", ""),
    ("{.", "{0."),
)
_INTEGER_FRACTION = re.compile(r"(-?\d+)/(-?\d+)", re.ASCII)


def extracted(response: str) -> str:
    """Return the answer that the official parser finds in a response; never fails."""
    text = _letter(response.strip())
    number = text.rpartition("is ")[2].rstrip(".")
    if _is_number(number):
        text = number
    if _BOX not in text:
        text = _stated(text)
    elif text.count(_BOX) > 1:
        text = "\\boxed{" + text.rpartition(_BOX)[2]
    text = _cleaned(text)
    for shape in ("({})", "{{{}}}"):
        for letter in _LETTERS.lower():
            text = text.replace(shape.format(letter), letter)
    return text.rstrip(".").lstrip(":").strip()


def is_correct(answer: str, gold: MathVisionGold) -> bool:
    """Tell whether an extracted answer is the gold letter, or the gold value."""
    return is_equal(gold.answer, answer) or is_equal(gold.value, answer)


def is_equal(gold: str, answer: str) -> bool:
    """Tell whether two answers are the same text or have the same value to two decimals."""
    gold, answer = gold.lower(), answer.lower()
    if not gold.strip() or not answer.strip():
        return False
    if gold.strip() == answer.strip():
        return True
    return _same_value(gold, answer)


def _same_value(gold: str, answer: str) -> bool:
    gold, answer = _evaluated_tuple(gold), _evaluated_tuple(answer)
    if gold == answer:
        return True
    values = latex.number(gold), latex.number(answer)
    if values[0] is None or values[1] is None:
        return False
    return round(values[0], 2) == round(values[1], 2)


def _evaluated_tuple(text: str) -> str:
    """Return `(1/2, x)` and `[1, 2]` with numbers for their parts; other texts as they are."""
    parts = text[1:-1].split(",")
    if len(parts) < 2 or (text[0], text[-1]) not in (("(", ")"), ("[", "]")):
        return text
    evaluated = []
    for part in parts:
        if "infty" in part or part in ("a", "-a"):
            evaluated.append(part)
            continue
        value = latex.number(part)
        if value is None:
            return text
        evaluated.append(str(round(value, 2)))
    return f"{text[0]}{','.join(evaluated)}{text[-1]}"


def _letter(text: str) -> str:
    """Reduce a response that ends in ` X.` or begins with a line `X` to the letter."""
    for letter in _LETTERS:
        ends = (f" {letter}.", f" ({letter}).")
        begins = (f"{letter}\n", f"({letter})\n", f"({letter}) {letter}\n")
        if text.endswith(ends) or text.startswith(begins):
            return letter
    return text


def _stated(text: str) -> str:
    """Return the first sentence after each stating phrase, in turn."""
    for phrase in _STATED:
        for spelled in (phrase, phrase.replace("the", "The")):
            found = spelled in text
            text = text.rpartition(spelled)[2].strip()
            if found:
                text = text.partition("\n")[0].partition(". ")[0]
    return text


def _cleaned(text: str) -> str:
    """Return the content of the box, or all of the text, without its LaTeX dressing."""
    text = text.lower().replace("{}", "")
    boxes = _BOXED.findall(text)
    if boxes:
        text = boxes[-1]
    closing = text.find("}")
    if closing >= 0 and not 0 <= text.find("{") < closing:
        text = text[:closing]
    text = text.rpartition("=")[2].rpartition("\\approx")[2]
    for old, new in _BEFORE_ROOTS:
        text = text.replace(old, new)
    if text.startswith("."):
        text = "0" + text
    if "sqrt" in text:
        text = _braced_fractions(re.sub(r"\\sqrt([^{])", r"\\sqrt{\1}", text))
    if text == "0.5":
        return r"\frac{1}{2}"
    if match := _INTEGER_FRACTION.fullmatch(text):
        numerator, denominator = int(match[1]), int(match[2])
        if text == f"{numerator}/{denominator}":
            return rf"\frac{{{numerator}}}{{{denominator}}}"
    return text


def _braced_fractions(text: str) -> str:
    r"""Write `\frac12` and `\frac1{2}` as `\frac{1}{2}`; a text that breaks off stays as it is."""
    before, *fractions = text.split("\\frac")
    whole = before
    for fraction in fractions:
        if fraction.startswith("{"):
            whole += "\\frac" + fraction
        elif len(fraction) < 2:
            return text
        elif fraction[1] == "{":
            whole += f"\\frac{{{fraction[0]}}}{fraction[1:]}"
        else:
            whole += f"\\frac{{{fraction[0]}}}{{{fraction[1]}}}{fraction[2:]}"
    return whole


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
