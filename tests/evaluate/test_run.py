"""An evaluation as a person runs it: to the end, killed and resumed, over budgets, compared."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ScriptedEngine, World
from tests.evaluate import data_sets

Build = Callable[..., World]
RIGHT = ["Let me look. ", "\n\n**Final Answer**\n\n", "\\boxed{B}"]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(world: World, *argv: str) -> str:
    assert world.run("eval", "-m", "tiny", *argv) == 0, world.stderr.text()
    return world.stdout.text()


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(data_sets.mathvision(tmp_path / "data"))


def test_a_run_to_the_end(world: Build, data: str, tmp_path: Path) -> None:
    engine = ScriptedEngine(RIGHT)
    text = run(world(engine=engine), "mathvision", "--data", data, "-o", str(tmp_path / "out"))
    # four of eight questions have the letter B
    assert "| 50.0 % (21.5 to 78.5) | 50.0 % (21.5 to 78.5) | 0 |" in text
    assert "| QVQ-72B-Preview | 35.9 % |" in text
    assert (tmp_path / "out" / "report.md").read_text() == text
    scores = lines(tmp_path / "out" / "scores.jsonl")
    assert [score["id"] for score in scores] == [str(number) for number in range(8)]
    assert scores[1]["canonical"] == {"verdict": "correct", "found": "B"}
    assert scores[0]["canonical"] == {"verdict": "wrong", "found": "B"}
    setting = json.loads((tmp_path / "out" / "run.json").read_text())["setting"]
    assert len(setting["questions"]) == 8
    assert (tmp_path / "out" / "curve.png").read_bytes().startswith(b"\x89PNG")
    # every picture once, in the prompt at its place
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 2
    assert engine.asked[0][0].endswith("beside 0?\n<image 1>")


def test_a_second_run_asks_nothing_and_says_the_same(
    world: Build, data: str, tmp_path: Path
) -> None:
    argv = ("mathvision", "--data", data, "-o", str(tmp_path / "out"))
    first = run(world(words=RIGHT), *argv)
    scores = (tmp_path / "out" / "scores.jsonl").read_bytes()
    engine = ScriptedEngine(["nothing"])
    assert run(world(engine=engine), *argv) == first
    assert not engine.asked
    assert (tmp_path / "out" / "scores.jsonl").read_bytes() == scores


@pytest.mark.sampled(2)
@pytest.mark.parametrize("parallel", ["3", "auto"])
def test_questions_in_flight_are_judged_as_one_by_one(
    world: Build, data: str, tmp_path: Path, parallel: str
) -> None:
    """On the embedded model; the answers stand in the order of their ends, the scores do not."""
    argv = ("mathvision", "--data", data, "-o")
    run(world(), *argv, str(tmp_path / "one"), "--draft", "none")
    run(world(), *argv, str(tmp_path / "other"), "--parallel", parallel)
    scores = [lines(tmp_path / name / "scores.jsonl") for name in ("one", "other")]
    assert scores[0] == scores[1]


def test_a_sample_is_stratified_and_the_seeds_own(world: Build, data: str, tmp_path: Path) -> None:
    def sampled(seed: int) -> list[object]:
        out = tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}"
        argv = ("mathvision", "--data", data, "--limit", "4", "--seed", str(seed), "-o", str(out))
        run(world(words=RIGHT), *argv)
        return [score["id"] for score in lines(out / "scores.jsonl")]

    assert len(sampled(1)) == 4
    assert sampled(1) == sampled(1)
    assert any(sampled(1) != sampled(seed) for seed in (2, 3, 4))


def test_another_setting_is_refused_in_the_same_folder(
    world: Build, data: str, tmp_path: Path
) -> None:
    argv = ("mathvision", "--data", data, "-o", str(tmp_path / "out"))
    run(world(words=RIGHT), *argv)
    other = world(words=RIGHT)
    assert other.run("eval", "-m", "tiny", *argv, "--limit", "3") == 2
    assert "holds another evaluation" in other.stderr.text()
    # what cannot change the text is no other setting
    run(world(words=RIGHT), *argv, "--draft", "none")


def test_what_differs_from_vlmevalkit_stands_in_the_report(
    world: Build, data: str, tmp_path: Path
) -> None:
    """Its configuration for QVQ: https://github.com/open-compass/VLMEvalKit/pull/701."""
    argv = ("mathvision", "--data", data)
    text = run(world(words=RIGHT), *argv, "-o", str(tmp_path / "own"))
    assert "| image tokens | auto: the model's limits" in text
    assert "| prompts | official | vlmevalkit |" in text
    assert "| thinking budget | 4,096 | none |" in text
    theirs = ("--prompts", "vlmevalkit", "--budget", "none", "--max-tokens", "8192")
    text = run(
        world(words=RIGHT), *argv, *theirs, "--detail", "1280-16384", "-o", str(tmp_path / "b")
    )
    assert "Otherwise than" not in text
    report = json.loads((tmp_path / "own" / "report.json").read_text())
    assert "prompts" in {one["condition"] for one in report["deviations"]}


def test_the_tokens_of_the_answer_are_an_option(world: Build, data: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(world(words=RIGHT), "mathvision", "--data", data, "-o", str(out), "--answer-tokens", "77")
    request = json.loads((out / "run.json").read_text())["setting"]["request"]
    assert json.loads(request)["answer_tokens"] == 77


def test_no_answer_is_wrong_and_counted(world: Build, data: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    argv = ("mathvision", "--data", data, "-o", str(out), "--json")
    cut = ("--budget", "none", "--max-tokens", "2")
    text = run(world(words=["Let ", "me ", "see ", "now"]), *argv, *cut)
    (budget,) = json.loads(text)["budgets"]
    assert budget["canonical"]["correct"] == 0
    assert budget["no_answer"] == budget["cut_off"] == 8


def test_questions_without_a_picture_and_with_several(world: Build, tmp_path: Path) -> None:
    data = str(data_sets.olympiadbench(tmp_path / "olympiad"))
    engine = ScriptedEngine(["Well. ", "\n\n**Final Answer**\n\n", "\\boxed{3,4}"])
    run(world(engine=engine), "olympiadbench", "--data", data, "-o", str(tmp_path / "a"))
    assert [pictures for _, pictures, _ in engine.asked] == [1, 0]
    (english, chinese) = lines(tmp_path / "a" / "scores.jsonl")
    assert (english["strict"], chinese["status"]) == (
        {"verdict": "correct", "found": "\\boxed{3,4}"},
        "answered",
    )
    data = str(data_sets.mmmu(tmp_path / "mmmu"))
    engine = ScriptedEngine(RIGHT)
    run(
        world(engine=engine),
        "mmmu",
        "--data",
        data,
        "-o",
        str(tmp_path / "b"),
        "--prompts",
        "vlmevalkit",
    )
    assert [pictures for _, pictures, _ in engine.asked] == [2, 1]
    (choice, _) = lines(tmp_path / "b" / "scores.jsonl")
    # the official parser finds no letter in a box, and is not made to guess
    assert choice["strict"] == {"verdict": "no-answer", "found": None}
    assert choice["canonical"] == {"verdict": "correct", "found": "B"}


def test_a_curve_asks_again_only_where_the_budget_would_end_the_thinking(
    world: Build, data: str, tmp_path: Path
) -> None:
    # four tokens of thinking, then the answer
    words = ["a ", "b ", "c ", "d ", "\n\n**Final Answer**\n\n", "\\boxed{B}"]
    engine = ScriptedEngine(words)
    out = tmp_path / "out"
    argv = ("mathvision", "--data", data, "-o", str(out), "--budgets", "2,100,none", "--json")
    report = json.loads(run(world(engine=engine), *argv))
    assert [budget["budget_tokens"] for budget in report["budgets"]] == [None, 100, 2]
    assert [budget["reused"] for budget in report["budgets"]] == [0, 8, 0]
    assert len(engine.asked) == 16
    assert not (out / "answers-100.jsonl").read_text()
    assert len(lines(out / "scores-100.jsonl")) == 8
    assert report["budgets"][1]["canonical"] == report["budgets"][0]["canonical"]


def test_two_runs_are_compared_by_pairs(world: Build, data: str, tmp_path: Path) -> None:
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    run(world(words=RIGHT), "mathvision", "--data", data, "-o", first)
    wrong = world(words=["Well. ", "\n\n**Final Answer**\n\n", "\\boxed{C}"])
    argv = ("mathvision", "--data", data, "-o", second, "--against", first)
    found = json.loads(run(wrong, *argv, "--json"))["comparison"]
    assert found["counts"] == {"both": 0, "only_first": 4, "only_second": 0, "neither": 4}
    assert found["p_value"] == 0.125
    assert "cannot be told apart" in (tmp_path / "second" / "report.md").read_text()


def test_outputs_made_elsewhere_are_judged(world: Build, data: str, tmp_path: Path) -> None:
    file = tmp_path / "made.jsonl"
    raw = "Let me see.\n\n**Final Answer**\n\n\\[ \\boxed{B} \\]"
    entries = [
        {"id": "1", "answer": "\\boxed{B}"},
        {"id": 3, "response": raw},
        {"id": "0", "answer": None},
    ]
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    out = str(tmp_path / "out")
    argv = ("mathvision", "--data", data, "--score", str(file), "-o", out, "--json")
    report = json.loads(run(world(), *argv))
    assert report["budgets"][0]["canonical"]["correct"] == 2
    assert report["budgets"][0]["canonical"]["total"] == 3
    assert report["budgets"][0]["no_answer"] == 1
    assert len(lines(tmp_path / "out" / "scores.jsonl")) == 3


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "made.jsonl:1: is no JSON"),
        ('{"answer": "B"}', 'made.jsonl:1: has no "id"'),
        ('{"id": "1"}', 'neither "answer" nor "response"'),
        ('{"id": "1", "answer": 5}', '"answer" is no text'),
        ('{"id": "nobody", "answer": "B"}', "no question 'nobody'"),
        ('{"id": "1", "answer": "B"}\n{"id": "1", "answer": "B"}', "made.jsonl:2: the question"),
    ],
)
def test_a_file_that_cannot_be_judged_is_an_error_that_says_where(
    world: Build, data: str, tmp_path: Path, line: str, why: str
) -> None:
    file = tmp_path / "made.jsonl"
    file.write_text(line + "\n")
    place = world()
    assert place.run("eval", "mathvision", "--data", data, "--score", str(file)) == 6
    assert why in place.stderr.text()


@pytest.mark.parametrize(
    ("argv", "code", "why"),
    [
        (("mathvison", "-o", "x"), 2, "is no benchmark"),
        (("mathvision", "--data", "DATA"), 2, "-o is missing: the folder"),
        (
            ("mathvision", "--data", "DATA", "-o", "x", "--prompts", "mine"),
            2,
            "no prompts; there are official",
        ),
        (("mathvision", "--data", "DATA", "-o", "x", "--split", "train"), 6, "split train"),
        (("mathvision", "-o", "x"), 6, "is not on this disk"),
        (("mathvision", "-o", "x", "--budget", "9", "--budgets", "9"), 2, "exclude each other"),
        (("mathvision", "--data", "DATA", "-o", "x", "--against", "y"), 6, "no record"),
    ],
)
def test_what_cannot_be_done_is_said(
    world: Build, data: str, argv: tuple[str, ...], code: int, why: str
) -> None:
    place = world(words=RIGHT)
    assert (
        place.run("eval", "-m", "tiny", *(data if word == "DATA" else word for word in argv))
        == code
    )
    assert why in place.stderr.text()
    assert "this is a bug" not in place.stderr.text()


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_results(data: str, tmp_path: Path) -> None:
    """kill -9 at three random moments, with the embedded model."""
    environ = {**os.environ, "QVQ_HOME": str(tmp_path / "q")}
    out, whole = tmp_path / "killed", tmp_path / "whole"

    def start(folder: Path) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "qvq_mlx", "eval", "mathvision", "--data", data, "-m", "tiny"]
        argv += ["-o", str(folder), "-q", "--max-tokens", "24", "--budget", "none"]
        return subprocess.Popen(
            argv,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,
        )

    def done(folder: Path) -> int:
        path = folder / "answers.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    draw = random.Random(3)
    for goal in (1, 3, 6):
        with start(out) as process:
            while done(out) < goal and process.poll() is None:
                time.sleep(0.01)
            time.sleep(draw.random() / 10)
            os.killpg(process.pid, signal.SIGKILL)
    for folder in (out, whole):
        with start(folder) as process:
            _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert (out / "scores.jsonl").read_bytes() == (whole / "scores.jsonl").read_bytes()
    assert len(lines(out / "answers.jsonl")) == 8


def test_missing_packages_are_named_before_anything_is_asked(data: str, tmp_path: Path) -> None:
    """In a process that cannot find one of them."""
    hidden = (
        "import sys\n"
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'sympy' else found(name)\n"
        "from qvq_mlx.cli import run\n"
        f"sys.argv = ['qvq', 'eval', 'mathvision', '--data', {data!r}, '-m', 'tiny', '-o', 'x']\n"
        "run()\n"
    )
    environ = {**os.environ, "QVQ_HOME": str(tmp_path / "q")}
    argv = [sys.executable, "-c", hidden]
    ended = subprocess.run(
        argv, env=environ, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert "not installed: sympy" in ended.stderr
    assert "pip install 'qvq-mlx[eval]'" in ended.stderr
    assert not (tmp_path / "x").exists()
