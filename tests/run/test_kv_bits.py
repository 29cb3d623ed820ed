"""`--kv-bits`: whoever asks, the engine is told and the record has it, and it is 8 or 4."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from qvq_mlx.cli.app import app_with
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Field
from qvq_mlx.core.request import Method, Request
from qvq_mlx.library.options import Asked, Options
from qvq_mlx.memory.estimate import Use, estimate
from qvq_mlx.memory.machine import hypothetical
from qvq_mlx.run.plan import _check_cache
from qvq_mlx.store import registry
from tests.conftest import EXAMPLES, ScriptedEngine, World

Build = Callable[..., World]
PICTURE = str(EXAMPLES / "shapes.png")
ASK = ("ask", "-m", "tiny", PICTURE, "How many?")
WORDS = ("Let me see.\n\n", "**Final Answer**\n\n", "three")
COMMANDS = {
    "ask": ASK,
    "batch": ("batch", "-m", "tiny", PICTURE, "-Q", "How many?"),
    "double check": (*ASK, "--double-check"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("bits", [None, 8, 4])
def test_every_generation_has_them(world: Build, command: str, bits: int | None) -> None:
    engine = ScriptedEngine(WORDS)
    options = () if bits is None else ("--kv-bits", str(bits))
    assert world(engine=engine).run(*COMMANDS[command], *options) == 0
    assert {generation.kv_bits for generation in engine.generations} == {bits}


def test_a_run_that_is_asked_again_has_them_again(world: Build, tmp_path: Path) -> None:
    assert world(WORDS).run(*ASK, "--kv-bits", "4") == 0
    [run] = tmp_path.rglob("history/*.jsonl")
    assert json.loads(run.read_text().splitlines()[0])["kv_bits"] == 4
    again = ScriptedEngine(WORDS)
    assert world(engine=again).run("log", "rerun", run.stem.rpartition("-")[2]) == 0
    assert {generation.kv_bits for generation in again.generations} == {4}


@pytest.mark.parametrize("value", ["0", "2", "16"])
@pytest.mark.parametrize("command", ["ask", "batch", "fit"])
def test_other_numbers_are_refused(world: Build, command: str, value: str) -> None:
    w = world(WORDS)
    argv = ("fit", "qvq") if command == "fit" else COMMANDS[command]
    assert w.run(*argv, "--kv-bits", value) == 2
    assert f"--kv-bits is {value}; it is 8 or 4" in w.err


def test_a_server_does_not_start_with_another_number(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "qvq_mlx", "serve", "-m", "tiny", "--port", "0", "--kv-bits", "3"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, "it is 8 or 4" in done.stderr) == (2, True)


def test_every_command_that_asks_has_the_option() -> None:
    import typer

    group = typer.main.get_command(app_with())
    having = {
        name
        for name, command in cast("dict[str, object]", group.commands).items()  # type: ignore[attr-defined]
        if any("--kv-bits" in option.opts for option in command.params)  # type: ignore[attr-defined]
    }
    assert having == {"ask", "chat", "batch", "eval", "serve", "fit"}


def test_the_library_takes_them() -> None:
    asked = Asked("How many?", options=Options(kv_bits=8))
    assert asked.request((), "tiny").method.kv_bits == 8


def test_keys_that_do_not_divide_are_refused_before_anything_is_loaded() -> None:
    card = registry.find("qvq")
    assert card.shape is not None
    request = Request("?", (), "qvq", method=Method(kv_bits=8))
    _check_cache(request, card)
    odd = replace(card, shape=replace(card.shape, head_dim=80))
    with pytest.raises(UsageError) as refused:
        _check_cache(request, odd)
    assert refused.value.parts[0] is Field.KV_BITS
    _check_cache(replace(request, method=Method()), odd)


@pytest.mark.parametrize(("bits", "share"), [(8, 17 / 32), (4, 9 / 32)])
def test_fit_counts_them(bits: int, share: float) -> None:
    """Less for each token; the prompt is still read at full precision."""
    card, machine = registry.find("qvq"), hypothetical(64 * 2**30)
    full, small = (
        estimate(card, machine, replace(Use(1280, 128, 32768, 1024), kv_bits=kept))
        for kept in (None, bits)
    )
    assert full.kv_bytes is not None
    assert small.kv_bytes == full.kv_bytes * share
    assert small.workspace_bytes == full.workspace_bytes
    short = Use(20_000, 128, 0, 16)
    full, small = (
        estimate(card, machine, replace(short, kv_bits=kept)).needed_bytes for kept in (None, bits)
    )
    assert small == pytest.approx(full, rel=0.001)
