"""`qvq models` for a person: the recommended one comes first; a script gets the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from qvq_mlx.core.machine import Machine
from tests.conftest import World

Build = Callable[..., World]
GIB = 1 << 30
MACHINE = Machine(memory_bytes=32 * GIB, working_set_bytes=20 * GIB)


def test_the_recommended_one_comes_first_then_what_fits_then_the_rest_dim(world: Build) -> None:
    w = world(tty=True, err_tty=True, size=(80, 24))
    w.env = replace(w.env, machine=lambda: MACHINE)
    assert w.run("models") == 0
    head, first, *rest = w.out.splitlines()
    assert head.startswith("\x1b[35m\x1b[1mmodel")
    assert re.search(r"  best \d+ %", first)
    rows = [row for row in rest if "%" in row and ": " not in row]
    refused = ["✗" in row for row in rows]
    assert refused == sorted(refused)
    assert any(refused)
    assert all(("\x1b[2m" in row) == no for row, no in zip(rows, refused, strict=True))
    assert all(len(re.sub(r"\x1b\[[0-9;]*m", "", row)) <= 80 for row in [head, first, *rows])


WHY = re.compile(
    r" (rank \d+, first|rank \d+|[\d.]+ GiB over|under 4 bit|[a-z]+ (?:only|source|ranked))"
)


def plain(w: World) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", row) for row in w.out.splitlines()]


@pytest.mark.parametrize("memory", [16, 24, 32, 36, 48, 64, 96, 128])
@pytest.mark.parametrize("columns", [80, 120])
def test_each_row_says_why_it_stands_there(world: Build, memory: int, columns: int) -> None:
    w = world(tty=True, err_tty=True, size=(columns, 24))
    assert w.run("models", "--memory", f"{memory}GiB") == 0
    rows = plain(w)
    assert all(len(row) <= columns for row in rows)
    head = rows[0]
    assert "why" in head
    assert ("licence" in head) is ("a token" in head) is (columns == 120)
    shown = rows[1 : rows.index(next(row for row in rows if row.startswith("fits: ")))]
    table = [row for row in shown if row != head]  # it stands below a high table too
    found = [WHY.search(row) for row in table]
    assert all(found)
    why = [one[1] for one in found if one]
    assert [text.endswith("first") for text in why] == [True] + [False] * (len(why) - 1)
    over = [text.endswith("over") for text in why]
    assert over == sorted(over)
    assert over == ["✗" in row for row in table]
    # those that fit comfortably stand in the order in which they would be taken
    fit = [text for text, row in zip(why, table, strict=True) if "✓" in row]
    ranks = [int(text[5:]) for text in fit if text.startswith("rank ")]
    assert ranks == sorted(ranks, reverse=True)
    said = " ".join(rows)
    assert "qvq-72b-preview comes first from 64 GiB on." in said
    assert (memory >= 64) is table[0].startswith("qvq-72b-preview")
    assert re.search(r"tok/s: \d\d % of the [\d.]+ GB/s of M\d", said)


def test_a_row_that_does_not_fit_the_width_is_a_block_that_says_why(world: Build) -> None:
    w = world(tty=True, err_tty=True, size=(60, 24))
    assert w.run("models", "--memory", "36GiB") == 0
    text = "\n".join(plain(w))
    assert "why rank 86, first" in text
    assert "why 13.1 GiB over" in text


def test_a_script_gets_the_catalogues_order_and_no_styles(world: Build) -> None:
    w = world()
    w.env = replace(w.env, machine=lambda: MACHINE)
    assert w.run("models") == 0
    names = [line.split("\t")[0] for line in w.out.splitlines()[1:] if "\t" in line]
    assert names[0] == "qvq-72b-preview"
    assert names.index("qvq-tiny") < names.index("qwen2.5-vl-7b") < names.index("qwq-32b")
    assert "\x1b" not in w.out
    assert "best" not in w.out


def test_what_to_take_is_in_sight_when_the_table_has_scrolled(world: Build) -> None:
    w = world(tty=True, err_tty=True, size=(80, 24))
    w.env = replace(w.env, machine=lambda: MACHINE)
    assert w.run("models") == 0
    rows = [re.sub(r"\x1b\[[0-9;]*m", "", row) for row in w.out.splitlines()]
    assert len(rows) > 24
    taken = rows[1].split()[0]
    assert re.fullmatch(rf"best here: {taken} \([^)]*\) · qvq pull {taken}", rows[-1])
    assert w.out.splitlines()[1].startswith("\x1b[1m")  # it stands out in the table, too


def test_the_heads_stand_below_a_table_that_has_scrolled(world: Build) -> None:
    counts = []
    for lines in (24, 60):
        w = world(tty=True, err_tty=True, size=(80, lines))
        w.env = replace(w.env, machine=lambda: MACHINE)
        assert w.run("models") == 0
        head, *rest = w.out.splitlines()
        counts.append(rest.count(head))
    assert counts == [1, 0]
