r"""Finds the boxed value in an answer: `\boxed{...}`, or what stands between box tokens.

`\fbox{7}` is a box too, and so is `\boxed 5`, which LaTeX reads as `\boxed{5}`.

Law: one pass, however many boxes are opened and never closed.
"""

from __future__ import annotations

import re

_BRACES = re.compile(
    r"\\(?:boxed|fbox)\s*\{|\\boxed[ \t]*(?P<bare>[^\s\\{}$]*[^\s\\{}$.,;:!?])|\\.|[{}]", re.DOTALL
)
# GLM's special tokens
_BEGIN, _END = "<|begin_of_box|>", "<|end_of_box|>"


def boxed(answer: str) -> str | None:
    r"""The content of the last `\boxed{...}`, braces balanced; None where there is no whole one."""
    span = _last_box(answer)
    return answer[span[0] : span[1]].strip() if span else None


def through_box(text: str) -> str:
    """`text` up to the end of the line on which its last whole box closes; "" without one."""
    span = _last_box(text)
    if span is None:
        return ""
    end = text.find("\n", span[1])
    if end < 0:
        return text
    # a display formula is closed on a line of its own
    closing = re.compile(r"\s*(\\\]|\$\$)[ \t]*").match(text, end)
    return text[: closing.end() if closing else end].rstrip()


def _last_box(text: str) -> tuple[int, int] | None:
    """Find where the content of the last whole box begins and ends."""
    if "\\boxed" not in text and "\\fbox" not in text:
        return _between_tokens(text)
    found: tuple[int, int] | None = None
    opened: list[int | None] = []  # where a box's content begins; None for any other brace
    for match in _BRACES.finditer(text):
        brace = match.group()
        if brace == "{":
            opened.append(None)
        elif brace == "}":
            start = opened.pop() if opened else None
            if start is not None and (found is None or start > found[0]):
                found = (start, match.start())
        elif match["bare"]:
            found = match.span("bare")
        elif brace.startswith(("\\boxed", "\\fbox")):
            opened.append(match.end())
    return found


def _between_tokens(text: str) -> tuple[int, int] | None:
    end = text.rfind(_END)
    begin = text.rfind(_BEGIN, 0, end) if end >= 0 else -1
    return (begin + len(_BEGIN), end) if begin >= 0 else None
