"""Files that an earlier version wrote are read as it read them; `tests/data/kept` holds them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import pytest

from qvq_mlx import history
from qvq_mlx.core.events import StopReason
from qvq_mlx.core.request import ThinkingView
from qvq_mlx.engine.costs import CostBook
from qvq_mlx.run import rates
from qvq_mlx.settings import config
from tests.conftest import EXAMPLES, ROOT, ScriptedEngine, World

Build = Callable[..., World]
KEPT = ROOT / "tests" / "data" / "kept"
COMMANDS: dict[str, list[str]] = json.loads((KEPT / "batch" / "commands.json").read_text())
RUNS = {
    "3daf7e7e": "plain",
    "66ddb75c": "vote",
    "eb15218a": "double check",
    "6936d156": "piped",
    "d2638b90": "follow-up",
    "e8b393af": "cut off",
    "8f664fee": "schema",
}


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the pictures that the samples are about."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("shapes.png", "sum.png"):
        shutil.copy(EXAMPLES / name, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def saved(pictures: Path, tmp_path: Path) -> Path:
    """The history, with what was kept of a picture from stdin."""
    folder = tmp_path / "qvq" / "history"
    (folder / "pictures").mkdir(parents=True)
    for path in (KEPT / "history").iterdir():
        text = path.read_text().replace("/pictures/", f"{pictures}/")
        (folder / path.name).write_text(text)
    data = (EXAMPLES / "shapes.png").read_bytes()
    (folder / "pictures" / hashlib.sha256(data).hexdigest()).write_bytes(data)
    return folder


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "failed"])
def test_what_a_batch_had_done_is_done(world: Build, pictures: Path, name: str) -> None:
    out = pictures / "out.jsonl"
    shutil.copy(KEPT / "batch" / f"{name}.jsonl", out)
    before = out.read_bytes()
    engine = ScriptedEngine(["\n\n**Final Answer**\n\n", "\\boxed{3}"])
    there = world(engine=engine)
    assert there.run("batch", *COMMANDS[name], "-o", "out.jsonl", "--csv", "out.csv") == 0
    assert out.read_bytes() == before
    assert engine.asked == []
    assert (pictures / "out.csv").read_text().count("answered") == before.count(b"\n")


def test_what_a_batch_had_done_is_done_in_other_words(world: Build, pictures: Path) -> None:
    shutil.copy(KEPT / "batch" / "plain.jsonl", pictures)
    before = (pictures / "plain.jsonl").read_bytes()
    command = COMMANDS["plain"][2:]
    for more in (("-m", "tiny", "--offline"), ("-m", "qvq-tiny")):
        there = world(["\n\n**Final Answer**\n\n", "\\boxed{3}"])
        assert there.run("batch", *more, *command, "-o", "plain.jsonl") == 0
        assert (pictures / "plain.jsonl").read_bytes() == before


def test_what_a_batch_could_not_ask_stays_so_until_it_can(world: Build, pictures: Path) -> None:
    out = pictures / "failed.jsonl"
    shutil.copy(KEPT / "batch" / "failed.jsonl", out)
    before = out.read_bytes()
    words = ["\n\n**Final Answer**\n\n", "\\boxed{3}"]
    assert world(words).run("batch", *COMMANDS["failed"], "-o", "failed.jsonl") == 3
    assert out.read_bytes() == before
    shutil.copy(EXAMPLES / "sum.png", pictures / "missing.png")
    assert world(words).run("batch", *COMMANDS["failed"], "-o", "failed.jsonl") == 0
    assert [json.loads(line)["status"] for line in out.read_text().splitlines()] == ["answered"]


def test_every_run_is_listed_and_shown(world: Build, saved: Path) -> None:
    there = world([])
    assert there.run("log", "list", "--json") == 0
    assert {run["id"] for run in json.loads(there.out)["runs"]} == set(RUNS)
    for number in RUNS:
        for form in ("--thinking", "--jsonl", "--json"):
            there = world([])
            assert there.run("log", "show", number, form) == 0, there.err
            assert there.out


def test_runs_hold_what_they_held(saved: Path) -> None:
    run = {RUNS[file.id]: history.load(file.path) for file in history.files(saved)}
    assert run["plain"].request.question == "How many red circles are there?"
    assert run["plain"].request.sources[0].path == str(saved.parents[1] / "pictures/shapes.png")
    assert run["plain"].transcript.answer.strip() == "\\boxed{3}"
    vote = run["vote"]
    assert (vote.request.votes, vote.request.budget_tokens) == (3, 32)
    assert vote.done is not None
    assert vote.done.vote is not None
    assert vote.done.vote.samples == 3
    checked = run["double check"]
    assert checked.request.double_check
    assert checked.done is not None
    assert checked.done.double_check is not None
    assert checked.done.double_check.agrees is False
    assert checked.done.stats.double_check_s > 0
    assert run["follow-up"].request.follows == "6936d156"
    assert len(run["follow-up"].request.rounds) == 1
    assert run["cut off"].done is not None
    assert run["cut off"].done.stop_reason is StopReason.LENGTH
    options = run["schema"].request.sources[0].options
    assert (options.detail, options.crop and options.crop.width) == (20, 400.0)
    assert json.loads(run["schema"].request.schema or "")["required"] == ["n"]


@pytest.mark.parametrize("number", RUNS)
def test_every_run_is_asked_again(world: Build, saved: Path, number: str) -> None:
    words = ["\n\n**Final Answer**\n\n", "\\boxed{3}"]
    there = world(words)
    assert there.run("log", "rerun", number) == 0, there.err
    again = history.last(saved).request
    was = next(history.load(f.path) for f in history.files(saved) if f.id == number).request
    # what the user had set is set again; a bound that they had not set is as it is chosen now
    assert replace(again, max_tokens=was.max_tokens) == was


@pytest.mark.parametrize("number", RUNS)
def test_a_follow_up_of_every_run(world: Build, saved: Path, number: str) -> None:
    there = world(["\n\n**Final Answer**\n\n", "\\boxed{3}"])
    assert there.run("ask", "-c", number, "And now?") == 0, there.err
    assert history.last(saved).request.follows == number


def test_rates_and_costs(tmp_path: Path) -> None:
    shutil.copytree(KEPT / "rates", tmp_path / "rates")
    found = rates.known(tmp_path, Path("/models/tiny"))
    stored = json.loads(next((KEPT / "rates").iterdir()).read_text())
    assert [found.load, found.encode, found.prefill] == list(stored.values())

    (tmp_path / "costs").mkdir()
    facts = json.dumps(mx.device_info(), sort_keys=True)
    here = hashlib.sha256(facts.encode()).hexdigest()[:8]
    pair = hashlib.sha256(f"f00d {here} lookup".encode()).hexdigest()[:32]
    shutil.copy(KEPT / "costs" / "measured.json", tmp_path / "costs" / f"f00d-{here}.json")
    shutil.copy(KEPT / "costs" / "draft.json", tmp_path / "costs" / f"{pair}.json")
    book = CostBook(tmp_path)
    costs, measured = book.costs("f00d"), json.loads((KEPT / "costs/measured.json").read_text())
    assert costs is not None
    assert [costs.plain_s, list(costs.pass_s)] == list(measured.values())
    past, worth = book.past("f00d", "lookup"), json.loads((KEPT / "costs/draft.json").read_text())
    assert [past.rate, past.tokens, past.read_s] == list(worth.values())


def test_the_config(world: Build, tmp_path: Path) -> None:
    (tmp_path / "qvq").mkdir()
    path = tmp_path / "qvq" / "config.toml"
    shutil.copy(KEPT / "config.toml", path)
    found = config.read(world([]).env)
    assert (found.model, found.view) == ("tiny", ThinkingView.LINE)
    assert (found.save, found.plain) == (False, True)
    there = world([])
    assert there.run("config", "set", "save", "true") == 0
    expected = (KEPT / "config.toml").read_text().replace("save = false", "save = true")
    assert path.read_text() == expected
