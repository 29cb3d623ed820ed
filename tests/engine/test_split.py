"""Two machines compute what one computes, each with its part of the layers.

The machines are two processes that speak over the loopback, with MLX's own ring.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from qvq_mlx.engine.convert import Conversion
from qvq_mlx.engine.recipe import Dtype, Recipe
from qvq_mlx.engine.session import Session
from qvq_mlx.families import ModelType
from tests.conftest import ROOT
from tests.engine.families import opened, write
from tests.engine.split_rank import computed, nbytes

PLAIN = [(family, "", 0) for family in ModelType]
QUANTIZED = [
    (ModelType.QWEN2_VL, "", 3),
    (ModelType.QWEN2_VL, "", 4),
    (ModelType.QWEN3_5, "", 8),
    (ModelType.QWEN3_5_MOE, "-all-experts", 4),
]
REFUSED = {
    (ModelType.QWEN3_5, "-linear-last", 0): "1 heads do not divide among 2 machines",
    (ModelType.QWEN3_VL_MOE, "-dense-too", 4): "1 groups of quantized columns do not divide",
}
BOUND = 1e-5
Kind = tuple[ModelType, str, int]


def named(kind: Kind) -> str:
    family, shape, bits = kind
    return f"{family}{shape}" + (f" {bits} bit" if bits else "")


def stored(kind: Kind, home: Path) -> Path:
    """A checkpoint of random weights in float32, quantized where it has bits."""
    family, shape, bits = kind
    folder = write(family, home / f"plain {named(kind)}", shape)
    target = home / named(kind)
    if not bits:
        return folder.rename(target)
    target.mkdir()
    list(Conversion(folder, Recipe(bits, 32, Dtype.FLOAT32)).write(target))
    return target


def free_ports(count: int) -> list[int]:
    with ExitStack() as opened:
        lines = [opened.enter_context(socket.socket()) for _ in range(count)]
        for line in lines:
            line.bind(("127.0.0.1", 0))
        return [line.getsockname()[1] for line in lines]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("split")


@pytest.fixture(scope="module")
def ranks(home: Path) -> tuple[list[Mapping[str, np.ndarray]], str]:
    """What both machines computed of every kind, and what they said."""
    kinds = [*PLAIN, *QUANTIZED, *REFUSED]
    pairs = [str(part) for kind in kinds for part in (stored(kind, home), kind[0])]
    hosts = home / "hosts.json"
    hosts.write_text(json.dumps([[f"127.0.0.1:{port}"] for port in free_ports(2)]))
    command = [sys.executable, "-m", "tests.engine.split_rank", *pairs, str(home / "rank")]
    with ExitStack() as stack:
        machines = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env={**os.environ, "MLX_HOSTFILE": str(hosts), "MLX_RANK": str(rank)},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
            for rank in range(2)
        ]
        said = [machine.communicate()[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    return [np.load(home / f"rank-{rank}.npz") for rank in range(2)], said[0]


@pytest.fixture(scope="module")
def alone(home: Path, ranks: object) -> Callable[[Kind], Session]:
    """One machine with all of a checkpoint."""
    del ranks  # they are done with it
    return cache(lambda kind: cast("Session", opened(home / named(kind), kind[0])))


@pytest.mark.parametrize("kind", [*PLAIN, *QUANTIZED], ids=named)
def test_two_machines_say_what_one_says(
    ranks: tuple[list[Mapping[str, np.ndarray]], str], alone: Callable[[Kind], Session], kind: Kind
) -> None:
    logits, tokens = computed(alone(kind), kind[0])
    for rank in ranks[0]:
        assert np.abs(rank[f"{named(kind)} logits"] - logits).max() <= BOUND
        assert rank[f"{named(kind)} tokens"].tolist() == tokens


@pytest.mark.parametrize("kind", [*PLAIN, *QUANTIZED], ids=named)
def test_each_machine_holds_half_of_the_layers(
    ranks: tuple[list[Mapping[str, np.ndarray]], str], alone: Callable[[Kind], Session], kind: Kind
) -> None:
    everything, layers = nbytes(alone(kind))
    for rank in ranks[0]:
        held, held_layers = rank[f"{named(kind)} bytes"].tolist()
        assert held_layers == pytest.approx(layers / 2, rel=0.03)  # norms and routers are whole
        assert held == everything - layers + held_layers


@pytest.mark.parametrize("kind", list(REFUSED), ids=named)
def test_what_does_not_divide_is_refused(
    ranks: tuple[list[Mapping[str, np.ndarray]], str], kind: Kind
) -> None:
    assert f"{named(kind)}: {REFUSED[kind]}" in ranks[1]
