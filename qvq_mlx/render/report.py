"""The report of `qvq doctor`, for people.

Law: no row is wider than the terminal, and nothing is left out; what is not well stands at the end
once more where a person reads. In a pipe a fact is one line, in
columns that are aligned; a hint is a line below it. The verdict is a word, so that it stands
without colours.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from qvq_mlx.core.env import Env
from qvq_mlx.records.doctor import Check, DoctorRecord, Health
from qvq_mlx.render.clean import clean_line, writable
from qvq_mlx.render.rows import cells, wrap

_VERDICT_COLUMNS = 9
_LEAST_COLUMNS = 36
"""A fact with less room beside its name stands below it, or behind a colon where both fit."""
_STYLES = {Health.OK: "2", Health.WARNING: "1;33", Health.PROBLEM: "1;31"}


def write_report(env: Env, record: DoctorRecord) -> None:
    """The whole report on stdout."""
    width = max(20, env.terminal_size().columns - 1) if env.stdout.isatty() else 0
    colours = record.facts.terminal.colours
    name_columns = max(len(clean_line(check.name)) for check in record.checks) + 2
    if width - _VERDICT_COLUMNS - name_columns < _LEAST_COLUMNS:
        name_columns = 0 if width else name_columns
    lines = []
    for topic, checks in groupby(record.checks, key=lambda check: check.topic):
        lines.append(f"\x1b[35m\x1b[1m{topic}\x1b[0m" if colours else topic)
        for check in checks:
            lines += _lines(check, name_columns, width, colours)
    lines += ["", *_wrapped(_summary(record), width)]
    if width:  # the rows themselves may have left the window by now
        for check in record.checks:
            if check.verdict is not Health.OK:
                lines += _lines(check, name_columns, width, colours)
    env.stdout.write(writable("".join(f"{line}\n" for line in lines), env.stdout))


def _lines(check: Check, name_columns: int, width: int, colours: bool) -> Iterator[str]:
    name, fact = clean_line(check.name), clean_line(check.fact)
    word = f"\x1b[{_STYLES[check.verdict]}m{check.verdict}\x1b[0m" if colours else check.verdict
    gap = " " * (_VERDICT_COLUMNS - len(check.verdict))
    if name_columns:
        indent = _VERDICT_COLUMNS + name_columns
        first, *rest = _wrapped(fact, width and width - indent)
        yield f"{word}{gap}{name:{name_columns}}{first}"
    elif cells(f"{name}: {fact}") <= width - _VERDICT_COLUMNS:
        indent, rest = 2, []
        yield f"{word}{gap}{name}: {fact}"
    else:
        indent = 2
        first, *rest = _wrapped(name, width - _VERDICT_COLUMNS)
        yield f"{word}{gap}{first}"
        rest += _wrapped(fact, width - indent)
    hint = (
        _wrapped(f"try: {clean_line(check.hint)}", width and width - indent) if check.hint else []
    )
    for line in (*rest, *hint):
        yield " " * indent + line


def _wrapped(text: str, width: int) -> list[str]:
    """Rows of at most `width` cells; 0: one row."""
    return wrap(text, width) if width else [text]


def _summary(record: DoctorRecord) -> str:
    def counted(health: Health, one: str, many: str) -> str:
        count = sum(check.verdict is health for check in record.checks)
        return f"{count} {one if count == 1 else many}"

    problems = counted(Health.PROBLEM, "problem", "problems")
    return f"{problems}, {counted(Health.WARNING, 'warning', 'warnings')}"
