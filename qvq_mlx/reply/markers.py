r"""Recognise the line after which the answer begins.

Law: a line is a marker line where it starts with a marker and then

- ends (`**Final Answer**`), also after a colon;
- goes on with a box or a formula (`**Final Answer** \[ \boxed{D} \]`);
- goes on with one value and ends (`**Final Answer** 42`, `**Final Answer** B`);
- goes on with a colon and prose, where the marker is one of the `labels`;

and where the space before it, the marker, and a value behind it take 400 characters each at most.

A bold marker is meant in any case of letters, with the colon within the asterisks
(`**Final Answer:**`), and as a heading (`### Final Answer`). Prose that goes on from the marker
without a colon only mentions it. `**答案**：...` is no label: questions and answers are listed so.
"""

from __future__ import annotations

import re

_FORMULA = ("\\boxed", "\\[", "\\(", "$", "<|begin_of_box|>")
_VALUE = re.compile(r"(?:\(?(?:[-+−±]?\d[\d.,/:%°]*|[A-Ja-j])\)?|\*\*[^*\n]{1,80}\*\*)\.?\s*\Z")
_VALUE_BEGINS = re.compile(r"[-+−±(\dA-Ja-j*]")
# Of the space before a marker, the marker, what follows it: no more is held back than that.
_LONGEST_CHARS = 400
_NOISE = re.compile(r"[*#\s:：.]+")


class Markers:
    """The markers of one card, and the forms in which they may come."""

    def __init__(self, markers: tuple[str, ...], labels: tuple[str, ...]) -> None:
        bold = [m for m in markers if m.startswith("**") and m.endswith("**")]
        self._literal = tuple(m for m in markers if m not in bold)
        self._names = tuple(_NOISE.sub("", m).casefold() for m in bold)
        self._starts = frozenset("*# \t\r\n\f\v") | {m[0] for m in self._literal}
        self._pattern = _pattern(bold)
        self._labels = frozenset(_NOISE.sub("", label).casefold() for label in labels)

    def may_begin(self, text: str) -> bool:
        """True if a line that starts so may be a marker line."""
        return text[0] in self._starts and text != "\n"

    def rest_of(self, line: str, *, ended: bool) -> int | None:
        """Return where the answer begins within a marker line; -1 for any other line.

        None where that cannot be told yet; never where the line has `ended`.
        """
        head = line.lstrip()
        start = len(line) - len(head)
        if start > _LONGEST_CHARS:
            return -1
        after = self._after_marker(head)
        if after is None:
            return None if not ended and self._may_become(head) else -1
        end, is_label = after
        rest = head[end:].lstrip(" \t")
        at = start + len(head) - len(rest)
        if at - start - end > _LONGEST_CHARS:
            return -1
        if rest.startswith(_FORMULA) or (is_label and rest[:_LONGEST_CHARS].strip()):
            return at
        if len(rest) > _LONGEST_CHARS:
            return -1
        if not rest.strip():
            return at if ended else None
        if not ended and any(f.startswith(rest) for f in _FORMULA):
            return None
        if not _VALUE_BEGINS.match(rest):
            return -1
        if not ended:
            return None
        return at if _VALUE.match(rest) else -1

    def _after_marker(self, head: str) -> tuple[int, bool] | None:
        """Return where a marker at the head ends, with its colon, and True if it is a label's."""
        for marker in self._literal:
            if head.startswith(marker):
                return len(marker), marker.casefold() in self._labels
        match = self._pattern.match(head, 0, _LONGEST_CHARS) if self._pattern else None
        if match is None:
            return None
        colon = ":" in match.group() or "：" in match.group()
        return match.end(), colon and _NOISE.sub("", match.group()).casefold() in self._labels

    def _may_become(self, head: str) -> bool:
        """True if more text can make a marker of it."""
        if any(marker.startswith(head) for marker in self._literal):
            return True
        if len(head) > _LONGEST_CHARS or (head and head[0] not in "*#"):
            return False
        said = _NOISE.sub("", head).casefold()
        return any(name.startswith(said) for name in self._names)


def _pattern(bold: list[str]) -> re.Pattern[str] | None:
    """Bold, or a heading; a colon within or after it."""
    if not bold:
        return None
    names = "|".join(r"\s*".join(map(re.escape, m.strip("*").split())) for m in bold)
    return re.compile(
        rf"(?:\*\*(?:{names})\s*[:：.]?\*\*|\#{{1,6}}[ \t]*(?:\*\*)?(?:{names})[:：.]?(?:\*\*)?)"
        r"(?:[ \t]*[:：])?",
        re.IGNORECASE,
    )
