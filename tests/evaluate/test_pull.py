"""A data set from a hub: fetched, verified, then used without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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


def test_a_data_set_is_no_model(world: Build, tmp_path: Path) -> None:
    with served(tmp_path) as hub:
        variables = environ(hub, tmp_path)
        assert world(environ=variables).run("eval", "--pull", "mathvision") == 0
        place = world(environ=variables)
        assert place.run("list") == 0
        assert "MathVision" not in place.stdout.text()
