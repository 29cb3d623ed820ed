"""Two machines compute what one computes, each with its part of the layers.

The machines are two processes that speak over the loopback, with MLX's own ring: this one's helper
leads (`tests/engine/split_lead.py`), the other follows (`tests/engine/split_rank.py`).
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
from tests.engine.split_lead import computed, nbytes

PLAIN = [(family, "", 0) for family in ModelType]
QUANTIZED = [
    (ModelType.QWEN2_VL, "", 3),
    (ModelType.QWEN2_VL, "", 4),
    (ModelType.QWEN3_5, "", 8),
    (ModelType.QWEN3_5_MOE, "-all-experts", 4),
]
QUICK = [(ModelType.QWEN2_VL, "", 0), (ModelType.QWEN3_5, "", 8), QUANTIZED[-1]]
REFUSED = {
    (ModelType.QWEN3_5, "-linear-last", 0): "1 heads do not divide among 2 machines",
    (ModelType.QWEN3_VL_MOE, "-dense-too", 4): "1 groups of quantized columns do not divide",
}
BOUND = 1e-5
Kind = tuple[ModelType, str, int]
Machines = tuple[Mapping[str, np.ndarray], dict[str, str]]
"""What the first one computed, and a line of the second one for each kind."""


KINDS = [
    pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.slow)
    for kind in (*PLAIN, *QUANTIZED)
]


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
def machines(home: Path, request: pytest.FixtureRequest) -> Machines:
    """Of the kinds that a test of this run asks for."""
    asked = [item for item in request.session.items if item.path == request.path]
    given = [item.callspec.params["kind"] for item in asked if isinstance(item, pytest.Function)]
    kinds = list(dict.fromkeys(given))
    folders = [str(stored(kind, home)) for kind in kinds]
    pairs = [
        part for kind, folder in zip(kinds, folders, strict=True) for part in (folder, kind[0])
    ]
    hosts = home / "hosts.json"
    hosts.write_text(json.dumps([[f"127.0.0.1:{port}"] for port in free_ports(2)]))
    told, tell = os.pipe()
    out = home / "computed.npz"
    leads = ["tests.engine.split_lead", *pairs, str(out), str(tell)]
    follows = ["tests.engine.split_rank", *folders]
    with ExitStack() as stack:
        pair = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", *command],
                    cwd=ROOT,
                    env={**os.environ, "MLX_HOSTFILE": str(hosts), "MLX_RANK": str(rank)},
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=[tell] if rank == 0 else [],
                    text=True,
                )
            )
            for rank, (command, stdin) in enumerate(((leads, None), (follows, told)))
        ]
        os.close(told)
        os.close(tell)
        said = [machine.communicate()[0] for machine in pair]
    assert [machine.returncode for machine in pair] == [0, 0], said
    lines = dict(zip(map(named, kinds), said[1].splitlines(), strict=True))
    with np.load(out) as file:
        return dict(file), lines


@pytest.fixture(scope="module")
def alone(home: Path, machines: object) -> Callable[[Kind], Session]:
    """One machine with all of a checkpoint."""
    del machines  # they are done with it
    return cache(lambda kind: cast("Session", opened(home / named(kind), kind[0])))


@pytest.mark.parametrize("kind", KINDS, ids=named)
def test_two_machines_say_what_one_says(
    machines: Machines, alone: Callable[[Kind], Session], kind: Kind
) -> None:
    expected = computed(alone(kind), kind[0])
    found = {name: machines[0][f"{named(kind)} {name}"] for name in expected}
    assert np.abs(found.pop("logits") - expected.pop("logits")).max() <= BOUND
    for name, tokens in expected.items():
        assert found[name].tolist() == tokens.tolist(), name


@pytest.mark.parametrize("kind", KINDS, ids=named)
def test_each_machine_holds_half_of_the_layers(
    machines: Machines, alone: Callable[[Kind], Session], kind: Kind
) -> None:
    everything, layers = nbytes(alone(kind))
    held, led = machines[0][f"{named(kind)} bytes"].tolist()
    followed = int(machines[1][named(kind)])  # that machine holds nothing else
    assert led == followed == pytest.approx(layers / 2, rel=0.03)  # norms and routers are whole
    assert held == everything - layers + led


@pytest.mark.parametrize("kind", list(REFUSED), ids=named)
def test_what_does_not_divide_is_refused(machines: Machines, kind: Kind) -> None:
    assert f"{named(kind)}: {REFUSED[kind]}" in machines[1][named(kind)]
