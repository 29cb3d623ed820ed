"""Tables and facts for people and scripts.

Law: in a pipe a table is one line per row, cells separated by a tab, under a line of heads, and
nothing is cut. In a terminal columns are aligned and separated by two spaces; where they do not
fit, every row becomes a block: its first cell, then `head value` with dots between. No row is
wider than the terminal, and nothing is left out. The heads stand once more below a table that is
higher than the window. All text is cleaned; in a pipe tabs and newlines within a cell become
spaces.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from qvq_mlx.core.env import Env
from qvq_mlx.render.clean import clean_line, json_text, writable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RIGHT = frozenset({"size", "tok/s", "rank", "tokens", "a token", "MMMU"})
"""Heads of columns with numbers, which stand at the right."""


def write_table(
    env: Env,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    dimmed: Container[int] = (),
    marked: Container[int] = (),
) -> None:
    """Write one table on stdout. Where a person reads, rows whose number is in `dimmed` stand back,
    and those in `marked` stand out.
    """
    cells = [[clean_line(cell) for cell in row] for row in rows]
    if not env.stdout.isatty():
        _write(env, ["\t".join(heads), *("\t".join(row) for row in cells)])
        return
    from qvq_mlx.render.accent import accented, faint, strong
    from qvq_mlx.render.rows import cells as width_of

    width = max(20, env.terminal_size().columns)
    widths = [max(map(width_of, column)) for column in zip(heads, *cells, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) <= width:
        lines = [_aligned(row, heads, widths) for row in cells]
        shown = [faint(line, env) if at in dimmed else line for at, line in enumerate(lines)]
        shown = [strong(line, env) if at in marked else line for at, line in enumerate(shown)]
        head = accented(_aligned(heads, heads, widths), env)
        long = len(shown) >= env.terminal_size().lines - 1  # the first row leaves the window
        _write(env, [head, *shown, *([head] if long else [])])
    else:
        _write(env, _blocks(env, heads, cells, width, dimmed))


def write_facts(env: Env, facts: Sequence[tuple[str, str]]) -> None:
    """Name and value, one per line; a long value goes on below itself."""
    cleaned = [(name, clean_line(value)) for name, value in facts]
    if not env.stdout.isatty():
        _write(env, [f"{name}\t{value}" for name, value in cleaned])
        return
    from qvq_mlx.render.rows import wrap

    column = max(len(name) for name, _ in cleaned) + 2
    width = max(20, env.terminal_size().columns - 1)
    lines = []
    for name, value in cleaned:
        if width - column < 30 and column + len(value) > width:  # no room beside the name
            lines += [name, *(f"  {row}" for row in wrap(value, width - 2))]
            continue
        rows = wrap(value, width - column)
        lines += [f"{name:{column}}{rows[0]}", *(" " * column + row for row in rows[1:])]
    _write(env, lines)


def write_text(env: Env, text: str) -> None:
    """Remarks: wrapped and dim in a terminal, whole lines in a pipe."""
    lines = text.split("\n")
    if env.stdout.isatty():
        from qvq_mlx.render.accent import faint
        from qvq_mlx.render.rows import wrap

        width = env.terminal_size().columns - 1
        lines = [faint(row, env) for line in lines for row in wrap(clean_line(line), width)]
    _write(env, lines)


def write_strong(env: Env, text: str) -> None:
    """Write what a person should not overlook, in a terminal."""
    from qvq_mlx.render.accent import strong
    from qvq_mlx.render.rows import wrap

    rows = wrap(clean_line(text), env.terminal_size().columns - 1)
    _write(env, [strong(row, env) for row in rows])


def write_shown(
    env: Env, title: str, sections: Sequence[tuple[str, Sequence[tuple[str, str]]]]
) -> None:
    """A title, and sections of things to type with what they do, for a person at a terminal."""
    from textwrap import wrap  # rich measures wider letters, and takes a third of the time here

    from qvq_mlx.render.accent import accented, faint

    width = env.terminal_size().columns - 1
    column = max(len(name) for _, entries in sections for name, _ in entries)
    lines = wrap(title, width)
    for head, entries in sections:
        lines += ["", accented(head, env)]
        for name, meaning in entries:
            typed = clean_line(name)
            if width - column - 4 >= len(meaning):
                lines.append(f"  {typed:{column}}  {faint(clean_line(meaning), env)}")
            else:
                lines += wrap(f"  {typed}", width)
                rows = wrap(clean_line(meaning), max(8, width - 4))
                lines += [f"    {faint(row, env)}" for row in rows]
    _write(env, lines)


def write_json(env: Env, record: DataclassInstance) -> None:
    """One object, for scripts."""
    env.stdout.write(json_text(asdict(record), indent=2) + "\n")


def _aligned(row: Sequence[str], heads: Sequence[str], widths: Sequence[int]) -> str:
    from qvq_mlx.render.rows import cells as width_of

    parts = []
    for cell, head, width in zip(row, heads, widths, strict=True):
        gap = " " * (width - width_of(cell))
        parts.append(gap + cell if head in RIGHT else cell + gap)
    return "  ".join(parts).rstrip()


def _blocks(
    env: Env,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    dimmed: Container[int],
) -> list[str]:
    from qvq_mlx.render.accent import accented, faint
    from qvq_mlx.render.rows import wrap

    lines: list[str] = []
    for at, row in enumerate(rows):
        shown = faint if at in dimmed else accented
        lines += [shown(line, env) for line in wrap(row[0], width)]
        said = [f"{head} {cell}" for head, cell in zip(heads[1:], row[1:], strict=True) if cell]
        block = [f"  {line}" for line in _packed(said, width - 2)]
        lines += [faint(line, env) for line in block] if at in dimmed else block
    return lines


def _packed(parts: Sequence[str], width: int) -> list[str]:
    """The parts with ` · ` between them, as many in a line as fit; a part is broken if it must."""
    from qvq_mlx.render.rows import cells as width_of
    from qvq_mlx.render.rows import wrap

    lines: list[str] = []
    for part in parts:
        if lines and width_of(f"{lines[-1]} · {part}") <= width:
            lines[-1] += f" · {part}"
        else:
            lines += wrap(part, width)
    return lines


def _write(env: Env, lines: Sequence[str]) -> None:
    env.stdout.write(writable("".join(f"{line}\n" for line in lines), env.stdout))
