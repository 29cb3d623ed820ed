"""Symbols of LaTeX's commands in formulas: tables, and pylatexenc's names.

Law: a name that is in neither is unknown, and `formula` then leaves the source as it is.
"""

from __future__ import annotations

from functools import lru_cache

UP = str.maketrans(
    "0123456789+-=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVW∗*",
    "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂ**",
)
DOWN = str.maketrans("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
BLACKBOARD = str.maketrans("CHNPQRZ", "ℂℍℕℙℚℝℤ")
ROOTS = ("√", "∛", "∜")
ACCENTS = {
    "vec": "\u20d7",
    "hat": "\u0302",
    "widehat": "\u0302",
    "bar": "\u0304",
    "overline": "\u0305",
    "tilde": "\u0303",
    "dot": "\u0307",
    "ddot": "\u0308",
}
SYMBOLS = {
    "implies": "⟹",
    "iff": "⟺",
    "ne": "≠",
    "neg": "¬",
    "land": "∧",
    "lor": "∨",
    "wedge": "∧",
    "vee": "∨",
    "degree": "°",
    "triangle": "△",
    "checkmark": "✓",
    "prime": "′",
    "circ": "∘",
    "lt": "<",
    "gt": ">",
    "mod": "mod",
    "bmod": "mod",
    "cdot": "·",
    "dots": "…",
    "Re": "Re",
    "Im": "Im",
}
FENCES = {"{": "{", "}": "}", "|": "‖"}
LITERALS = frozenset("$%&#_")
SPACES = {",": " ", ";": " ", ":": " ", " ": " ", "!": "", "quad": "  ", "qquad": "  ", "~": " "}
INVISIBLE = frozenset(
    [
        "left",
        "right",
        "big",
        "Big",
        "bigg",
        "Bigg",
        "bigl",
        "bigr",
        "Bigl",
        "Bigr",
        "biggl",
        "biggr",
        "middle",
        "displaystyle",
        "textstyle",
        "limits",
        "nolimits",
        "hline",
    ]
)
PLAIN = frozenset(
    [
        "text",
        "textbf",
        "textit",
        "textrm",
        "texttt",
        "mathrm",
        "mathbf",
        "mathit",
        "mathsf",
        "mathtt",
        "mathcal",
        "mathnormal",
        "operatorname",
        "boxed",
        "bm",
        "boldsymbol",
        "mbox",
        "fbox",
    ]
)
TEXTUAL = frozenset(
    [
        "text",
        "textbf",
        "textit",
        "textrm",
        "texttt",
        "mbox",
        "operatorname",
        "mathrm",
    ]
)
WORDS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "log",
        "ln",
        "exp",
        "lim",
        "max",
        "min",
        "gcd",
        "det",
        "sup",
        "inf",
        "arg",
        "deg",
        "dim",
        "ker",
        "mod",
        "bmod",
        "Re",
        "Im",
    ]
)
SPACED = frozenset("×·÷±∓≤≥⩽⩾≠≈≡∼≃≅→⇒⟹⟺⇔↔⟶∈∉⊂⊆⊃⊇∪∩⊥∥∝∧∨↦≪≫∣∴∵⊕⊗∖")
TABLES = {
    "aligned": "\n",
    "align": "\n",
    "align*": "\n",
    "alignedat": "\n",
    "gather": "\n",
    "gather*": "\n",
    "gathered": "\n",
    "split": "\n",
    "equation": "\n",
    "equation*": "\n",
    "cases": "; ",
    "matrix": "; ",
    "pmatrix": "; ",
    "bmatrix": "; ",
    "vmatrix": "; ",
}
BRACKETS = {
    "cases": ("{", ""),
    "pmatrix": ("(", ")"),
    "bmatrix": ("[", "]"),
    "vmatrix": ("|", "|"),
    "matrix": ("[", "]"),
}


def symbol(name: str) -> str | None:
    """The characters of a command without arguments; None where it is not known."""
    return SYMBOLS.get(name) or _symbols().get(name)


@lru_cache(maxsize=1)
def _symbols() -> dict[str, str]:
    """The names in pylatexenc of single symbols."""
    from pylatexenc.latex2text import get_default_latex_context_db

    found = {}
    for spec in get_default_latex_context_db().iter_macro_specs():
        text = spec.simplify_repl
        if isinstance(text, str) and 0 < len(text) <= 4 and "%" not in text:
            found[spec.macroname] = text
    return found
