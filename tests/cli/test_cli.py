"""The whole program, `main(argv, env)`, with a scripted engine: streams, exit codes, options."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from PIL import Image

from qvq_mlx.cli.app import COMMANDS, with_command
from qvq_mlx.cli.slips import WITHOUT_COMMAND
from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.events import checked, fold
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.tokens import Control
from qvq_mlx.records.runs import event_from_json
from tests.conftest import EXAMPLES, ROOT, ScriptedEngine, World

Build = Callable[..., World]
SHAPES = str(EXAMPLES / "shapes.png")
WORDS = ["I", " see", " two.", "\n\n", "**Final Answer**", "\n\n", "It is \\boxed{2}"]


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "cat.png"
    Image.new("RGB", (300, 300), "white").save(path)
    return str(path)


def ask(world: World, image: str, *options: str, question: str = "How many?") -> int:
    return world.run("ask", "-m", "tiny", image, question, *options)


def test_a_pipe_gets_the_answer_alone(world: Build, image: str) -> None:
    w = world(WORDS)
    assert ask(w, image) == ExitCode.OK
    assert w.out == "It is \\boxed{2}\n"
    assert w.err == ""


def test_without_ask_it_is_asked_too(world: Build, image: str) -> None:
    w = world(WORDS)
    assert w.run(image, "How many?", "-m", "tiny") == ExitCode.OK
    assert w.out == "It is \\boxed{2}\n"


def test_the_boxed_value_alone(world: Build, image: str) -> None:
    w = world(WORDS)
    assert ask(w, image, "-x") == ExitCode.OK
    assert w.out == "2\n"
    w = world(["**Final Answer**\n", "two"])
    assert ask(w, image, "-x") == ExitCode.OK
    assert w.out == "two\n"


def test_the_answer_goes_to_a_file(world: Build, image: str, tmp_path: Path) -> None:
    w = world(WORDS)
    assert ask(w, image, "-o", str(tmp_path / "answer.txt")) == ExitCode.OK
    assert (tmp_path / "answer.txt").read_text() == "It is \\boxed{2}\n"
    assert w.out == ""


def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    world: Build, image: str, tmp_path: Path
) -> None:
    engine = ScriptedEngine(WORDS)
    w = world(engine=engine)
    assert ask(w, image, "-o", str(tmp_path / "no" / "answer.txt")) == ExitCode.USAGE
    assert engine.asked == []


def test_json_validates_against_its_schema(world: Build, image: str) -> None:
    w = world(WORDS)
    assert ask(w, image, "--json") == ExitCode.OK
    document = json.loads(w.out)
    jsonschema.validate(document, json.loads((ROOT / "docs/schema/result.schema.json").read_text()))
    assert document["thinking"] == "I see two."
    assert (document["answer"], document["boxed"]) == ("It is \\boxed{2}", "2")
    assert document["answer_source"] == "marker"
    assert document["images"][0]["tokens"] == 25
    assert document["stats"]["generated_tokens"] == len(WORDS)


def test_jsonl_obeys_the_grammar(world: Build, image: str) -> None:
    w = world(WORDS)
    assert ask(w, image, "--jsonl") == ExitCode.OK
    request, *lines = [json.loads(line) for line in w.out.splitlines()]
    schema = json.loads((ROOT / "docs/schema/events.schema.json").read_text())
    for line in (request, *lines):
        jsonschema.validate(line, schema)
    assert request["question"] == "How many?"
    events = list(checked(event_from_json(line) for line in lines))
    assert fold(events).answer == "It is \\boxed{2}"


def test_no_marker_makes_the_whole_text_the_answer(world: Build, image: str) -> None:
    w = world(["A white", " square."])
    assert ask(w, image) == ExitCode.OK
    assert w.out == "A white square.\n"


def test_a_cut_answer_is_not_shown_as_one(world: Build, image: str) -> None:
    w = world(WORDS)
    assert ask(w, image, "--max-tokens", "6") == ExitCode.NO_ANSWER
    assert w.out == ""
    assert "no final answer within 6 tokens (--max-tokens)" in w.err
    assert "qvq last --thinking" in w.err
    assert w.run("last", "--thinking") == ExitCode.OK
    assert w.out == "I see two.\n"


def test_a_cut_answer_in_json_is_partial(world: Build, image: str) -> None:
    words = ["So.\n**Final Answer**\n", "It", " is", " two"]
    w = world(words)
    assert ask(w, image, "--json", "--max-tokens", "3") == ExitCode.NO_ANSWER
    document = json.loads(w.out)
    assert (document["answer"], document["partial_answer"]) == (None, "It is")
    assert document["stop_reason"] == "length"


def test_nothing_at_all_is_no_answer(world: Build, image: str) -> None:
    w = world([])
    assert ask(w, image) == ExitCode.NO_ANSWER
    assert "ended after 0 tokens with no answer" in w.err


def pressing(after: int, what: Callable[[Control], None]) -> Callable[[int, Control], None]:
    def on_token(index: int, control: Control) -> None:
        if index == after:
            what(control)

    return on_token


def test_a_stopped_run_is_130_and_saved(world: Build, image: str) -> None:
    w = world(engine=ScriptedEngine(WORDS, on_token=pressing(1, Control.stop)))
    assert ask(w, image) == ExitCode.INTERRUPTED
    assert w.out == ""
    assert "stopped after 2 tokens" in w.err
    w.run("last", "--thinking")
    assert w.out == "I see\n"


def test_a_concluded_run_is_an_answer(world: Build, image: str) -> None:
    engine = ScriptedEngine(
        ["I", " see", " and", " see"],
        after_closing=["\\boxed{2}"],
        on_token=pressing(1, Control.conclude),
    )
    w = world(engine=engine)
    assert ask(w, image, "--json") == ExitCode.OK
    document = json.loads(w.out)
    assert (document["answer"], document["concluded"]) == ("\\boxed{2}", True)
    assert document["thinking"] == "I see"


def test_defaults_come_from_the_card_and_flags_win(world: Build, image: str) -> None:
    engine = ScriptedEngine(WORDS)
    w = world(engine=engine)
    ask(w, image)
    ask(
        w,
        image,
        "--temp",
        "0.7",
        "--top-p",
        "0.9",
        "--top-k",
        "5",
        "--min-p",
        "0.1",
        "--seed",
        "3",
        "--max-tokens",
        "99",
        "--system",
        "Be brief.",
    )
    ask(w, image, "--system", "")
    first, second, _ = engine.generations
    assert (first.sampling, first.max_tokens) == (Sampling(), 512)
    assert (second.sampling, second.max_tokens) == (Sampling(0.7, 0.9, 5, 0.1, 3), 99)
    assert [system for _, _, system in engine.asked][1:] == ["Be brief.", None]
    assert engine.asked[0][2].startswith("You are a helpful and harmless assistant.")


def test_named_images_and_question(world: Build, image: str) -> None:
    engine = ScriptedEngine(WORDS)
    w = world(engine=engine)
    assert w.run("ask", "-m", "tiny", "-i", image, "-i", image, "-Q", "./what.png?") == ExitCode.OK
    assert engine.asked[0][:2] == ("./what.png?", 2)


def test_an_image_from_stdin(world: Build, image: str) -> None:
    engine = ScriptedEngine(WORDS)
    w = world(engine=engine, stdin=Path(image).read_bytes())
    assert w.run("ask", "-m", "tiny", "-", "How many?") == ExitCode.OK
    assert engine.asked[0][1] == 1


def test_offline_forbids_the_network(world: Build, image: str) -> None:
    from dataclasses import replace

    called: list[bool] = []
    w = world(WORDS)
    w.env = replace(w.env, forbid_network=lambda: called.append(True))
    assert ask(w, image, "--offline") == ExitCode.OK
    assert called == [True]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ask"], 2, "no question is given"),
        (["ask", "-m", "tiny", "How many?"], 2, "no image is given"),
        (["ask", "-m", "tiny", "no.png", "How many?"], 6, "no.png"),
        (["ask", "-m", "nothing", "IMAGE", "How many?"], 4, "no model is called 'nothing'"),
        (["ask", "-m", "qwen2-vl-7c", "IMAGE", "How many?"], 4, "nearest names are qwen2-vl-7b, "),
        (["ask", "-m", "qvq", "IMAGE", "How many?"], 4, "is not on this disk"),
        (["ask", "-m", "tiny", "IMAGE", "How", "many"], 2, "How"),
        (["ask", "-m", "tiny", "IMAGE", "How many?", "--temp", "-1"], 2, "--temp"),
        (["ask", "-m", "tiny", "IMAGE", "How many?", "--max-tokens", "0"], 2, "--max-tokens"),
        (["ask", "-m", "tiny", "IMAGE", "How many?", "--thinking", "some"], 2, "--thinking"),
        (["ask", "-m", "tiny", "IMAGE", "How many?", "--nothing"], 2, "--nothing"),
        (
            ["ask", "-m", "tiny", "IMAGE", "How many?", "-R", "--thinking", "full"],
            2,
            "-R and --thinking",
        ),
        (["ask", "-m", "tiny", "IMAGE", "How many?", "--json", "--jsonl"], 2, "--json and --jsonl"),
        (["ask", "-m", "tiny", "IMAGE", "How many?", "--json", "-x"], 2, "--json and -x"),
        (["ask", "-m", "tiny", "IMAGE", "How many?", "-q", "-v"], 2, "-q and -v"),
        (["ask", "-m", "tiny", "IMAGE", "How many?", "--thinking", "tail"], 2, "--thinking tail"),
        (["modles"], 2, "modles"),
        ([], 2, "no command is given"),
        (["last"], 6, "no run is saved"),
    ],
)
def test_a_mistake_is_one_clear_line_and_a_hint(
    world: Build, image: str, arguments: list[str], code: int, message: str
) -> None:
    w = world(WORDS)
    assert w.run(*[image if argument == "IMAGE" else argument for argument in arguments]) == code
    if arguments:
        assert w.out == ""
    lines = w.err.splitlines()
    assert lines[0].startswith("error[")
    assert message in lines[0]
    assert len(lines) <= 2
    assert all(line.startswith("  try: ") for line in lines[1:])


def test_a_control_sequence_in_a_name_does_not_reach_the_terminal(world: Build) -> None:
    w = world(WORDS)
    assert w.run("ask", "-m", "tiny", "./\x1b[2Jcat.png", "How many?") == ExitCode.BAD_INPUT
    assert "\x1b" not in w.err


def test_a_bug_is_one_line_unless_someone_is_after_it(world: Build, image: str) -> None:
    def fail(_index: int, _control: Control) -> None:
        raise ZeroDivisionError("by design")

    w = world(engine=ScriptedEngine(WORDS, on_token=fail))
    assert ask(w, image) == ExitCode.INTERNAL
    assert w.err.splitlines()[0] == "error[internal]: ZeroDivisionError: by design (this is a bug)"
    w = world(engine=ScriptedEngine(WORDS, on_token=fail), environ={"QVQ_DEBUG": "1"})
    assert ask(w, image) == ExitCode.INTERNAL
    assert "Traceback" in w.err


def test_a_reader_that_goes_away_is_141(world: Build, image: str) -> None:
    from dataclasses import replace

    class Gone:
        def isatty(self) -> bool:
            return False

        def write(self, _text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            pass

        def fileno(self) -> int:
            raise OSError("it has none")

    w = world(WORDS)
    w.env = replace(w.env, stdout=Gone())  # type: ignore[arg-type]
    assert ask(w, image) == ExitCode.BROKEN_PIPE
    assert w.err == ""


def test_no_history_where_it_is_switched_off(world: Build, image: str) -> None:
    w = world(WORDS, environ={"QVQ_SAVE": "0"})
    assert ask(w, image, "--max-tokens", "3") == ExitCode.NO_ANSWER
    assert "qvq last" not in w.err
    assert w.run("last") == ExitCode.BAD_INPUT


def test_last_shows_answer_thinking_and_record(world: Build, image: str) -> None:
    w = world(WORDS)
    ask(w, image)
    w = world(WORDS)
    assert w.run("last") == ExitCode.OK
    assert w.out == "It is \\boxed{2}\n"
    w = world(WORDS)
    assert w.run("last", "--json") == ExitCode.OK
    document = json.loads(w.out)
    assert document["question"] == "How many?"
    assert document["answer"] == "It is \\boxed{2}"
    w = world(WORDS)
    assert w.run("last", "--jsonl") == ExitCode.OK
    assert json.loads(w.out.splitlines()[-1])["type"] == "done"


def test_models_are_listed(world: Build) -> None:
    w = world()
    assert w.run("models") == ExitCode.OK
    lines = w.out.splitlines()
    assert any(line.startswith("qvq-tiny\t") and "\tyes\t" in line for line in lines)
    assert any(line.startswith("qvq-72b-preview\t38.5 GiB\t") for line in lines)
    w = world()
    assert w.run("models", "--json") == ExitCode.OK
    assert json.loads(w.out)["default"] is None


def test_version_and_help(world: Build) -> None:
    from qvq_mlx import __version__

    w = world()
    assert w.run("--version") == ExitCode.OK
    assert w.out == f"qvq {__version__}\n"
    for command in ("", *COMMANDS):
        w = world()
        assert w.run(*[word for word in (command, "--help") if word]) == ExitCode.OK
        assert w.out.startswith("Usage: qvq")


@pytest.mark.parametrize(
    ("argv", "asks"),
    [
        (["ask", "a.png"], False),
        (["last"], False),
        (["a.png", "What?"], True),
        (["What?", "a.png"], True),
        (["-m", "tiny", "a.png", "What?"], True),
        (["-", "What?"], True),
        (["What is 3/4?"], True),
        (["-m", "tiny", "why"], True),
        (["modles"], False),
        (["--help"], False),
        ([], False),
    ],
)
def test_ask_may_be_left_out(argv: list[str], asks: bool) -> None:
    assert with_command(argv, lambda _path: False) == (
        ["ask", f"{WITHOUT_COMMAND}={shlex.join(argv)}", *argv] if asks else argv
    )


SCHEMA = '{"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}'


def test_an_answer_that_fails_its_schema_is_exit_7(world: Callable[..., World]) -> None:
    asked = world()
    argv = ("ask", "-m", "tiny", str(EXAMPLES / "shapes.png"), "How many?", "--schema", SCHEMA)
    assert asked.run(*argv, "--max-tokens", "9") == 7
    assert asked.out == ""
    assert asked.err.startswith("error[schema]")
    whole = world()
    assert whole.run(*argv, "--budget", "3") == 0
    assert json.loads(whole.out)["n"] in (1, 2)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--schema", "no/such/file"),
        ("--schema", "{"),
        ("--schema", '{"type": 3}'),
        ("--lang", "klingon"),
    ],
)
def test_what_an_answer_cannot_be_held_to_is_usage(
    world: Callable[..., World], option: str, value: str
) -> None:
    w = world()
    assert w.run("ask", "-m", "tiny", str(EXAMPLES / "shapes.png"), "How?", option, value) == 2
    assert w.err.count("\n") == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["models"], ["config", "path"], ["ask", "-m", "tiny", SHAPES, "How?"]],
)
def test_a_full_disk_behind_stdout_is_an_error(world: Build, arguments: list[str]) -> None:
    from dataclasses import replace

    w = world(WORDS)
    stdout = open("/dev/full", "w")  # noqa: PTH123, SIM115 - its last flush fails too
    w.env = replace(w.env, stdout=stdout)
    assert w.run(*arguments) == ExitCode.USAGE
    assert w.err.startswith("error[output]: the output could not be written: no space left")
    with pytest.raises(OSError, match="No space"):
        stdout.close()
