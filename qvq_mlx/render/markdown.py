r"""Markdown as rows of the screen, block by block, formulas as readable Unicode.

Law: a formula (`\[ \]`, `\( \)`, `$$ $$`, `$ $`, `\boxed{}`) that `formula` reads is its text; of
any other, and of HTML, every character comes out as it went in, and dollars in prose are dollars.
No hyperlink sequence is written; no row is wider than the width. Time is linear in the text: of a
block with over a thousand items, rows, quotes or brackets the rest is plain text. An answer that is
one box and nothing else is the box's content. No colour is used, only bold, dim, italic and
underlined, which read on every background. Not covered: reference links (`[a]: url`) stay text, as
a block is rendered without the others.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from functools import cached_property, lru_cache
from itertools import islice

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from pygments.token import Comment, Keyword, Name, String
from rich.color import ColorSystem
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.markdown import Heading, Markdown
from rich.segment import Segment
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.theme import Theme

from qvq_mlx.render.clean import clean
from qvq_mlx.render.formula import is_formula, readable
from qvq_mlx.render.rows import BLANK, Row, cut, plain, wrap
from qvq_mlx.reply.box import boxed

_PAIRS = (("\\[", "\\]"), ("\\(", "\\)"), ("$$", "$$"))
_DOLLAR = re.compile(r"\$(?=[^\s$])[^$\n]*?(?<=[^\s\\])\$(?!\d)")
_MOST_CELLS = 4
"""Of a character, also of one that a formula is spelled out by."""
_RAGGED: JustifyMethod = "default"
"""At the left, and a row ends with its text: rich's "left" fills it with spaces up to the width."""
_CODE_BLOCKS = ("fence", "code_block")
_BOX_BEGIN = re.compile(r"\\boxed\s*\{")
_BRACE = re.compile(r"(?<!\\)[{}]")
_BOX = re.compile(r"\\boxed\s*\{(.*)\}", re.DOTALL)
_MARKED = re.compile(r"(?ms)^```.*?(?:^```|\Z)|^[ \t]*(?:[-*+>|#]|\d{1,9}[.)])|(?<!\\)\[")
"""Code; or what takes longest: a line of a list, table, quote or heading, and a bracket."""
_MOST_MARKED = 1000
_MOST_STYLED = 50_000
"""Characters of a block of code that has styles once it is in the scrollback."""

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

_CODE = ANSISyntaxTheme(
    {
        Comment: Style(dim=True),
        Keyword: Style(bold=True),
        Name.Tag: Style(bold=True),
        String: Style(italic=True),
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


def box_text(content: str) -> str:
    """Return a box's content as a person reads it."""
    return readable(content, displayed=True) or content


def blocks(text: str) -> list[str]:
    """The top-level blocks; joined they are `text`. All but the last are finished.

    A list or table of many hundred lines may end within a block, and the rest is one.
    """
    cut_at = _laid_out(text)
    return _blocks(text) if cut_at is None else [*_blocks(text[:cut_at]), text[cut_at:]]


def _blocks(text: str) -> list[str]:
    lines = text.split("\n")
    starts = [
        token.map[0]
        for token in _structure().parse(text)
        if token.level == 0 and token.nesting >= 0 and token.map
    ]
    if not starts:
        return [text]
    edges = [0, *(start for start in starts[1:] if 0 < start < len(lines)), len(lines)]
    ends = ["\n"] * (len(edges) - 2) + [""]
    pairs = zip(edges, edges[1:], ends, strict=False)
    return ["\n".join(lines[start:stop]) + end for start, stop, end in pairs]


def code_blocks(text: str) -> list[str]:
    """The contents of the code blocks, in order, without the fences."""
    return [token.content for token in _structure().parse(text) if token.type in _CODE_BLOCKS]


def table_cells(block: str) -> list[list[str]]:
    """The cells of a block that is a table, its heads first; nothing for another block."""
    begins = "\n".join(block.lstrip().split("\n", 2)[:2])  # a long list is not read for it
    tokens = _structure().parse(block) if _types(begins)[:1] == ["table_open"] else []
    rows: list[list[str]] = []
    if not tokens or tokens[0].type != "table_open":
        return rows
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(token.content)
    return rows


def is_rule(block: str) -> bool:
    """True if the block is a line across the page."""
    return "\n" not in block.strip() and _types(block) == ["hr"]


def _types(text: str) -> list[str]:
    return [token.type for token in _structure().parse(text)]


def parted(block: str) -> tuple[str, str] | None:
    """A long list or code block as two, one of which will not change; None where it is neither.

    The second begins with the item's number, or with the line that opens the code.
    """
    tokens = _structure().parse(block)
    top = [token for token in tokens if token.level == 0 and token.nesting >= 0 and token.map]
    if len(top) != 1:
        return None
    lines = block.split("\n")
    first = top[0]
    assert first.map is not None
    if first.type == "fence":
        return _parted_code(lines, first.map[0], first.markup)
    items = [t for t in tokens if t.type == "list_item_open" and t.level == 1 and t.map]
    if len(items) < 3:
        return None
    middle = items[len(items) // 2]
    assert middle.map is not None
    at = middle.map[0]
    rest = lines[at:]
    if first.type == "ordered_list_open":
        number = int(first.attrs.get("start", 1)) + len(items) // 2
        rest[0] = re.sub(r"\d+", str(number), rest[0], count=1)
    return "\n".join(lines[:at]) + "\n", "\n".join(rest)


def _parted_code(lines: list[str], opened: int, fence: str) -> tuple[str, str] | None:
    """Between two lines that are not blank, as blank ones at an edge are not shown."""
    for at in range((opened + len(lines)) // 2, opened + 1, -1):
        if lines[at - 1].strip() and lines[at].strip() and at > opened + 1:
            rest = [lines[opened], *lines[at:]]
            return "\n".join([*lines[:at], fence, ""]), "\n".join(rest)
    return None


def markdown_rows(text: str, width: int) -> list[Row]:
    """A whole text, or what is there of it; a blank row between two blocks."""
    rows: list[Row] = []
    for block in blocks(text):
        new = block_rows(block, width)
        rows += [BLANK, *new] if rows and new else new
    return rows


def kept_rows(text: str, width: int) -> list[Row]:
    """`markdown_rows` for the scrollback, from where people copy.

    A paragraph and a line of code are one row each, which the terminal breaks, and code has no
    margin. Such a row may be wider than the window; a terminal that knows its own line breaks gives
    it back in one piece.
    """
    rows: list[Row] = []
    for block in blocks(text):
        new = kept_block(block, width)
        rows += [BLANK, *new] if rows and new else new
    return rows


@lru_cache(maxsize=256)
def kept_block(block: str, width: int) -> tuple[Row, ...]:
    """One block of `kept_rows`."""
    parsed = _structure().parse(block[: _laid_out(block)])
    top = [token for token in parsed if token.level == 0 and token.nesting >= 0]
    match [token.type for token in top]:
        case ["paragraph_open"]:
            # wider than the line can be; rich fills a row up to the width before that is cut off
            return block_rows(block, _MOST_CELLS * len(block) + _MOST_CELLS)
        case ["fence"] | ["code_block"]:
            return _code_rows(clean(top[0].content).rstrip("\n"), top[0].info)
        case _:
            return block_rows(block, width)


def _code_rows(text: str, info: str) -> tuple[Row, ...]:
    """Lines of code as they are, with the styles that they have in a frame.

    `info` stands behind the fence. What is too long to be styled in time is plain.
    """
    lines = text.split("\n")
    language = info.split()[0] if info.strip() else ""
    if language and len(text) <= _MOST_STYLED:
        console = _console(_MOST_STYLED)
        code = Syntax(text, language, theme=_CODE, tab_size=0).highlight(text)
        found = code.split("\n", allow_blank=True)
        rows = [_styled([*line.render(console)]) for line in found[: len(lines)]]
        if [row.plain for row in rows] == lines:  # a lexer may leave out what it does not expect
            return tuple(rows)
    return tuple(plain(line) for line in lines)


def _styled(line: Iterable[Segment]) -> Row:
    """The segments as they are, without colours."""
    parts = [(one.text, one.style) for one in Segment.remove_color(line) if not one.control]
    styled = (
        style.render(text, color_system=ColorSystem.STANDARD) if style else text
        for text, style in parts
    )
    return Row("".join(text for text, _ in parts), "".join(styled))


@lru_cache(maxsize=256)
def block_rows(block: str, width: int) -> tuple[Row, ...]:
    """One block at the given width, without blank rows around it.

    What is too long to be laid out in time ends as plain text.
    """
    cut_at = _laid_out(block)
    rest: list[Row] = []
    if cut_at is not None:
        rest = [plain(row) for row in wrap(clean(block[cut_at:]).rstrip("\n"), width)]
        block = block[:cut_at]
    console = _console(width)
    document = _Document("", hyperlinks=False, justify=_RAGGED)
    document.code_theme = _CODE  # type: ignore[assignment]  # rich takes a theme by name or itself
    document.parsed = _parser().parse(block)
    lines = console.render_lines(document, console.options, pad=False)
    rows = [_row(list(Segment.remove_color(line)), width) for line in lines]
    while rows and not rows[-1].plain:
        rows.pop()
    while rows and not rows[0].plain:
        rows.pop(0)
    return (*rows, *rest)


def _console(width: int) -> Console:
    return Console(
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


def _laid_out(text: str) -> int | None:
    """Where the line begins that is one more than is laid out as Markdown; None: all of it is."""
    marked = islice(_MARKED.finditer(text), _MOST_MARKED, None)
    beyond = next(marked, None)
    return None if beyond is None else beyond.start()


def _row(line: list[Segment], width: int) -> Row:
    text = "".join(segment.text for segment in line if not segment.control)
    # rich keeps to the width, but for a few cells' worth of margins
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
        self.text.justify = _RAGGED
        yield self.text


class _Document(Markdown):
    """rich's Markdown; its table of elements is the documented way to change one."""

    elements = {**Markdown.elements, "heading_open": _LeftHeading}  # noqa: RUF012


@lru_cache(maxsize=1)
def _structure() -> MarkdownIt:
    """The same parser for blocks alone: what stands within their lines is not looked at."""
    parser = _made()
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    return _made()


def _made() -> MarkdownIt:
    parser = MarkdownIt().enable("strikethrough").enable("table")
    parser.disable(["html_block", "html_inline", "reference"])
    parser.inline.ruler.before("escape", "math", _math)
    interrupts: RuleOptionsType = {"alt": ["paragraph", "blockquote", "list"]}
    parser.block.ruler.before("code", "math_block", _math_block, interrupts)
    return parser


def _math(state: StateInline, silent: bool) -> bool:
    """A formula within a line is text: readable, or with its backslashes."""
    known: dict[int, _Ends] = state.env.setdefault("formulas", {})
    ends = known.get(id(state.src)) or known.setdefault(id(state.src), _Ends(state.src))
    found = _formula(ends, state.pos)
    if found is None or found[0] > state.posMax:
        return False
    end, text = found
    if not silent:
        state.push("text", "", 0).content = text
    state.pos = end
    return True


def _formula(ends: _Ends, start: int) -> tuple[int, str] | None:
    """Find the end of the formula at `start`, and how it is shown; None: none begins."""
    text = ends.text
    if text[start] not in "\\$":
        return None
    for opening, closing in _PAIRS:
        if text.startswith(opening, start):
            inner = start + len(opening)
            end = text.find(closing, inner) if inner <= ends.last(closing) else -1
            if end < 0:  # not closed yet: the backslash stays all the same
                return inner, opening
            shown = readable(text[inner:end], displayed=opening != "\\(")
            end += len(closing)
            return end, shown or text[start:end]
    if box := _BOX_BEGIN.match(text, start):
        end = ends.braces.get(box.end(), box.end())
        return end, readable(text[start:end]) or text[start:end]
    match = _DOLLAR.match(text, start)
    if match is None or not is_formula(match[0][1:-1]):
        return None
    return match.end(), readable(match[0][1:-1]) or match[0]


class _Ends:
    """Places of a text that every opening in it asks for: each is looked for once.

    It is found by the text's identity: to compare the whole text at each opening takes time, too.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._last: dict[str, int] = {}

    def last(self, closing: str) -> int:
        """Where `closing` stands for the last time; -1 for nowhere."""
        if closing not in self._last:
            self._last[closing] = self.text.rfind(closing)
        return self._last[closing]

    @cached_property
    def braces(self) -> dict[int, int]:
        """The place behind each brace that is closed: the place behind the one that closes it."""
        found: dict[int, int] = {}
        opened: list[int] = []
        for brace in _BRACE.finditer(self.text):
            if brace.group() == "{":
                opened.append(brace.end())
            elif opened:
                found[opened.pop()] = brace.end()
        return found


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
