r"""OlympiadBench's official rules, from a response to a verdict.

Source of the rules: the benchmark's `judge.py` and `math_judger.py`. A gold answer and a response
are split at commas, and the parts are paired: equal as texts, as intervals, as numbers (also
times or over 100, for percent), as expressions or as equations.

Deviation: with several tolerances, each stays with its own value; the official loop may mix up
equal ones.
"""

from __future__ import annotations

import re
from contextlib import suppress

from qvq_mlx.evaluate.gold import DEFAULT_TOLERANCE, OlympiadBenchGold
from qvq_mlx.evaluate.scoring import latex

_STATED = {False: re.compile("So the final answer is (.*)"), True: re.compile("所以最终答案是(.*)")}
_BOX = "\\boxed{"
_FORMULA = re.compile(r"\$(.*?)\$")
_SIGNS = (
    ("\\left", ""),
    ("\\right", ""),
    ("∶", ":"),
    ("，", ","),
    ("$", ""),
    ("\\approx", "="),
    ("\\simeq", "="),
    ("\\sim", "="),
    ("^\\prime", "'"),
    ("^{\\prime}", "'"),
    ("^\\circ", ""),
    ("%", ""),
)
_AROUND = "\n$,.:;^_=+`!@#$%^&*~，。"
_UPRIGHT = re.compile(r"\\(?:mathrm|mathbf)\{~?([^}]*)\}")
_CHINESE = re.compile(r"[\u4e00-\u9fff]+")


def extracted(response: str, *, chinese: bool) -> str:
    """Return what follows the last stating sentence on its line, else the whole response."""
    stated = _STATED[chinese].findall(response)
    return stated[-1].strip() if stated else response


def is_correct(answer: str, gold: OlympiadBenchGold) -> bool:
    """Tell whether the values of an answer and of the gold answer can be paired, each to each."""
    try:
        expected, given = _plain(gold.answer), _plain(answer)
    except ValueError:  # a box that never closes
        return False
    if expected == given:
        return True
    wanted = _values(_CHINESE.sub("", expected))
    open_values = _values(_CHINESE.sub("", given))
    if len(wanted) != len(open_values):
        return False
    for index, value in enumerate(wanted):
        tolerance = _tolerance(gold.tolerances, index)
        pair = next((one for one in open_values if _is_equal(value, one, tolerance)), None)
        if pair is None:
            return False
        open_values.remove(pair)
    return True


def _tolerance(tolerances: tuple[float, ...], index: int) -> float:
    if len(tolerances) == 1:
        return tolerances[0]
    return tolerances[index] if index < len(tolerances) else DEFAULT_TOLERANCE


def _plain(text: str) -> str:
    """Return the formulas of a text without signs that change nothing. Raises ValueError."""
    text = _formulas(text)
    if "\\in " in text:
        text = text.split("\\in ")[1]
    for sign, plain in _SIGNS:
        text = text.replace(sign, plain)
    return _UPRIGHT.sub(r"\1", text.strip(_AROUND))


def _formulas(text: str) -> str:
    """Return the contents of all boxes, else the formulas of the last line, else the text."""
    boxes = [_closed(text, match.end()) for match in re.finditer(re.escape(_BOX), text)]
    found = boxes or _FORMULA.findall(text.strip().split("\n")[-1])
    return "".join(f"{one}," for one in found) or text


def _closed(text: str, start: int) -> str:
    """Return `text` from `start` to the brace that closes there. Raises ValueError."""
    depth = 1
    for index in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[start:index]
    raise ValueError("a box is not closed")


def _values(text: str) -> list[str]:
    r"""Split at commas outside of brackets; a value with `\pm` is two."""
    parts, start, depth = [], 0, 0
    for index, character in enumerate(text):
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    if start < len(text):
        parts.append(text[start:].strip())
    return [
        part.replace("\\pm", sign)
        for part in parts
        for sign in (("+", "-") if "\\pm" in part else ("",))
    ]


def _is_equal(gold: str, answer: str, tolerance: float) -> bool:
    """Compare one value with another in all official ways; a way that fails is passed over."""
    if gold == answer:
        return gold != ""
    if _is_interval(gold) and _is_interval(answer):
        try:
            if _same_intervals(gold, answer, tolerance):
                return True
        except Exception:  # whatever the grammar or sympy says: it is no interval
            return False
    with suppress(ValueError):
        if _same_number(float(gold), float(answer), tolerance):
            return True
    both_equations = "=" in gold and "=" in answer
    with suppress(Exception):
        if not both_equations and _same_right_side(gold, answer, tolerance):
            return True
    with suppress(Exception):
        return latex.same_equation(gold, answer)
    return False


def _same_number(gold: float, answer: float, tolerance: float) -> bool:
    return any(
        abs(reference - answer) <= tolerance * 1.01 for reference in (gold / 100, gold, gold * 100)
    )


def _same_right_side(gold: str, answer: str, tolerance: float) -> bool:
    """Compare what stands after the first equals sign, or all of it where there is none."""
    sides = [(text.split("=")[1] if "=" in text else text).strip() for text in (gold, answer)]
    return latex.same_expression(sides[0], sides[1], tolerance)


def _is_interval(text: str) -> bool:
    return text.startswith(("(", "[")) and text.endswith((")", "]"))


def _same_intervals(gold: str, answer: str, tolerance: float) -> bool:
    """Compare unions of intervals: the same brackets, and the same bounds in the same order."""
    pairs = list(zip(gold.split("\\cup"), answer.split("\\cup"), strict=False))
    if gold.count("\\cup") != answer.count("\\cup"):
        return False
    for one, other in pairs:
        if (one[0], one[-1]) != (other[0], other[-1]):
            return False
        bounds = zip(one.strip("[]()").split(","), other.strip("[]()").split(","), strict=False)
        if not all(_same_right_side(first, second, tolerance) for first, second in bounds):
            return False
    return True
