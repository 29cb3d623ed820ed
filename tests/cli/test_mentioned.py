"""A picture and a question on one line: the same rule for `ask` and `chat`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from qvq_mlx.chat.commands import Command, Question, Verb, parse
from qvq_mlx.core.errors import ImageNotFoundError, UsageError
from qvq_mlx.core.image_names import on_disk
from qvq_mlx.core.mentioned import mentioned
from tests.conftest import ScriptedEngine, World

NAMES = ["cat.png", "a b.png", "it's.png", "Screenshot 2026-11-21 at 10.00.png", "a(1) [x].jpg"]


def _gnome(path: str) -> str:
    return "'" + path.replace("'", "'\\''") + "'"


def _apple(path: str) -> str:
    return "".join(c if c.isalnum() or c in "/._-:" else f"\\{c}" for c in path)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "Terminal.app, iTerm2": _apple,
    "GNOME": _gnome,
    "a shell": shlex.quote,
    "double quotes": lambda path: f'"{path}"',
    "as it is": lambda path: path,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        Image.new("RGB", (300, 300), "white").save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("line", ["{} What's here, and what isn't?", "What's in this? {}", "{}"])
def test_a_dragged_picture_is_seen(folder: Path, spelling: str, name: str, line: str) -> None:
    path = str(folder / name)
    text = line.format(SPELLINGS[spelling](path))
    found = parse(text, on_disk)
    question = line.replace("{}", "").strip()
    if question:
        assert found == Question(question, (path,))
    else:
        assert found == Command(Verb.IMAGE, (path,))


def test_two_pictures_in_a_sentence(folder: Path) -> None:
    one, other = folder / "cat.png", folder / "a b.png"
    found = mentioned(f"compare {one} with '{other}'", on_disk)
    assert found.pictures == (str(one), str(other))
    assert found.question == "compare cat.png with a b.png"


@pytest.mark.parametrize(
    "text", ["Is it red and/or blue?", "What is a .png file?", "What is 3/4?", "Who drew dog.png?"]
)
def test_words_are_no_pictures(text: str) -> None:
    assert mentioned(text, lambda _path: False).question == text
    assert parse(text, lambda _path: False) == Question(text)


def test_what_looks_like_a_picture_and_is_none_is_an_error() -> None:
    with pytest.raises(ImageNotFoundError, match="/tmp/gone.png"):
        parse("/tmp/gone.png What is it?", lambda _path: False)


@pytest.mark.parametrize("word", ["exit", "quit", "bye", "Exit"])
def test_words_that_leave(word: str) -> None:
    assert parse(word, lambda _path: False) == Command(Verb.QUIT)


def test_an_unknown_command_says_what_there_is() -> None:
    with pytest.raises(UsageError, match="/image, /model, /budget, .*, /quit"):
        parse("/frobnicate", lambda _path: False)


def test_ask_reads_the_picture_in_its_question(world: Callable[..., World], folder: Path) -> None:
    engine = ScriptedEngine(["two"])
    w = world(engine=engine)
    path = folder / "a b.png"
    assert w.run("ask", "-m", "tiny", f"'{path}' How many?") == 0
    assert engine.asked[0][:2] == ("How many?", 1)


@pytest.mark.parametrize("question", ["What is in foo.png", "Is foo.png red"])
def test_ask_refuses_a_picture_that_is_not_there(
    world: Callable[..., World], folder: Path, question: str
) -> None:
    w = world(["two"])
    image = str(folder / "cat.png")
    assert w.run("ask", "-m", "tiny", image, question) == 6
    assert "error[image-not-found]: foo.png: there is no such file" in w.err
    assert "-Q " in w.err
    again = world(["two"])
    assert again.run("ask", "-m", "tiny", image, "-Q", question) == 0
