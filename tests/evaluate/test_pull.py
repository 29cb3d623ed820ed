"""A data set from a hub: fetched, verified, then used without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qvq_mlx.evaluate.datasets import DATA_SETS
from qvq_mlx.evaluate.gold import Benchmark
from tests.conftest import World
from tests.evaluate import data_sets
from tests.support.hub.server import Fault, Hub, Request

Build = Callable[..., World]
NAME = "data/test-00000-of-00001.parquet"
RIGHT = ["Let me look. ", "\n\n**Final Answer**\n\n", "\\boxed{B}"]


def served(tmp_path: Path, **given: object) -> Hub:
    content = (data_sets.mathvision(tmp_path / "made") / NAME).read_bytes()
    files = {NAME: content, "README.md": b"x", "data/testmini-00000-of-00001.parquet": b"other"}
    return Hub(files, "MathLLMs/MathVision", "datasets", **given)  # type: ignore[arg-type]


def environ(hub: Hub, tmp_path: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "QVQ_HOME": str(tmp_path / "q"),
        "QVQ_STALL_S": "0.2",
    }


def test_a_pull_fetches_the_split_alone_and_a_run_needs_no_network(
    world: Build, tmp_path: Path
) -> None:
    with served(tmp_path) as hub:
        variables = environ(hub, tmp_path)
        place = world(environ=variables)
        assert place.run("eval", "--pull", "mathvision") == 0, place.stderr.text()
        folder = Path(place.stdout.text().strip())
        assert [path.name for path in folder.rglob("*.*")] == [Path(NAME).name]
        assert {request.path for request in hub.requests} == {NAME}
        # again: nothing is fetched
        sent = hub.served
        assert world(environ=variables).run("eval", "--pull", "mathvision") == 0
        assert hub.served == sent
    # the hub is gone
    place = world(words=RIGHT, environ={**variables, "QVQ_OFFLINE": "1"})
    code = place.run("eval", "mathvision", "-m", "tiny", "-o", str(tmp_path / "out"), "--offline")
    assert code == 0, place.stderr.text()
    assert "50.0 %" in place.stdout.text()


def test_a_pull_that_was_cut_goes_on_and_a_damaged_file_is_never_used(
    world: Build, tmp_path: Path
) -> None:
    def faults(request: Request) -> Fault:
        first = len(hub.requests) == 1
        return Fault(cut=5000) if first else Fault()

    with served(tmp_path) as hub:
        hub.faults = faults
        place = world(environ=environ(hub, tmp_path))
        assert place.run("eval", "--pull", "mathvision") == 0, place.stderr.text()
        assert [request.start for request in hub.requests][1:] == [5000]


def test_a_data_set_without_its_split_is_an_error(world: Build, tmp_path: Path) -> None:
    with served(tmp_path) as hub:
        place = world(environ=environ(hub, tmp_path))
        assert place.run("eval", "--pull", "mathvision", "--split", "train") == 6
        assert "has no file of this data set" in place.stderr.text()


@pytest.mark.parametrize("named", [(), ("mathvision",), ("MathLLMs/MathVision",)])
def test_a_data_set_is_verified_like_a_model(
    world: Build, tmp_path: Path, named: tuple[str, ...]
) -> None:
    with served(tmp_path) as hub:
        variables = environ(hub, tmp_path)
        assert world(environ=variables).run("eval", "--pull", "mathvision") == 0
        there = world(environ=variables)
        assert there.run("verify", *named) == 0
        assert there.out.startswith("MathLLMs/MathVision: 1 file whole · ")
        (blob,) = (tmp_path / "hub").rglob("blobs/*")
        content = blob.read_bytes()
        blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        there = world(environ=variables)
        assert there.run("verify", *named) == 4
        assert f"{NAME} is damaged" in there.out
        assert "try: qvq rm MathLLMs/MathVision -y" in there.err
        # what it names helps
        assert world(environ=variables).run("rm", "MathLLMs/MathVision", "-y") == 0
        assert world(environ=variables).run("eval", "--pull", "mathvision") == 0
        assert world(environ=variables).run("verify", *named) == 0


def test_a_data_set_is_listed_and_deleted_like_a_model(world: Build, tmp_path: Path) -> None:
    with served(tmp_path) as hub:
        variables = environ(hub, tmp_path)
        assert world(environ=variables).run("eval", "--pull", "mathvision") == 0
    place = world(environ=variables)
    assert place.run("list") == 0
    assert "MathLLMs/MathVision (data set)" in place.stdout.text()
    place = world(environ=variables)
    assert place.run("list", "--json") == 0
    entry = json.loads(place.stdout.text())["models"][-1]
    assert (entry["name"], entry["kind"], entry["whole"]) == (
        "MathLLMs/MathVision",
        "dataset",
        True,
    )
    root = tmp_path / "hub" / "datasets--MathLLMs--MathVision"
    (root / "blobs" / ("0" * 64)).write_bytes(b"nobody's")
    place = world(environ=variables)
    assert place.run("prune", "-y") == 0
    assert "freed 8 bytes" in place.stdout.text()
    place = world(environ=variables)
    assert place.run("rm", "mathvision", "-y") == 0, place.stderr.text()
    assert not root.exists()


def test_another_programs_data_set_is_left_alone(world: Build, tmp_path: Path) -> None:
    root = tmp_path / "hub" / "datasets--MathLLMs--MathVision"
    (root / "snapshots" / ("a" * 40)).mkdir(parents=True)
    place = world(environ={"HF_HUB_CACHE": str(tmp_path / "hub")})
    assert place.run("list") == 0
    assert "MathVision" not in place.stdout.text()
    assert world(environ={"HF_HUB_CACHE": str(tmp_path / "hub")}).run("rm", "mathvision", "-y") == 4
    assert root.exists()


@pytest.mark.parametrize(
    ("benchmark", "split", "held"),
    [
        (Benchmark.MMMU, "validation", "Accounting/validation-00000-of-00001.parquet"),
        (
            Benchmark.MATHVISTA,
            "testmini",
            "data/testmini-00000-of-00001-725687bf7a18d64b.parquet",
        ),
        (Benchmark.MATHVISION, "test", "data/test-00000-of-00001-3532b8d3f1b4047a.parquet"),
        (Benchmark.MATHVISION, "testmini", "data/testmini-00000-of-00001-f8ff70fcb2f29b1d.parquet"),
        (
            Benchmark.OLYMPIADBENCH,
            "train",
            "OlympiadBench/OE_TO_maths_en_COMP/OE_TO_maths_en_COMP.parquet",
        ),
    ],
)
def test_the_files_of_a_split_have_the_hubs_names(
    benchmark: Benchmark, split: str, held: str
) -> None:
    """As scripts in public repositories fetch them from huggingface.co/datasets/REPO/resolve/main:

    AI4Math/MathVista, MathLLMs/MathVision, MMMU/MMMU and Hothan/OlympiadBench.
    """
    known = DATA_SETS[benchmark]
    assert known.holds(held, split)
    others = (
        "data/test-00000-of-00002-6b81bd7f7e2065e6.parquet",
        "data/dev-00000-of-00001.parquet",
    )
    others += ("OlympiadBench/TP_TO_maths_en_COMP/TP_TO_maths_en_COMP.parquet", "README.md")
    assert not any(known.holds(path, split) for path in others if split != "test")
    assert not known.holds("data/testmini.parquet", "test")
