"""`qvq batch --parallel`: several items in flight, the records of one at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from qvq_mlx.batch.ledger import open_ledger
from qvq_mlx.core.env import Engine
from qvq_mlx.core.setup import Setup
from qvq_mlx.core.tokens import Asked, Control, Step
from tests.conftest import EXAMPLES, ScriptedEngine, World

Build = Callable[..., World]
WORDS = ["Let me see. ", "\n\n**Final Answer**\n\n", "\\boxed{3}"]
OF_THE_MACHINE = ("_s", "_bytes")
"""Endings of the stats that time and memory tell."""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("shapes", "chart", "sum"):
        shutil.copy(EXAMPLES / f"{name}.png", folder)
    (folder / "broken.png").write_bytes(b"\x89PNG no more")
    return folder


def records(path: Path) -> dict[tuple[str, str], dict]:
    """Records by picture and question, without what the clock and the machine say."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for record in found:
        if record["stats"]:
            for name in list(record["stats"]):
                if name.endswith(OF_THE_MACHINE) or name == "passes":  # closing text: by the token
                    del record["stats"][name]
    keyed = {(Path(record["paths"][0]).name, record["question"]): record for record in found}
    assert len(keyed) == len(found)
    return keyed


def run(world: World, folder: Path, out: Path, *more: str) -> int:
    questions = ("-Q", "How many red circles are there?", "-Q", "What is it?")
    return world.run("batch", "-m", "tiny", str(folder), *questions, "-o", str(out), *more)


def test_records_are_those_of_one_at_a_time(world: Build, pictures: Path, tmp_path: Path) -> None:
    """On the embedded model, with a budget, or a bound that ends what is written."""
    out, other = tmp_path / "one.jsonl", tmp_path / "four.jsonl"
    for more in (
        ("--budget", "5", "--max-tokens", "30"),
        ("--temp", "0.7", "--seed", "3", "--max-tokens", "12"),
    ):
        assert run(world(), pictures, out, "--draft", "none", *more) == 3
        assert run(world(), pictures, other, "--parallel", "4", *more) == 3
        assert records(other) == records(out)
        out.unlink()
        other.unlink()


def test_a_person_reads_each_answer_beside_its_picture(world: Build, pictures: Path) -> None:
    engine = ScriptedEngine(WORDS, others=[["So. ", *WORDS[1:2], "\\boxed{4}"]])
    there = world(engine=engine, tty=True, err_tty=True)
    assert there.run("batch", "-m", "tiny", str(pictures), "-Q", "What?", "--parallel", "3") == 3
    lines = [line for line in there.out.splitlines() if ".png: " in line]
    assert sorted(line.split(":")[0] for line in lines) == [
        "broken.png",
        "chart.png",
        "shapes.png",
        "sum.png",
    ]


def test_the_file_ends_in_the_order_of_the_items(
    world: Build, pictures: Path, tmp_path: Path
) -> None:
    """Each question of a picture is longer or shorter than the other: they end in turn."""
    out, other = tmp_path / "one.jsonl", tmp_path / "three.jsonl"
    texts = {"words": ["So. "] * 30 + WORDS, "others": [WORDS]}
    assert run(world(engine=ScriptedEngine(**texts)), pictures, out) == 3
    seen: list[str] = []

    def note(_index: int, _control: Control) -> None:
        if other.exists():
            seen.append(other.read_text())

    engine = ScriptedEngine(**texts, on_token=note)
    assert run(world(engine=engine), pictures, other, "--parallel", "3") == 3
    assert list(records(other)) == list(records(out))
    assert not other.read_text().startswith(seen[-1])  # on the disk at once, arranged at the end


class Failing(ScriptedEngine):
    """Fails in company, and for the third question alone too."""

    def under(self, setup: Setup) -> Engine:
        return self

    def generate_each(
        self, asked: Iterator[Asked], most: int, beyond: float | None = None
    ) -> Iterator[tuple[int, Step]]:
        for place, found in enumerate(super().generate_each(asked, most, beyond)):
            if place == 9:
                raise ZeroDivisionError("in company")
            yield found


def test_what_fails_in_company_is_asked_alone(world: Build, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert run(world(engine=Failing(WORDS)), pictures, out, "--parallel", "3") == 3
    found = records(out)
    assert len(found) == 8
    assert {record["status"] for (name, _), record in found.items() if name != "broken.png"} == {
        "answered"
    }


def test_what_is_done_is_not_asked_again_however_many_at_a_time(
    world: Build, pictures: Path, tmp_path: Path
) -> None:
    """A batch that is stopped has what had ended, and the next one asks the rest."""
    out = tmp_path / "out.jsonl"
    calls = 0

    def stop(_index: int, control: Control) -> None:
        nonlocal calls
        calls += 1
        if calls == 10:
            raise KeyboardInterrupt

    engine = ScriptedEngine(WORDS, on_token=stop)
    assert run(world(engine=engine), pictures, out, "--parallel", "3") == 130
    before = out.read_text().splitlines()
    assert 0 < len(before) < 8
    again = ScriptedEngine(WORDS)
    assert run(world(engine=again), pictures, out, "--parallel", "2") == 3
    assert len(again.asked) == 8 - len(before)
    assert set(before) <= set(out.read_text().splitlines())
    assert len(records(out)) == 8


@pytest.mark.parametrize("more", [("--vote", "3"), ("--draft", "lookup")])
def test_what_asks_more_than_once_is_refused(
    world: Build, pictures: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    there = world(WORDS)
    assert run(there, pictures, tmp_path / "out.jsonl", "--parallel", "2", *more) == 2
    assert f"--parallel and {more[0]}" in there.err


def test_older_keys_are_made_only_where_they_are_wanted(
    world: Build, pictures: Path, tmp_path: Path
) -> None:
    def pulled(*keys: str) -> Iterator[str]:
        yield from keys
        raise AssertionError("one key too many was made")

    out = tmp_path / "out.jsonl"
    fresh = open_ledger(out, lambda _record: False)
    assert fresh.take(pulled()) is None
    fresh.close()
    assert run(world(WORDS), pictures, out) == 3
    done = open_ledger(out, lambda _record: False)
    assert done.take(pulled(json.loads(out.read_text().splitlines()[-1])["key"])) is not None
    done.close()


def test_auto_has_the_same_records_and_beats_the_first_item(
    world: Build, pictures: Path, tmp_path: Path
) -> None:
    """The engine is told the speed of the item that was asked alone."""
    out, other = tmp_path / "one.jsonl", tmp_path / "auto.jsonl"
    engine = ScriptedEngine(WORDS)
    assert run(world(engine=ScriptedEngine(WORDS)), pictures, out, "--draft", "none") == 3
    assert run(world(engine=engine), pictures, other, "--parallel", "auto") == 3
    assert records(other) == records(out)
    lines = map(json.loads, other.read_text().splitlines())
    first = next(line["stats"] for line in lines if line["status"] == "answered")
    assert engine.beyond == pytest.approx((first["generated_tokens"] - 1) / first["decode_s"])


class Leaving(ScriptedEngine):
    """Takes one question in company and finds that it does not pay."""

    def generate_each(
        self, asked: Iterator[Asked], most: int, beyond: float | None = None
    ) -> Iterator[tuple[int, Step]]:
        yield from super().generate_each(islice(asked, 1), most, beyond)


def test_where_company_does_not_pay_the_rest_is_asked_alone(
    world: Build, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    assert run(world(engine=Leaving(WORDS)), pictures, out, "--parallel", "auto") == 3
    assert len(records(out)) == 8


@pytest.mark.parametrize("more", [("--vote", "3"), ("--draft", "lookup")])
def test_auto_asks_one_by_one_what_cannot_share_a_pass(
    world: Build, pictures: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    there = world(engine=ScriptedEngine(WORDS))
    assert run(there, pictures, tmp_path / "out.jsonl", "--parallel", "auto", *more) == 3


@pytest.mark.parametrize("word", ["0", "65", "-1", "many", "1.5", "²"])
def test_a_number_of_items_that_is_none(
    world: Build, pictures: Path, tmp_path: Path, word: str
) -> None:
    there = world(WORDS)
    assert run(there, pictures, tmp_path / "out.jsonl", f"--parallel={word}") == 2
    assert "it can be auto, or 1 to 64" in there.err
