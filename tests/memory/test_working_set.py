"""The working set of a Mac: what owners report, one rule between, and the words that name a Mac."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.core.errors import DoesNotFitError, ExitCode
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.request import Budget, Limits, Request
from qvq_mlx.memory import admission, working_set
from qvq_mlx.memory.choice import best
from qvq_mlx.memory.estimate import estimate, typical, with_budget
from qvq_mlx.memory.machine import hypothetical
from qvq_mlx.memory.working_set import highest_wired_limit_bytes, sold_memory_bytes, working_set_of
from qvq_mlx.run.plan import _lengths
from qvq_mlx.store import registry
from tests.conftest import ROOT, World

Build = Callable[..., World]
GIB = 2**30


@pytest.mark.parametrize(
    ("memory_gib", "reported_gib"),
    [
        (8, 5.33),  # https://github.com/SceneWorks/SceneWorks/pull/1552
        (16, 11.84),  # https://github.com/AlexsJones/llmfit/pull/754
        (24, 17.76),
        (32, 26800.60e6 / GIB),  # logs of llama.cpp on M4 and M5
        (36, 30150.67e6 / GIB),  # logs of llama.cpp on M3 Max
        (48, 37.44),
        (64, 51.84),
        (96, 72),  # https://github.com/raullenchai/Rapid-MLX/pull/183
        (128, 107.52),  # https://github.com/antirez/ds4/pull/893
        (192, 144),
        (256, 208),
    ],
)
def test_the_working_set_is_what_owners_report(memory_gib: int, reported_gib: float) -> None:
    assert working_set_of(memory_gib * GIB) / GIB == pytest.approx(reported_gib, abs=0.01)


@given(st.integers(GIB, 1024 * GIB), st.integers(GIB, 1024 * GIB))
def test_more_memory_is_never_a_smaller_working_set(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert 0 < working_set_of(small) <= working_set_of(large) < max(large, 2)
    assert highest_wired_limit_bytes(small) <= highest_wired_limit_bytes(large) <= large
    assert highest_wired_limit_bytes(small) >= working_set_of(small)


@pytest.mark.parametrize("text", ["36", "36GB", "36 gb", "36GiB", "36G", " 36 ", str(36 * GIB)])
def test_36_gb_is_the_mac_that_is_sold_as_36_gb(text: str) -> None:
    assert sold_memory_bytes(text) == 36 * GIB


@pytest.mark.parametrize("text", ["", "0", "0GB", "much", "-1", "1e9", "64XB"])
def test_what_is_no_memory(text: str) -> None:
    assert sold_memory_bytes(text) is None


@pytest.mark.parametrize("memory_gib", [16, 36, 64])
def test_one_answer_to_which_model(world: Build, memory_gib: int) -> None:
    """`fit`, the first and the last row of `models`, and docs/memory.md name the same."""
    w = world()
    assert w.run("fit", "--memory", f"{memory_gib}GB") == ExitCode.OK
    name = w.out.splitlines()[0].removeprefix("model\t")
    w = world(tty=True, size=(200, 50))
    assert w.run("models", "--memory", str(memory_gib)) == ExitCode.OK
    rows = [line for line in w.out.splitlines() if "best" in line]
    assert [name in row for row in rows] == [True, True]
    assert w.out.rstrip().endswith(rows[-1])
    page = (ROOT / "docs" / "memory.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith(f"| {memory_gib} GB |")]
    assert row.split("|")[4].strip() == f"`{name}`"


def test_a_chip_gives_a_speed(world: Build) -> None:
    w = world()
    assert w.run("fit", "qvq", "--memory", "64", "--chip", "M2 Max") == ExitCode.OK
    assert w.out.count("\nspeed\t") == 1
    assert "speed\t7.75 tokens/s expected of M2 Max" in w.out
    w = world()
    assert w.run("models", "--memory", "64", "--chip", "M2 Max") == ExitCode.OK
    [row] = [line for line in w.out.splitlines() if line.startswith("qvq-72b-preview\t")]
    assert row.split("\t")[3] == "7.7"
    for argv in (("--chip", "M4"), ("--memory", "64", "--chip", "M17"), ("--memory", "x")):
        w = world()
        assert w.run("models", *argv) == ExitCode.USAGE, argv


def test_an_owner_of_48_gb_is_told_the_limit_and_its_risk(world: Build) -> None:
    w = world()
    assert w.run("fit", "qvq", "--memory", "48GB") == ExitCode.NO_MEMORY
    assert "sudo sysctl iogpu.wired_limit_mb=" in w.out
    assert "--memory" not in w.out[w.out.index("sudo sysctl") :].splitlines()[0]
    assert "swap or panic" in w.out
    w = world()
    assert w.run("fit", "qvq", "--memory", "36GB", "--json") == ExitCode.NO_MEMORY
    assert not any("wired" in one["what"] for one in json.loads(w.out)["instead"])


@pytest.mark.parametrize(
    ("name", "budget"),
    [
        *(("qvq", None), ("qvq", 300), ("qvq", 4096), ("qvq", 12288)),
        *(("qwen3-vl-8b-thinking", None), ("qwen3-vl-8b-thinking", 12288)),
        ("qwen2.5-vl-7b", None),
    ],
)
def test_ask_and_fit_have_one_arithmetic(name: str, budget: int | None, world: Build) -> None:
    """The same question needs the same memory, whoever is asked."""
    card = registry.find(name)
    limits = Limits() if budget is None else Limits(budget=Budget(budget))
    request = Request("What?", ("a.png",), name, limits=limits)
    budget_tokens, max_tokens = _lengths(request, card)
    resolved = Resolved(card, Path("/w"), card.system, card.sampling, max_tokens, budget_tokens)
    picture = Picture("a.png", 4000, 3000, 1148, 868, card.vision.max_tokens, "", b"")
    machine = replace(hypothetical(8 * GIB), working_set_bytes=GIB)
    with pytest.raises(DoesNotFitError) as refused:
        admission.check(resolved, request, [picture], replace(world().env, machine=lambda: machine))
    use = typical(card) if budget is None else with_budget(card, typical(card), budget)
    use = replace(use, prompt_tokens=admission.prompt_tokens("What?", card.system or ""))
    needed = estimate(card, machine, use).needed_bytes
    assert f"{needed / GIB:.1f} GiB needed" in refused.value.message


def test_the_best_of_each_mac_is_never_worse_with_more_memory() -> None:
    names = [best(registry.cards(), hypothetical(gib * GIB)) for gib in (8, 16, 24, 36, 64, 128)]
    ranks = [card.rank for card in names if card]
    assert ranks == sorted(ranks)


def test_every_reported_value_has_its_source() -> None:
    named = {int(size) for sizes, _ in working_set.SOURCES for size in sizes.split(", ")}
    assert named == set(working_set._REPORTED_GIB)
