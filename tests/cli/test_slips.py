"""A command word that slipped is refused with the right line, and is never asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from qvq_mlx.cli.app import COMMANDS
from qvq_mlx.core.near import near
from tests.conftest import ScriptedEngine, World

Build = Callable[..., World]


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "cat.png"
    Image.new("RGB", (300, 300), "white").save(path)
    return str(path)


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["-m", "tiny", "chat", "IMAGE"], "qvq chat -m tiny IMAGE"),
        (["aks", "IMAGE"], "qvq ask IMAGE"),
        (["abtch", "IMAGE", "-m", "tiny"], "qvq batch IMAGE -m tiny"),
        (["IMAGE", "doctor"], "qvq doctor IMAGE"),
        (["help", "IMAGE"], "qvq --help"),
        (["-m", "tiny", "IMAGE", "help"], "qvq --help"),
        (["-m", "tiny", "ask", "IMAGE", "How many?"], "qvq ask -m tiny IMAGE 'How many?'"),
        (["-m", "tiny", "ask", "f", "q"], "qvq ask -m tiny f q"),
        (["--budget", "5", "--offline", "chat", "IMAGE"], "qvq chat --budget 5 --offline IMAGE"),
    ],
)
def test_it_is_refused(world: Build, image: str, argv: list[str], hint: str) -> None:
    engine = ScriptedEngine(["two"])
    w = world(engine=engine)
    assert w.run(*(image if word == "IMAGE" else word for word in argv)) == 2
    assert f"try: {hint.replace('IMAGE', image)}\n" in w.err
    assert not engine.asked
    assert not list(Path(w.env.environ["QVQ_HOME"]).glob("history/*"))


@pytest.mark.parametrize("question", ["count", "why", "colour?", "was", "图"])
def test_a_question_of_one_word_is_asked(world: Build, image: str, question: str) -> None:
    engine = ScriptedEngine(["two"])
    w = world(engine=engine)
    assert w.run("-m", "tiny", image, question) == 0
    assert engine.asked[0][0] == question


@pytest.mark.parametrize("question", ["chat", "aks"])
def test_behind_ask_or_dash_q_it_is_a_question(world: Build, image: str, question: str) -> None:
    engine = ScriptedEngine(["two"])
    w = world(engine=engine)
    assert w.run("ask", "-m", "tiny", question, image) == 0
    assert w.run("-m", "tiny", image, "-Q", question) == 0
    assert [asked[0] for asked in engine.asked] == [question, question]


@pytest.mark.parametrize(
    ("argv", "meant", "help_of"),
    [
        (["log", "shwo"], "show", "log"),  # codespell:ignore shwo
        (["cache", "cleaar"], "clear", "cache"),
        (["config", "lst"], "list", "config"),
        (["completion", "zhs"], "zsh", "completion"),
        (["integrate", "finderr"], "finder", "integrate"),
        (["ask", "cat.png", "Why?", "--thinking", "ful"], "full", "ask"),
    ],
)
def test_a_slipped_word_behind_a_command_gets_one_line_and_the_word_that_was_meant(
    world: Build, argv: list[str], meant: str, help_of: str
) -> None:
    w = world()
    assert w.run(*argv) == 2
    assert w.out == ""
    error, hint = w.err.splitlines()
    assert error.startswith("error[usage]: ")
    assert "Value error" not in error
    assert f"'{argv[-1]}'" in error
    assert error.lower().partition("did you mean ")[2].strip("'?") == meant
    assert hint == f"  try: qvq {help_of} --help"


def test_a_word_that_is_near_to_nothing_gets_no_suggestion(world: Build) -> None:
    w = world()
    assert w.run("config", "zzz") == 2
    assert "did you mean" not in w.err
    assert "'zzz' is not one of 'get', 'set'" in w.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_a_commands_help(world: Build, command: str) -> None:
    w, direct = world(), world()
    assert w.run("help", command) == 0
    assert direct.run(command, "--help") == 0
    assert w.out == direct.out
    assert w.out.startswith(f"Usage: qvq {command}")


def test_help_alone_is_the_help(world: Build) -> None:
    w, direct = world(), world()
    assert w.run("help") == direct.run("--help") == 0
    assert w.out == direct.out
    twice = world()
    assert twice.run("help", "help") == 0
    assert twice.out == direct.out


@pytest.mark.parametrize(
    ("word", "command"),
    [("aks", "ask"), ("chta", "chat"), ("lst", "last"), ("modells", "models"), ("why", None)],
)
def test_one_slip_is_near(word: str, command: str | None) -> None:
    assert near(word, COMMANDS) == command
