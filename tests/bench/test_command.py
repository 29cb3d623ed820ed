"""`qvq bench` with the embedded model: a table to paste, a record, and the roofs beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from qvq_mlx.bench.command import _decode_roof, _prefill_roof, _speed
from qvq_mlx.core.machine import Machine
from qvq_mlx.memory.estimate import kv_bytes_per_token
from qvq_mlx.records.bench import BenchRecord, Speed
from qvq_mlx.render.bench import write_speeds
from qvq_mlx.store import registry
from tests.conftest import World

Build = Callable[..., World]
TESTS = [
    "pp512", "pp2048", "tg128", "tg128 @ d2048", "tg128 drafted", "tg64 x 2", "tg64 x 4",
    "tg64 x 8", "encode 25", "first question", "second question",
]  # fmt: skip
RECORD = BenchRecord(
    model="a|model",
    download_bytes=2**30,
    device="Apple M9",
    chip="Apple M9",
    power="battery",
    versions="mlx 1",
    tests=(
        Speed("pp512", 100.0, "tokens/s", 1.5, 3, roof=200.0),
        Speed("tg128", 7.25, "tokens/s", None, 1),
        Speed("tg128 drafted", 8.0, "tokens/s", None, 1, note="lookup\x1b[31m"),
    ),
)


@pytest.mark.slow
def test_every_test_is_measured(world: Build) -> None:
    w = world()
    assert w.run("bench", "tiny", "--rounds", "1", "--json") == 0
    record = json.loads(w.out)
    assert [test["test"] for test in record["tests"]] == TESTS
    assert all(test["value"] > 0 for test in record["tests"])
    assert record["model"] == "qvq-tiny"


def test_the_table_is_one_to_paste(world: Build) -> None:
    w = world()
    write_speeds(w.env, RECORD)
    head, blank, *rows = w.out.splitlines()
    assert head.startswith("a|model (1.0 GiB), Apple M9, on battery, qvq ")
    assert blank == ""
    assert len({len(row) for row in rows}) == 1
    assert {row.count("|") for row in rows} == {7}
    assert "| 100.00 ± 1.50 | tokens/s |   200.0 |   50% |" in rows[2]
    assert "|          7.25 | tokens/s | unknown |" in rows[3]
    assert "\x1b" not in w.out


@pytest.mark.parametrize("options", [("--rounds", "0"), ("--rounds", "101"), ("--minutes", "-1")])
def test_a_number_out_of_its_bounds_is_named(world: Build, options: tuple[str, str]) -> None:
    w = world()
    assert w.run("bench", "tiny", *options) == 2
    assert f"{options[0]} is {options[1]}; it is from " in w.err


def test_a_model_that_is_not_here_is_named(world: Build) -> None:
    w = world()
    assert w.run("bench", "qvq") == 4
    assert "qvq pull" in w.err


def test_the_roofs_follow_from_the_machine() -> None:
    card = registry.find("qvq")
    assert card.shape is not None
    machine = Machine(bandwidth_bytes_per_s=400e9, flops=14e12)
    assert _decode_roof(card, machine, 0) == 400e9 / card.download_bytes
    deep = card.download_bytes + 2048 * kv_bytes_per_token(card.shape)
    assert _decode_roof(card, machine, 2048) == 400e9 / deep
    roof = _prefill_roof(card, machine, 512)
    assert roof is not None
    weights = 2 * 70e9  # operations a token: each weight of the layers once
    assert roof == pytest.approx(14e12 / weights, rel=0.1)
    assert _decode_roof(card, Machine(), 0) is _prefill_roof(card, Machine(), 512) is None
    assert _decode_roof(replace(card, download_bytes=0), machine, 0) is None


def test_a_deviation_needs_two_rounds() -> None:
    assert _speed("a", [2.0], "s", None, "").deviation is None
    found = _speed("a", [1.0, 3.0], "s", None, "")
    assert (found.value, found.rounds) == (2.0, 2)
    assert found.deviation == pytest.approx(2**0.5)
