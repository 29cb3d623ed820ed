"""Read a budget, in tokens of thinking.

Source of the sizes: accuracy over a cap on the thinking saturates near 4k tokens on MathVista and
needs 8k and more on MathVision (Kimi-VL-Thinking, arXiv 2504.07491).
"""

from __future__ import annotations

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Field, Show
from qvq_mlx.core.request import Budget

SIZES = {"low": 1_024, "medium": 4_096, "high": 12_288}
NONE = "none"


def parse_budget(text: str) -> Budget:
    """`low`, `medium`, `high`, `none` or a number of tokens from 0. Raises UsageError."""
    word = text.strip().casefold().replace(",", "").replace("_", "")
    if word == NONE:
        return Budget(None)
    if word in SIZES:
        return Budget(SIZES[word])
    if word.isascii() and word.isdigit():
        return Budget(int(word))
    raise UsageError(
        (
            Field.BUDGET,
            f" is {text!r}; it can be {', '.join(SIZES)}, none, or a number of tokens",
        ),
        Show.ASK_HELP,
    )
