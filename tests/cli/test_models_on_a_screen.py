"""`qvq models` for a person: the recommended one comes first; a script gets the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

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
