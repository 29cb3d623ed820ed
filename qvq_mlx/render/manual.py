"""The manual page as plain text, for a pipe and for a machine without man.

Law: it knows the requests of man(7) that the page uses, and raises ValueError for another one, so
that a page that grows cannot lose lines. Source: https://man7.org/linux/man-pages/man7/man.7.html.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field

_INDENT, _DEEPER = 4, 8
_ESCAPES = (("\\(dq", '"'), ("\\-", "-"), ("\\&", ""), ("\\e", "\\"))
_FONT = re.compile(r"\\f[BIR]")


def plain_text(page: str, columns: int) -> str:
    """Return the text of a page, filled to `columns`. Raises ValueError for an unknown request."""
    sheet = _Sheet(columns)
    for line in page.splitlines():
        request, _, rest = line.partition(" ") if line.startswith(".") else ("", "", line)
        sheet.take(request, rest)
    sheet.end_paragraph()
    return "\n".join(sheet.lines).strip("\n") + "\n"


@dataclass(slots=True)
class _Sheet:
    """Lines that are finished, and the words of the paragraph that is not."""

    columns: int
    lines: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    indent: int = _INDENT
    is_tag: bool = False
    is_literal: bool = False

    def take(self, request: str, rest: str) -> None:
        """Take a line of the page: its request, '' for text, and what follows."""
        match request:
            case "" | ".B" | ".I":
                self._say(_unescaped(rest))
            case ".RI":  # words in two fonts in turn, without a space between them
                self._say("".join(_unescaped(word) for word in rest.split()))
            case ".SH":
                self._head(rest, 0)
            case ".SS":
                self._head(rest, _INDENT // 2)
            case ".PP":
                self._begin(_INDENT)
            case ".TP":
                self._begin(_INDENT)
                self.is_tag = True
            case ".br":
                self.end_paragraph()
            case ".EX" | ".EE":
                self._begin(_INDENT)
                self.is_literal = request == ".EX"
            case ".TH" | '.\\"':
                pass
            case _:
                raise ValueError(f"the page has a request {request!r}")

    def end_paragraph(self) -> None:
        """Fill the words of the paragraph into lines."""
        margin = " " * self.indent
        self.lines += textwrap.wrap(
            " ".join(self.words),
            self.columns,
            initial_indent=margin,
            subsequent_indent=margin,
            break_on_hyphens=False,
            break_long_words=False,
        )
        self.words.clear()

    def _say(self, text: str) -> None:
        self.words.append(text)
        if self.is_tag:  # one line, and what it is about stands below it, deeper
            self.end_paragraph()
            self.is_tag, self.indent = False, _DEEPER
        elif self.is_literal:
            self.lines.append(" " * self.indent + self.words.pop())

    def _begin(self, indent: int) -> None:
        self.end_paragraph()
        self.lines.append("")
        self.indent = indent

    def _head(self, title: str, indent: int) -> None:
        self._begin(_INDENT)
        self.lines.append(" " * indent + _unescaped(title))


def _unescaped(text: str) -> str:
    text = _FONT.sub("", text)
    for escape, meant in _ESCAPES:
        text = text.replace(escape, meant)
    return text
