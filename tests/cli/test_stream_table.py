"""What stdout and stderr get, as a table: terminals are real pseudo-terminals read through pyte."""

from __future__ import annotations

import json
import os
import pty
import select
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fcntl import ioctl
from itertools import combinations, product
from pathlib import Path
from random import Random
from string import ascii_letters

import pyte
import pytest

from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.events import checked, fold
from qvq_mlx.records.runs import event_from_json
from tests.conftest import EXAMPLES, World
from tests.support.styles import unstyled

Build = Callable[..., World]
SHAPES = str(EXAMPLES / "shapes.png")
THINKING, ANSWER = "I see two.", "It is \\boxed{2}"
# the clock of a test ticks with each look at it: enough words for a frame or two, in few rows
SHORT = [f" {letter}" for letter in Random(1).choices(ascii_letters, k=215)]
WORDS = ["I", " see", " two.", *SHORT, "\n\n", "**Final Answer**", "\n\n", ANSWER]
RECEIPT = "shapes.png 640×640 → 140×140 · 25 tokens"


@dataclass
class End:
    """One stream of the program: what was written, and what a person would see of it."""

    kind: str
    data: bytes = b""

    @property
    def text(self) -> str:
        return unstyled(self.data.decode().replace("\r\n", "\n"))

    @property
    def left(self) -> list[str]:
        """The lines that stay on the terminal, or all of them."""
        if self.kind != "tty":
            return self.text.splitlines()
        screen = pyte.Screen(80, 40)
        pyte.ByteStream(screen).feed(self.data)
        assert not screen.cursor.hidden
        return [line.rstrip() for line in screen.display if line.strip()]


@contextmanager
def stream(kind: str, tmp_path: Path) -> Iterator[tuple[int, End]]:
    """A descriptor to write to; after the block `End` has what came."""
    end = End(kind)
    if kind == "file":
        path = tmp_path / f"stream-{os.urandom(4).hex()}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        yield descriptor, end
        end.data = path.read_bytes()
        return
    reader, descriptor = pty.openpty() if kind == "tty" else os.pipe()
    if kind == "tty":
        ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    over = threading.Event()

    def read() -> None:
        while True:
            last = over.is_set()  # before looking, or what came in between would be missed
            if select.select([reader], [], [], 0.02)[0]:
                try:
                    part = os.read(reader, 65536)
                except OSError:
                    return
                end.data += part
                if part:
                    continue
            if last:
                return

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield descriptor, end
    finally:
        over.set()
        thread.join()
        os.close(reader)


@dataclass
class Ran:
    """One run with its two ends."""

    code: int
    out: End
    err: End


@pytest.fixture
def ran(world: Build, tmp_path: Path) -> Callable[..., Ran]:
    def run(out: str, err: str, *options: str, words: list[str] | None = None) -> Ran:
        with (
            stream(out, tmp_path) as (out_end, seen_out),
            stream(err, tmp_path) as (
                err_end,
                seen_err,
            ),
        ):
            w = world(WORDS if words is None else words)
            with os.fdopen(out_end, "w") as stdout, os.fdopen(err_end, "w") as stderr:
                w.env = replace(w.env, stdout=stdout, stderr=stderr)
                code = w.run("ask", "-m", "tiny", SHAPES, "How many?", *options)
        return Ran(code, seen_out, seen_err)

    return run


PLAIN = ("pipe", "file")
ALL = list(product(["tty", *PLAIN], repeat=2))


@pytest.mark.parametrize("err", ["tty", *PLAIN])
def test_a_terminal_on_stdout_gets_it_all(ran: Callable[..., Ran], err: str) -> None:
    r = ran("tty", err)
    assert r.code == ExitCode.OK
    first, thought, answer = r.out.left
    assert first == RECEIPT
    assert thought.startswith("▸ Thought for ")
    assert thought.endswith("qvq last --thinking")
    assert "2" in answer
    assert THINKING in r.out.text  # it was shown live
    assert r.err.data == b""


@pytest.mark.parametrize("out", PLAIN)
def test_a_pipe_gets_the_answer_and_a_terminal_beside_it_one_line_that_goes(
    ran: Callable[..., Ran], out: str
) -> None:
    r = ran(out, "tty")
    assert r.out.text == ANSWER + "\n"
    assert "Thinking" in r.err.text
    assert THINKING not in r.err.text
    assert r.err.left == []


@pytest.mark.parametrize(("out", "err"), list(product(PLAIN, PLAIN)))
def test_without_a_terminal_there_is_the_answer_and_nothing(
    ran: Callable[..., Ran], out: str, err: str
) -> None:
    r = ran(out, err)
    assert (r.out.text, r.err.text) == (ANSWER + "\n", "")
    r = ran(out, err, "-v")
    assert r.out.text == ANSWER + "\n"
    stages = [line.split()[0] for line in r.err.text.splitlines()]
    assert stages[0] == "shapes.png"
    assert {"load", "prefill"} <= set(stages)


@pytest.mark.parametrize(("out", "err"), ALL)
def test_json_is_the_same_wherever_it_goes(ran: Callable[..., Ran], out: str, err: str) -> None:
    r = ran(out, err, "--json")
    document = json.loads(r.out.text)
    assert (document["version"], document["answer"], document["boxed"]) == (2, ANSWER, "2")
    assert r.err.left == []
    r = ran(out, err, "--jsonl")
    head, *lines = map(json.loads, r.out.text.splitlines())
    assert (head["type"], head["version"]) == ("request", 2)
    assert fold(checked(map(event_from_json, lines))).answer == ANSWER
    assert r.err.left == []


@pytest.mark.parametrize(("out", "err"), ALL)
def test_an_error_is_on_stderr_alone(ran: Callable[..., Ran], out: str, err: str) -> None:
    for form in ([], ["--json"], ["--jsonl"]):
        r = ran(out, err, "--schema", "no/such/file", *form)
        assert r.code == ExitCode.USAGE
        assert r.out.data == b""
        assert r.err.text.startswith("error[usage]: --schema no/such/file cannot be read")
        assert len(r.err.left) == 2


@pytest.mark.parametrize(("out", "err"), ALL)
def test_a_cut_off_answer_is_an_error(ran: Callable[..., Ran], out: str, err: str) -> None:
    r = ran(out, err, "--max-tokens", "60")
    assert r.code == ExitCode.NO_ANSWER
    assert "error[no-answer]" in r.err.text
    if out != "tty":
        assert r.out.data == b""


OPTIONS = {
    "-x": ["-x"],
    "-q": ["-q"],
    "-v": ["-v"],
    "--json": ["--json"],
    "--jsonl": ["--jsonl"],
    "-R": ["-R"],
    "--thinking": ["--thinking", "full"],
}
REFUSED = [
    {"--json", "--jsonl"},
    {"--json", "-x"},
    {"--jsonl", "-x"},
    {"-q", "-v"},
    {"-R", "--thinking"},
]
SUBSETS = [names for count in range(3) for names in combinations(OPTIONS, count)]
SUBSETS.append(("-x", "-q", "--thinking"))


@pytest.mark.sampled(6)
@pytest.mark.parametrize("to_file", [False, True], ids=["stdout", "-o"])
@pytest.mark.parametrize(("out", "err"), [("pipe", "pipe"), ("pipe", "tty"), ("tty", "tty")])
def test_every_combination_is_honoured_or_refused_by_name(
    world: Build, tmp_path: Path, out: str, err: str, to_file: bool
) -> None:
    """All sets of up to two options, each with and without -o, on three pairs of streams."""
    target = tmp_path / "answer"
    for names in SUBSETS:
        target.unlink(missing_ok=True)
        w = world(WORDS, tty=out == "tty", err_tty=err == "tty")
        options = [word for name in names for word in OPTIONS[name]]
        options += ["-o", str(target)] if to_file else []
        code = w.run("ask", "-m", "tiny", SHAPES, "How many?", *options)
        clash = next((pair for pair in REFUSED if pair <= set(names)), None)
        if clash is not None:
            assert code == ExitCode.USAGE, names
            first = unstyled(w.err).splitlines()[0]
            named = {name for name in OPTIONS if f" {name} " in f" {first.partition(': ')[2]} "}
            assert named in REFUSED, first
            assert named <= set(names)
            assert w.out == ""
            assert not target.exists()
            continue
        assert code == ExitCode.OK, (names, w.err)
        document = target.read_text() if to_file else w.out
        _holds(set(names), document, w, on_screen=out == "tty" and not to_file)
        if to_file and out == "tty":
            assert w.out == ""


def _holds(names: set[str], document: str, w: World, *, on_screen: bool) -> None:
    """What each option promises, whatever stands beside it."""
    if "--json" in names:
        assert json.loads(document)["answer"] == ANSWER
    elif "--jsonl" in names:
        assert json.loads(document.splitlines()[-1])["type"] == "done"
    elif not on_screen:
        assert document == ("2\n" if "-x" in names else ANSWER + "\n")
    elif "-q" in names:
        assert RECEIPT not in document
    plain_err = not w.env.stderr.isatty()
    if plain_err:
        assert ("load" in w.err) == ("-v" in names)
        assert (THINKING in w.err) == ("--thinking" in names)
    if "-R" in names and on_screen and not names & {"--json", "--jsonl"}:
        assert THINKING not in document
