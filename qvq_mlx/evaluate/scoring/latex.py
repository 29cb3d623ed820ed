r"""LaTeX as numbers and expressions. The home of sympy, latex2sympy2_extended and math_verify.

Law: a text becomes an expression through a grammar only; no path leads from it to `eval`, which
is why math_verify's plain-text reader, built on sympy's `parse_expr`, is left out. What a person
could not compute either (10^{10^{10}}) is refused before it is computed. Time and memory are
bounded by the process around this module (`judge.py`).

Importing this module takes a second.
"""

from __future__ import annotations

import logging
import math
import re
from functools import lru_cache

import sympy
from latex2sympy2_extended import latex2sympy
from math_verify import LatexExtractionConfig, parse, verify
from sympy.parsing.latex import parse_latex

LARGEST_EXPONENT = 1000
"""OlympiadBench's judge compares no number that is a power with a larger exponent."""
LARGEST_POWER_BITS = 100_000
LARGEST_FACTORIAL = 1000
LONGEST_CHARACTERS = 300
"""A longer expression is not parsed, as in VLMEvalKit's judge of OlympiadBench."""

# it warns at every call that its timeout, which the process provides here, is off
logging.getLogger("math_verify").setLevel(logging.ERROR)

_CLOSES = {"}": "{", ")": "(", "]": "["}
_UNREAD = ("\\circ", "\\boxed")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\\?%", re.ASCII)
_NO_NUMBER = (sympy.Symbol, sympy.core.numbers.Exp1)

Number = int | float


@lru_cache(maxsize=4096)
def number(text: str) -> Number | None:
    """Return the value of a LaTeX expression as MathVision's reader has it; None: it has none.

    What follows a closing bracket that nothing opened is not read, a degree sign makes the text
    unreadable, and the constants e and i have no value of their own.
    """
    whole = _balanced(text.replace("$", "").replace("\\displaystyle", ""))
    if len(whole) > LONGEST_CHARACTERS or any(command in whole for command in _UNREAD):
        return None
    try:
        value = latex2sympy(_PERCENT.sub(r"(\1/100)", whole), normalization_config=None)
    except Exception:  # the grammar's errors are plain Exceptions
        return None
    return _evaluated(value)


def same_expression(gold: str, answer: str, tolerance: float) -> bool:
    """Compare as OlympiadBench does: equal trees, close numbers, or a vanishing difference.

    `tolerance` is an absolute error. Raises what sympy raises where a text is no expression.
    """
    if max(len(gold), len(answer)) > LONGEST_CHARACTERS:
        return False
    first, second = parse_latex(gold), parse_latex(answer)
    if first == second:
        return True
    if not (_is_computable(first) and _is_computable(second)):
        return False
    pi = sympy.Symbol("pi")
    first, second = first.subs(pi, math.pi), second.subs(pi, math.pi)
    symbolic = first.has(sympy.Symbol), second.has(sympy.Symbol)
    if symbolic == (False, False):
        if _is_great_power(first) or _is_great_power(second):
            return False
        return bool(abs(first.evalf() - second.evalf()) <= tolerance * 1.01)
    if symbolic == (True, True):
        return bool(abs(sympy.simplify(first - second).evalf()) < 1e-3)
    return False


def same_equation(gold: str, answer: str) -> bool:
    """Compare as OlympiadBench does: one left side is a whole multiple of the other.

    Both are brought to `left side = 0` first. Raises what sympy raises where one is no equation.
    """
    if max(len(gold), len(answer)) > LONGEST_CHARACTERS:
        return False
    first, second = _left_side(gold), _left_side(answer)
    ratios = (sympy.simplify(first / second), sympy.simplify(second / first))
    return any(ratio.is_Integer and ratio != 0 for ratio in ratios)


def equivalent(gold: str, answer: str) -> bool:
    """Tell whether math_verify finds the two LaTeX texts equal; False where one cannot be read."""
    if max(len(gold), len(answer)) > LONGEST_CHARACTERS:
        return False
    first, second = _parsed(gold), _parsed(answer)
    if not first or not second:
        return False
    if not all(map(_is_computable, (*first, *second))):
        return False
    return bool(verify(first, second, allow_set_relation_comp=True, timeout_seconds=0))


def _parsed(text: str) -> list[object]:
    """Return math_verify's readings of a LaTeX text; none where it cannot be read."""
    config = [LatexExtractionConfig()]
    return list(parse(f"${text}$", config, fallback_mode="no_fallback", parsing_timeout=0))


def _left_side(equation: str) -> sympy.Expr:
    left, right = equation.split("=")
    sides = parse_latex(left), parse_latex(right)
    if not all(map(_is_computable, sides)):
        raise ValueError("too large to compute")
    return sympy.simplify(sides[0] - sides[1])


def _balanced(text: str) -> str:
    """Return `text` up to the first closing bracket that nothing opened."""
    opened: list[str] = []
    for index, character in enumerate(text):
        if character in _CLOSES.values():
            opened.append(character)
        elif character in _CLOSES and (not opened or opened.pop() != _CLOSES[character]):
            return text[:index]
    return text


def _evaluated(value: object) -> Number | None:
    """Return a real number as Python's own; None for anything else."""
    if not isinstance(value, sympy.Expr) or value.has(*_NO_NUMBER) or not _is_computable(value):
        return None
    try:
        exact = value.doit()
        return int(exact) if exact.is_Integer else float(exact.evalf())
    except (TypeError, ValueError, OverflowError, ArithmeticError):
        return None


def _is_computable(value: object) -> bool:
    """Tell whether no power and no factorial in an expression is beyond reach."""
    if not isinstance(value, sympy.Basic):
        return True
    for part in sympy.postorder_traversal(value):  # an inner power comes before the outer one
        if not part.is_number:
            continue
        if isinstance(part, sympy.Pow) and _power_bits(part) > LARGEST_POWER_BITS:
            return False
        if isinstance(part, sympy.factorial) and abs(part.args[0].evalf()) > LARGEST_FACTORIAL:
            return False
    return True


def _power_bits(power: sympy.Pow) -> float:
    """Return about how many bits a power of numbers has before or after the point."""
    base, exponent = abs(power.base.evalf()), abs(power.exp.evalf())
    if base == 0 or exponent == 0:
        return 0.0
    return float(exponent * abs(sympy.log(base, 2).evalf()))


def _is_great_power(value: sympy.Basic) -> bool:
    return isinstance(value, sympy.Pow) and bool(abs(value.exp.evalf()) > LARGEST_EXPONENT)
