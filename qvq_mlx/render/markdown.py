r"""Markdown as rows of the screen, block by block, with formulas left as they were written.

Law: every character of a formula (`\[ \]`, `\( \)`, `$$ $$`, `$ $`, `\boxed{}`) and of HTML
comes out as it went in; no hyperlink sequence is written; no row is wider than the width. An
answer that is one box and nothing else is the box's content. Not covered: a formula is not
typeset, and reference links (`[a]: url`) stay text, as a block is rendered without the others.
"""

from __future__ import annotations

import io
import re
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from rich.color import ColorSystem
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, Markdown
from rich.segment import Segment
from rich.theme import Theme

from qvq_mlx.core.box import boxed
from qvq_mlx.render.clean import clean
from qvq_mlx.render.rows import BLANK, Row, cut, plain

_PAIRS = (("\\[", "\\]"), ("\\(", "\\)"), ("$$", "$$"))
_DOLLAR = re.compile(r"\$(?=[^\s$])[^$\n]*?(?<=[^\s\\])\$(?!\d)")
_BOX_BEGIN = re.compile(r"\\boxed\s*\{")
_BOX = re.compile(r"\\boxed\s*\{(.*)\}", re.DOTALL)

# bold and dim read on every background; colour is left to code
_THEME = Theme(
    {
        "markdown.code": "bold",
        "markdown.block_quote": "italic",
        "markdown.item.bullet": "bold",
        "markdown.item.number": "bold",
        "markdown.hr": "dim",
        "markdown.h1": "bold underline",
        "markdown.h2": "bold",
        "markdown.h3": "bold",
        "markdown.h4": "bold",
        "markdown.h5": "bold",
        "markdown.h6": "bold",
        "markdown.h7": "bold",
        "markdown.link": "underline",
        "markdown.link_url": "dim",
        "markdown.table.border": "dim",
        "markdown.table.header": "bold",
    }
)


def only_box(answer: str) -> str | None:
    r"""X of an answer that is `\boxed{X}` and nothing else, in math delimiters or not."""
    body = answer.strip()
    for opening, closing in (*_PAIRS, ("$", "$")):
        if body.startswith(opening) and body.endswith(closing) and len(body) > len(opening):
            body = body[len(opening) : -len(closing)].strip()
            break
    match = _BOX.fullmatch(body)
    if match is None or boxed(body) != match[1].strip():
        return None
    return match[1].strip()


def blocks(text: str) -> list[str]:
    """The top-level blocks; joined they are `text`. All but the last are finished."""
    lines = text.split("\n")
    starts = [
        token.map[0]
        for token in _parser().parse(text)
        if token.level == 0 and token.nesting >= 0 and token.map
    ]
    if not starts:
        return [text]
    edges = [0, *(start for start in starts[1:] if 0 < start < len(lines)), len(lines)]
    ends = ["\n"] * (len(edges) - 2) + [""]
    pairs = zip(edges, edges[1:], ends, strict=False)
    return ["\n".join(lines[start:stop]) + end for start, stop, end in pairs]


def markdown_rows(text: str, width: int, *, colour: bool) -> list[Row]:
    """A whole text, or what is there of it; a blank row between two blocks."""
    rows: list[Row] = []
    for block in blocks(text):
        new = block_rows(block, width, colour)
        rows += [BLANK, *new] if rows and new else new
    return rows


@lru_cache(maxsize=256)
def block_rows(block: str, width: int, colour: bool) -> tuple[Row, ...]:
    """One block at the given width, without blank rows around it."""
    console = Console(
        file=io.StringIO(),
        width=max(4, width),  # below that a list has no room for its bullet
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
        emoji=False,
        markup=False,
        highlight=False,
        theme=_THEME,
        _environ={},
    )
    document = _Document("", code_theme="ansi_dark", hyperlinks=False)
    document.parsed = _parser().parse(block)
    lines = console.render_lines(document, console.options, pad=False)
    rows = [_row(line if colour else list(Segment.remove_color(line)), width) for line in lines]
    while rows and not rows[-1].plain:
        rows.pop()
    while rows and not rows[0].plain:
        rows.pop(0)
    return tuple(rows)


def _row(line: list[Segment], width: int) -> Row:
    text = "".join(segment.text for segment in line if not segment.control)
    shown = cut(clean(text).expandtabs(4).rstrip(), width)
    if not text.startswith(shown):
        return plain(shown)
    left = len(shown)
    styled = ""
    for segment in line:
        if segment.control or left <= 0:
            continue
        piece = segment.text[:left]
        left -= len(piece)
        style = segment.style
        styled += style.render(piece, color_system=ColorSystem.STANDARD) if style else piece
    return Row(shown, styled)


class _LeftHeading(Heading):
    """A heading at the left margin, without rich's frame around the first level."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class _Document(Markdown):
    """rich's Markdown; its table of elements is the documented way to change one."""

    elements = {**Markdown.elements, "heading_open": _LeftHeading}  # noqa: RUF012


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    parser = MarkdownIt().enable("strikethrough").enable("table")
    parser.disable(["html_block", "html_inline", "reference"])
    parser.inline.ruler.before("escape", "math", _math)
    interrupts: RuleOptionsType = {"alt": ["paragraph", "blockquote", "list"]}
    parser.block.ruler.before("code", "math_block", _math_block, interrupts)
    return parser


def _math(state: StateInline, silent: bool) -> bool:
    """A formula within a line is text, with its backslashes."""
    end = _formula_end(state.src, state.pos)
    if end is None or end > state.posMax:
        return False
    if not silent:
        state.push("text", "", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def _formula_end(text: str, start: int) -> int | None:
    """Where the formula that begins at `start` ends; None where none begins."""
    for opening, closing in _PAIRS:
        if text.startswith(opening, start):
            end = text.find(closing, start + len(opening))
            # not closed yet: the backslash stays all the same
            return start + len(opening) if end < 0 else end + len(closing)
    if box := _BOX_BEGIN.match(text, start):
        return _brace_end(text, box.end())
    match = _DOLLAR.match(text, start)
    return match.end() if match else None


def _brace_end(text: str, start: int) -> int:
    """Behind the brace that closes the one before `start`; `start` where it is still open."""
    depth = 1
    for index in range(start, len(text)):
        if text[index] in "{}" and text[index - 1] != "\\":
            depth += 1 if text[index] == "{" else -1
            if depth == 0:
                return index + 1
    return start


def _math_block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """A displayed formula over several lines is one paragraph, whatever its lines look like."""
    first = state.bMarks[start_line] + state.tShift[start_line]
    pair = next((p for p in (_PAIRS[0], _PAIRS[2]) if state.src.startswith(p[0], first)), None)
    if pair is None:
        return False
    for line in range(start_line, end_line):
        begin = first + len(pair[0]) if line == start_line else state.bMarks[line]
        if state.src.find(pair[1], begin, state.eMarks[line]) >= 0:
            break
    else:
        return False
    if line == start_line:
        return False  # on one line it is part of a paragraph
    if silent:
        return True
    text = state.getLines(start_line, line + 1, state.blkIndent, False).strip()
    state.line = line + 1
    state.push("paragraph_open", "p", 1).map = [start_line, state.line]
    inline = state.push("inline", "", 0)
    inline.content, inline.map, inline.children = text, [start_line, state.line], []
    state.push("paragraph_close", "p", -1)
    return True
