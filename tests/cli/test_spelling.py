"""Fields as options, remedies as commands: real ones, and harmless whatever they hold."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from qvq_mlx.cli.app import app_with
from qvq_mlx.cli.spelling import CommandLine, option
from qvq_mlx.core.errors import ExitCode, UsageError
from qvq_mlx.core.remedies import (
    Ask,
    AskAgain,
    AskFor,
    AskMany,
    BatchAgain,
    EstimateModel,
    Field,
    PullModel,
    Remedy,
    RunProgram,
    Show,
    Typed,
    VerifyModel,
)
from tests.conftest import World
from tests.support.spelling import hint_of, sentence_of
from tests.support.waiting import CEILING_S

SPELLING = CommandLine()
HOSTILE = [
    "./x;touch PWNED;#",
    "$(touch PWNED)",
    "a`touch PWNED`",
    "it's",
    "a b",
    "-y",
    "~/a b",
    "",
]


def options_of_all_commands() -> set[str]:
    group = get_command(app_with())
    assert hasattr(group, "commands")
    return {
        name
        for command in group.commands.values()
        for parameter in command.params
        for name in parameter.opts
    }


def test_every_field_is_an_option_that_there_is() -> None:
    assert {option(field) for field in Field} <= options_of_all_commands()


def test_a_sentence_says_its_fields_as_options() -> None:
    error = UsageError.excluding(Field.VOTE, (Field.TEMPERATURE, " 0"), "all would be equal")
    assert sentence_of(error) == "--vote and --temp 0 exclude each other: all would be equal"
    assert error.message == "vote and temperature 0 exclude each other: all would be equal"
    assert str(error) == error.message
    assert hint_of(error) == "qvq ask --help"
    assert SPELLING.sentence("a plain one") == "a plain one"


def test_a_text_from_outside_is_no_field() -> None:
    for field in Field:
        assert sentence_of(UsageError((f"{field}", f": {field.value}"))).startswith(field.value)


@pytest.mark.parametrize(
    ("remedy", "command"),
    [
        (None, ""),
        (Ask(), 'qvq ask IMAGE "question"'),
        (Ask(("a b.png",)), "qvq ask 'a b.png' \"question\""),
        (Ask((), ((Field.MODEL, "tiny"),)), 'qvq ask -m tiny "question"'),
        (Ask(("-",), stdin="image.png"), 'qvq ask - "question" < image.png'),
        (
            Ask(("-",), piped=(RunProgram(("pbpaste",)), RunProgram(("base64", "-d")))),
            'pbpaste | base64 -d | qvq ask - "question"',
        ),
        (
            Ask(settings=((Field.CROP, "25%,25%,50%,50%"),)),
            'qvq ask --crop 25%,25%,50%,50% IMAGE "question"',
        ),
        (AskAgain(((Field.DRAFT, "lookup"),)), "qvq ask --draft lookup ..."),
        (AskAgain(((Field.THINKING, "full"),)), "qvq ask ... --thinking full"),
        (AskAgain(((Field.JSONL, ""),)), "qvq ask ... --jsonl"),
        (AskFor("Outline it"), 'qvq ask ... "Outline it"'),
        (AskMany(), 'qvq batch IMAGE... -Q "question" -o out.jsonl'),
        (BatchAgain("other.jsonl"), "qvq batch ... -o other.jsonl"),
        (BatchAgain("out.jsonl", piped=True), "qvq batch ... > out.jsonl"),
        (PullModel("a/b"), "qvq pull a/b"),
        (PullModel("-a"), "qvq pull -- -a"),
        (VerifyModel("a/b"), "qvq verify a/b"),
        (EstimateModel("a", ((Field.BUDGET, "256"),)), "qvq fit a --budget 256"),
        (RunProgram(("ls", "-l", "~/a b")), "ls -l ~/'a b'"),
        (RunProgram(("ls", "-l", "~")), "ls -l ~"),
        (Typed("/help"), "/help"),
        (Show.MODELS, "qvq models"),
    ],
)
def test_remedies_as_commands(remedy: Remedy | None, command: str) -> None:
    assert SPELLING.remedy(remedy) == command


def test_what_is_asked_again_is_asked_by_the_command_that_ran() -> None:
    """A batch takes options that a question does not know."""
    words = [sys.executable, "-m", "qvq_mlx", "batch", "--parallel", "99", "p.png"]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=CEILING_S, check=False)
    assert ran.returncode == ExitCode.USAGE
    assert ran.stderr.splitlines()[1] == "  try: qvq batch --parallel auto ..."
    again = AskAgain(((Field.SCHEMA, "s.json"),))
    assert CommandLine("p.png").remedy(again) == "qvq ask --schema s.json ..."


def test_everything_to_look_at_has_a_command() -> None:
    assert all(SPELLING.remedy(show) for show in Show)


def remedies_with(word: str) -> list[Remedy]:
    return [
        Ask((word,), ((Field.MODEL, word),), stdin=word),
        AskAgain(((Field.SPAN, word or "x"), (Field.OUTPUT, word or "x"))),
        BatchAgain(word),
        PullModel(word),
        VerifyModel(word),
        EstimateModel(word),
        RunProgram(("ls", "-l", word)),
    ]


@pytest.mark.parametrize("word", HOSTILE)
def test_a_remedy_pasted_into_a_shell_runs_nothing_else(word: str, tmp_path: Path) -> None:
    for remedy in remedies_with(word):
        line = SPELLING.remedy(remedy)
        line = line.replace("qvq ", "true ")
        subprocess.run(
            ["sh", "-c", line], cwd=tmp_path, capture_output=True, check=False, timeout=CEILING_S
        )
        assert not (tmp_path / "PWNED").exists(), line


@given(st.text(st.characters(exclude_characters="\0\r\n"), min_size=1, max_size=30))
def test_a_word_comes_out_of_the_shell_as_it_went_in(word: str) -> None:
    if word.startswith("~"):
        return
    assert shlex.split(SPELLING.remedy(RunProgram(("ls", word)))) == ["ls", word]
    assert shlex.split(SPELLING.remedy(PullModel(word)))[-1] == word


def test_the_hint_about_a_folder_with_a_hostile_name_is_harmless(
    world: Callable[..., World], tmp_path: Path
) -> None:
    folder = tmp_path / "x;touch PWNED;#"
    folder.mkdir()
    (folder / "config.json").write_text("{")
    home = world()
    assert home.run("ask", "-m", str(folder), "-Q", "What?") == ExitCode.NO_MODEL
    hint = next(line for line in home.err.splitlines() if line.startswith("  try: "))
    assert "PWNED" in hint
    subprocess.run(["sh", "-c", hint.removeprefix("  try: ")], cwd=tmp_path, check=False)
    assert not (tmp_path / "PWNED").exists()
