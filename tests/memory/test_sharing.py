"""What machines that share a model need, and what is said before one is started."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import ExitCode
from qvq_mlx.memory.choice import instead
from qvq_mlx.memory.estimate import Verdict, estimate, typical
from qvq_mlx.memory.machine import hypothetical
from qvq_mlx.memory.sharing import layers_bytes, undivided, weights_bytes
from qvq_mlx.store import registry
from tests.conftest import ROOT, World

Build = Callable[..., World]
GIB = 2**30
CARDS = [card for card in registry.cards() if card.shape and card.download_bytes > GIB]
QVQ = registry.find("qvq")


def test_the_first_of_two_machines_holds_little_more_than_half_of_qvq() -> None:
    assert QVQ is not None
    share = weights_bytes(QVQ, 2) / QVQ.download_bytes
    assert share <= 0.55
    other = layers_bytes(QVQ) / 2 / QVQ.download_bytes
    page = (ROOT / "docs" / "hosts.md").read_text()
    assert f"holds {share:.2f} of the weights and the other\n{other:.2f}" in page


@pytest.mark.parametrize("card", CARDS, ids=[card.name for card in CARDS])
def test_all_parts_are_the_whole(card: ModelCard) -> None:
    for machines in (1, 2, 4):
        others = (machines - 1) * (layers_bytes(card) // machines)
        whole = weights_bytes(card, machines) + others
        assert whole == pytest.approx(card.download_bytes, abs=machines)
    assert card.download_bytes / 2 <= weights_bytes(card, 2) <= card.download_bytes


def test_what_does_not_divide_is_named() -> None:
    assert QVQ is not None
    assert undivided(QVQ, 2) == ""
    assert undivided(QVQ, 3) == "8 key-value heads do not divide among 3 machines"
    # 29,568 columns in groups of 64
    assert undivided(QVQ, 4) == "462 groups of quantized columns do not divide among 4 machines"


def test_two_machines_are_offered_where_one_is_too_small() -> None:
    assert QVQ is not None
    machine, use = hypothetical(36 * GIB), typical(QVQ)
    assert estimate(QVQ, machine, use).verdict is Verdict.NO
    offered = dict(instead(QVQ, registry.cards(), machine, use))
    assert "two such machines that split it (docs/hosts.md)" in offered
    larger = dict(instead(QVQ, registry.cards(), hypothetical(64 * GIB), use))
    assert "two such machines that split it (docs/hosts.md)" not in larger


def hostfile(folder: Path, machines: int) -> str:
    hosts = [{"ssh": f"host{n}", "ips": [f"10.0.0.{n}"]} for n in range(machines)]
    (folder / "hosts.json").write_text(json.dumps(hosts))
    return str(folder / "hosts.json")


def test_fit_answers_for_machines_that_split_a_model(world: Build, tmp_path: Path) -> None:
    hosts = hostfile(tmp_path, 2)
    assert world().run("fit", "qvq", "--memory", "36GB") == ExitCode.NO_MEMORY
    w = world()
    assert w.run("fit", "qvq", "--memory", "36GB", "--hosts", hosts, "--json") == ExitCode.OK
    found = json.loads(w.out)["estimate"]
    assert found["machines"] == 2
    assert found["tokens_per_s"] is None  # how fast the others are is not known
    w = world()
    assert w.run("fit", "qvq", "--memory", "24GB", "--hosts", hosts) == ExitCode.NO_MEMORY
    assert f"--memory 24GB --hosts {hosts}" in w.out


def test_a_model_that_does_not_divide_is_refused(world: Build, tmp_path: Path) -> None:
    w = world()
    assert w.run("fit", "qvq", "--hosts", hostfile(tmp_path, 3)) == ExitCode.USAGE
    assert "8 key-value heads do not divide among 3 machines" in w.err
