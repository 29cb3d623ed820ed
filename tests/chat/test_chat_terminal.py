"""`qvq chat` in a real pseudo-terminal with the embedded model, read back through an emulator."""

from __future__ import annotations

import json
import shlex
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.test_terminal import Terminal
from tests.conftest import EXAMPLES, ROOT

SHAPES, CHART = str(EXAMPLES / "shapes.png"), str(EXAMPLES / "chart.png")
Start = Callable[..., Terminal]


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Start]:
    """Start a chat and wait for its first prompt."""
    opened: list[Terminal] = []

    def start(columns: int, rows: int, *arguments: str, hold: str | None = None) -> Terminal:
        command = ("chat", "-m", "tiny", *arguments)
        terminal = Terminal(columns, rows, tmp_path, *command, hold=hold)
        opened.append(terminal)
        terminal.read_until(lambda: prompts(terminal) == 1)
        return terminal

    yield start
    for terminal in opened:
        terminal.close()


def prompts(terminal: Terminal) -> int:
    return sum(line.startswith(">") for line in terminal.everything())


def enter(terminal: Terminal, line: str) -> None:
    """Type a line, and wait until the next prompt is there."""
    before = prompts(terminal)
    terminal.press(line.encode() + b"\r")
    terminal.read_until(lambda: prompts(terminal) == before + 1 and empty(terminal))


def empty(terminal: Terminal) -> bool:
    return terminal.everything()[-1] == ">"


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 12)])
def test_two_rounds_an_image_a_retry_and_the_way_out(
    chat: Start, tmp_path: Path, columns: int, rows: int
) -> None:
    terminal = chat(columns, rows, SHAPES, "--draft", "none")
    enter(terminal, "How many red circles are there?")
    enter(terminal, f"/image {shlex.quote(CHART)}")
    enter(terminal, "Which bar is the tallest?")
    enter(terminal, "/retry")
    enter(terminal, "/nonsense")
    text = "\n".join(terminal.everything())
    assert text.count("Thought for") == 3
    assert "\n3\n" in text
    assert "error[usage]: there is no /nonsense" in text
    assert all(len(line) <= columns for line in terminal.everything())
    terminal.press(b"half a line\x03")  # Ctrl-C clears it
    terminal.read_until(lambda: empty(terminal))
    terminal.press(b"\x04")
    assert terminal.wait() == 0
    assert terminal.restored
    paths = sorted((tmp_path / "history").glob("*.jsonl"))
    first = paths[0].stem.rpartition("-")[2]
    records = [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]
    assert [lines[0]["follows"] for lines in records] == [None, first, first]
    stats = [lines[-1]["stats"] for lines in records]
    assert stats[0]["cached_tokens"] == 0
    # the second encodes the chart alone, the third neither
    assert stats[1]["cached_tokens"] > 25
    assert stats[2]["cached_tokens"] > stats[1]["cached_tokens"]
    assert stats[2]["encode_s"] == 0
    assert all(one["load_s"] < stats[0]["load_s"] / 5 for one in stats[1:])
    typed = tmp_path / "history" / "chat-input"
    assert stat.S_IMODE(typed.stat().st_mode) == 0o600
    assert "Which bar is the tallest?" in typed.read_text()


def test_a_conversation_of_rounds_does_not_read_the_picture_twice(
    chat: Start, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    card = (ROOT / "models" / "qvq-tiny.toml").read_text()
    card = card.replace("rounds = false", "rounds = true").replace('["tiny"]', "[]")
    (tmp_path / "models" / "a.toml").write_text(card.replace('"qvq-tiny"', '"several"', 1))
    terminal = chat(80, 24, SHAPES, "--draft", "none", "--max-tokens", "40", "--no-cache")
    enter(terminal, "/model several")
    enter(terminal, "How many red circles are there?")
    enter(terminal, "/retry")
    terminal.press(b"\x04")
    assert terminal.wait() == 0
    paths = sorted((tmp_path / "history").glob("*.jsonl"))
    ends = [json.loads(path.read_text().splitlines()[-1])["stats"] for path in paths]
    assert ends[1]["cached_tokens"] > ends[1]["image_tokens"] == 25
    assert ends[1]["encode_s"] == 0


def test_ctrl_c_asks_for_the_answer_and_then_stops(chat: Start) -> None:
    terminal = chat(80, 24, SHAPES, hold="thinking,answer")
    terminal.press(b"How many red circles are there?\r")
    terminal.read_until(lambda: terminal.shows("Thinking"))
    terminal.press(b"\x03")
    terminal.read_until(lambda: terminal.shows("more"))  # the answer, which does not end
    terminal.press(b"\x03")
    terminal.read_until(lambda: terminal.shows("stopped after") and empty(terminal))
    terminal.press(b"/quit\r")
    assert terminal.wait() == 0
    assert terminal.restored


def test_a_chat_goes_on_behind_an_answer_that_was_asked_for(chat: Start) -> None:
    terminal = chat(80, 24, SHAPES, hold="thinking")
    for count in (1, 2):
        terminal.press(b"How many red circles are there?\r")
        terminal.read_until(lambda: terminal.shows("Thinking"))
        terminal.press(b"\x03")
        terminal.read_until(
            lambda count=count: (
                "\n".join(terminal.everything()).count("note[asked]") == count and empty(terminal)
            )
        )
    terminal.press(b"/quit\r")
    assert terminal.wait() == 0
    assert terminal.restored


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_prompt_puts_the_terminal_back(chat: Start, number: int) -> None:
    terminal = chat(80, 24)
    terminal.press(b"half a")
    terminal.read_until(lambda: terminal.shows("half a"))
    terminal.process.send_signal(number)
    assert terminal.wait() == 128 + number
    assert terminal.restored


def test_pasted_lines_are_one_question(chat: Start, tmp_path: Path) -> None:
    terminal = chat(80, 24, SHAPES)
    terminal.press(b"\x1b[200~How many red\ncircles are there?\x1b[201~")
    terminal.read_until(lambda: terminal.shows("circles are there?"))
    terminal.press(b"\r")
    terminal.read_until(lambda: terminal.shows("Thought for") and empty(terminal))
    [path] = (tmp_path / "history").glob("*.jsonl")
    question = json.loads(path.read_text().splitlines()[0])["question"]
    assert question == "How many red\ncircles are there?"


def test_tab_completes(chat: Start) -> None:
    terminal = chat(80, 24)
    terminal.press(b"/bud\t")
    terminal.read_until(lambda: terminal.shows("> /budget"))
    terminal.press(b"lo\t\r")
    terminal.read_until(lambda: terminal.shows("budget: 1,024 tokens"))


def test_what_is_typed_while_it_thinks_is_kept_for_the_next_prompt(
    chat: Start, tmp_path: Path
) -> None:
    terminal = chat(80, 24, SHAPES, hold="thinking")
    terminal.press(b"How many red circles are there?\r")
    terminal.read_until(lambda: terminal.shows("Thinking"))
    for byte in b"What about a quick cat":
        terminal.press(bytes([byte]))
        terminal.read_until(lambda: True)
    terminal.let_go()
    terminal.read_until(lambda: terminal.shows("Thought for"))
    # the cursor is hidden for as long as the round goes on
    terminal.read_until(lambda: not terminal.screen.cursor.hidden)
    terminal.read_until(lambda: terminal.everything()[-1] == "> What about a quick cat")
    assert not terminal.shows("note[asked]")
    terminal.press(b"\x03")
    terminal.read_until(lambda: empty(terminal))
    terminal.press(b"\x04")
    assert terminal.wait() == 0
    assert terminal.restored
    [path] = (tmp_path / "history").glob("*.jsonl")
    assert json.loads(path.read_text().splitlines()[-1])["concluded_by"] is None


def test_what_is_typed_while_it_loads_is_kept_for_the_next_prompt(
    chat: Start, tmp_path: Path
) -> None:
    terminal = chat(80, 24, SHAPES, hold="load")
    terminal.press(b"How many?\r")
    terminal.read_until(lambda: terminal.shows("load"))
    terminal.press(b"a quick cat")
    terminal.let_go()
    terminal.read_until(lambda: terminal.shows("Thought for"))
    terminal.read_until(lambda: not terminal.screen.cursor.hidden)  # the round is over
    terminal.read_until(lambda: terminal.everything()[-1] == "> a quick cat")
    terminal.press(b"\x03")
    terminal.read_until(lambda: empty(terminal))
    terminal.press(b"\x04")
    assert terminal.wait() == 0
    assert terminal.restored
    [path] = (tmp_path / "history").glob("*.jsonl")
    assert json.loads(path.read_text().splitlines()[-1])["concluded_by"] is None


def test_a_line_that_was_ended_while_it_thinks_is_asked_next(chat: Start, tmp_path: Path) -> None:
    terminal = chat(80, 24, SHAPES, hold="thinking")
    terminal.press(b"How many red circles are there?\r")
    terminal.read_until(lambda: terminal.shows("Thinking"))
    terminal.press(b"How many blue stars are there?\r")
    terminal.let_go()
    terminal.read_until(
        lambda: (
            sum("Thought for" in line for line in terminal.everything()) == 2 and empty(terminal)
        )
    )
    terminal.press(b"exit\r")
    assert terminal.wait() == 0
    heads = [
        json.loads(path.read_text().splitlines()[0])["question"]
        for path in sorted((tmp_path / "history").glob("*.jsonl"))
    ]
    assert heads == ["How many red circles are there?", "How many blue stars are there?"]


def test_a_dragged_picture_and_a_question_on_one_line(chat: Start, tmp_path: Path) -> None:
    picture = tmp_path / "my chart.png"
    picture.write_bytes(Path(CHART).read_bytes())
    terminal = chat(80, 24)
    dragged = str(picture).replace(" ", "\\ ")
    enter(terminal, f"{dragged} Which bar is the tallest?")
    enter(terminal, "/tmp/there-is-none.png Which bar is the tallest?")
    assert "error[image-not-found]" in "\n".join(terminal.everything())
    terminal.press(b"\x04")
    assert terminal.wait() == 0
    [path] = (tmp_path / "history").glob("*.jsonl")
    head = json.loads(path.read_text().splitlines()[0])
    assert (head["question"], len(head["images"])) == ("Which bar is the tallest?", 1)
