"""Two answers, one beside the other where there is room, else one under the other.

Law: each character of both is shown once; no row is wider than the terminal.
"""

from __future__ import annotations

from dataclasses import dataclass

from qvq_mlx.core.env import Env
from qvq_mlx.records.runs import Json
from qvq_mlx.render.answer import Answer
from qvq_mlx.render.clean import clean, clean_line, writable
from qvq_mlx.render.meter import spelled
from qvq_mlx.render.rows import BLANK, Row, bold, cells, dim, wrap

WIDE_COLUMNS = 100
_GAP = " │ "


@dataclass(frozen=True, slots=True)
class Side:
    """One run: its name, facts about it, and its answer; `answer` None: there is none."""

    title: str
    facts: str
    answer: str | None


def side_of(title: str, found: Json) -> Side:
    """One run from its result as `--json` prints it."""
    stats = found["stats"]
    facts = [
        f"thought for {spelled(stats['thinking_s'])}",
        f"{stats['thinking_tokens']:,} + {stats['answer_tokens']:,} tokens",
        f"ended: {found['stop_reason']}",
    ]
    return Side(f"{title} · {found['model']}", " · ".join(facts), found["answer"])


def write_beside(left: Side, right: Side, env: Env) -> None:
    """Both on stdout, a terminal."""
    columns = max(1, env.terminal_size().columns)
    if columns < WIDE_COLUMNS:
        rows = [*_rows(left, columns), BLANK, *_rows(right, columns)]
        text = "".join(f"{row.styled}\n" for row in rows)
    else:
        width = (columns - len(_GAP)) // 2
        both = [_rows(left, width), _rows(right, width)]
        height = max(map(len, both))
        padded = [rows + [BLANK] * (height - len(rows)) for rows in both]
        lines = (
            a.styled + " " * (width - cells(a.plain)) + dim(_GAP).styled + b.styled
            for a, b in zip(*padded, strict=True)
        )
        text = "".join(f"{line}\n" for line in lines)
    env.stdout.write(writable(text, env.stdout))
    env.stdout.flush()


def _rows(side: Side, width: int) -> list[Row]:
    rows = [bold(row) for row in wrap(clean_line(side.title), width)]
    rows += [dim(row) for row in wrap(clean_line(side.facts), width)]
    rows.append(BLANK)
    if side.answer is None:
        return [*rows, *map(dim, wrap("no whole answer", width))]
    answer = Answer()
    answer.replace(clean(side.answer))
    return rows + list(answer.rows(width))
