"""The speeds of a model as a table to paste: Markdown, its columns aligned."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from qvq_mlx import __version__
from qvq_mlx.core.env import Env
from qvq_mlx.core.sizes import size
from qvq_mlx.records.bench import BenchRecord, Speed
from qvq_mlx.render.clean import clean_line, writable

_RIGHT = {1, 3, 4}
_HEADS = ("test", "measured", "unit", "roof", "of it", "")


def write_speeds(env: Env, record: BenchRecord) -> None:
    """Write the machine in a line, and the table below it."""
    where = f"{record.chip or record.device}" + (f", on {record.power}" if record.power else "")
    weights = f" ({size(record.download_bytes)})" if record.download_bytes else ""
    head = f"{record.model}{weights}, {where}, qvq {__version__}, {record.versions}"
    rows = [_row(test) for test in record.tests]
    widths = [max(map(len, column)) for column in zip(_HEADS, *rows, strict=True)]
    rule = ["-" * (w - 1) + (":" if at in _RIGHT else "-") for at, w in enumerate(widths)]
    lines = [clean_line(head), "", *(_line(row, widths) for row in chain((_HEADS, rule), rows))]
    env.stdout.write(writable("".join(f"{line}\n" for line in lines), env.stdout))


def _row(test: Speed) -> tuple[str, ...]:
    deviation = "" if test.deviation is None else f" ± {test.deviation:.2f}"
    share = "" if not test.roof else f"{test.value / test.roof:.0%}"
    roof = "unknown" if test.roof is None and test.test.startswith(("pp", "tg128")) else ""
    return (
        test.test,
        f"{test.value:.2f}{deviation}",
        test.unit,
        f"{test.roof:.1f}" if test.roof else roof,
        share,
        clean_line(test.note),
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell.rjust(width) if at in _RIGHT else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join(padded)} |"
