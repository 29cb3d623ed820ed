"""Puts the answer of a run, or one of its blocks of code, on the clipboard."""

from __future__ import annotations

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Show
from qvq_mlx.core.sizes import counted


def copy_answer(answer: str, code: int | None, env: Env) -> None:
    """Copy it and say so on stderr. `code` counts blocks from 1; None copies all of the answer.

    Raises UsageError where there is no such block, OutputError where there is no clipboard.
    """
    from qvq_mlx.render.clipboard import copy

    text, what = answer, "the answer"
    if code is not None:
        from qvq_mlx.render.markdown import code_blocks

        found = code_blocks(answer)
        if code > len(found):
            held = f"{len(found)} block" + ("" if len(found) == 1 else "s")
            raise UsageError(f"the answer has {held} of code, and no number {code}", Show.RUNS)
        text, what = found[code - 1], f"block {code} of its code"
    taken_by = copy(text, env)
    env.stderr.write(
        f"{what} is on the clipboard ({counted(len(text), 'character')}, by {taken_by})\n"
    )
