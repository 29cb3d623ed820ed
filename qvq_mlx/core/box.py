r"""Finds `\boxed{...}` in an answer."""

from __future__ import annotations

import re

_BOXED = re.compile(r"\\boxed\s*\{")


def boxed(answer: str) -> str | None:
    r"""The content of the last `\boxed{...}`, braces balanced; None where there is no whole one."""
    span = _last_box(answer)
    return answer[span[0] : span[1]].strip() if span else None


def _last_box(text: str) -> tuple[int, int] | None:
    """Where the content of the last whole box begins and ends."""
    found = None
    for match in _BOXED.finditer(text):
        depth = 1
        for index in range(match.end(), len(text)):
            escaped = text[index - 1] == "\\"
            depth += (text[index] == "{" and not escaped) - (text[index] == "}" and not escaped)
            if depth == 0:
                found = (match.end(), index)
                break
    return found


def through_box(text: str) -> str:
    """`text` up to the end of the line on which its last whole box closes; "" without one."""
    span = _last_box(text)
    if span is None:
        return ""
    end = text.find("\n", span[1])
    return text if end < 0 else text[:end]
