"""Smaller windows of a real tmux: no row of the panel stands twice, in the scrollback neither."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.hub.server import REPO, Hub
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not here")
WORDS = re.compile(r"\b[ta]\d{5}\b")


def in_a_shell(before: int, *module: str) -> str:
    """Lines before it, a module that runs in the window, and a last line; the window stays."""
    command = shlex.join([sys.executable, "-m", *module])
    there = shlex.quote(str(ROOT))
    return f"seq -f 'line %g' {before}; cd {there}; {command}; echo the-end; exec cat"


class Pane:
    """A window of tmux with the panel in it; `say` gives it words, each with its own number."""

    def __init__(self, folder: Path, view: str, before: int) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        fifo = folder / "commands"
        os.mkfifo(fifo)
        script = in_a_shell(before, "tests.support.pseudo.panel", str(fifo), view)
        self.tmux("new-session", "-d", "-x", "80", "-y", "24", "sh", "-c", script)
        self.tmux("set", "-g", "window-size", "manual")
        # open for both: the other end may never come, and that shall end in a failure
        self._commands = os.fdopen(os.open(fifo, os.O_RDWR), "w", buffering=1)
        self.said = 0

    def tmux(self, *command: str) -> str:
        done = subprocess.run([*self._tmux, *command], capture_output=True, text=True, check=True)
        return done.stdout

    @property
    def text(self) -> str:
        """The scrollback and the screen."""
        return self.tmux("capture-pane", "-p", "-S", "-")

    def say(self, kind: str, count: int = 1) -> None:
        """Send words, and more of them until a frame shows the last of them or a later one."""
        self._commands.write(f"{kind} {count}\n")
        self.said += count
        last = self.said

        def shown() -> bool:
            numbers = re.findall(kind[0] + r"(\d{5})", self.text.replace("\n", ""))
            if numbers and max(map(int, numbers)) >= last:
                return True
            return not self.more(kind)  # a frame is drawn where a token comes

        eventually(shown, lambda: self.text)

    def counted(self) -> int:
        """The tokens of the answer as the header counts them."""
        found = re.findall(r"Answering [\dms ]+ · (\d+)", self.text)
        return int(found[-1]) if found else 0

    def count_on(self, kind: str, tokens: int) -> None:
        """Send words until the header counts so many."""
        eventually(lambda: self.more(kind) and self.counted() >= tokens, lambda: self.text)

    def more(self, kind: str) -> bool:
        """Send one more word."""
        self._commands.write(f"{kind} 1\n")
        self.said += 1
        return True

    def resize(self, columns: int, rows: int) -> None:
        """Another size; when this returns, tmux has wrapped what stood there."""
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def press(self, key: str) -> None:
        self.tmux("send-keys", key)

    def end(self) -> str:
        self._commands.write("done 1\n")
        self._commands.close()
        eventually(lambda: "the-end" in self.text, lambda: self.text)
        return self.text

    def close(self) -> None:
        self._commands.close()
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def pane(tmp_path: Path) -> Iterator[type[Pane]]:
    opened: list[Pane] = []

    def start(view: str, before: int) -> Pane:
        opened.append(Pane(tmp_path, view, before))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def check(text: str) -> None:
    """No word and no line of the panel stands twice."""
    twice = [word for word, count in Counter(WORDS.findall(text)).items() if count > 1]
    assert not twice, text
    for once in ("Thinking ", "Thought for", "shapes.png"):
        assert text.count(once) <= 1, text


# a window with room below the panel, where tmux pushes rows out all the same, and a full one
@pytest.mark.parametrize(
    ("view", "expanded", "phase", "before"),
    [
        ("tail", False, "thinking", 0),
        ("tail", True, "thinking", 40),
        ("full", False, "thinking", 0),
        ("tail", True, "answer", 0),
        pytest.param("tail", False, "answer", 0, marks=pytest.mark.slow),
        pytest.param("tail", False, "answer", 40, marks=pytest.mark.slow),
    ],
)
def test_no_row_stands_twice(
    pane: type[Pane], view: str, expanded: bool, phase: str, before: int
) -> None:
    p = pane(view, before)
    p.say("thinking", 300)
    thought = p.said
    if phase == "answer":
        p.say("answer", 100)
    if expanded:
        p.press("t")
        eventually(lambda: p.more(phase) and p.text.count("\nt0") > 10, lambda: p.text)
    first = p.said
    for columns, rows in ((60, 24), (40, 24), (20, 24), (80, 24), (50, 12)):
        p.resize(columns, rows)
        if expanded and phase == "answer":  # which waits
            wanted = p.said + 12 - thought  # tokens of the answer
            p.count_on(phase, wanted)
        else:
            p.say(phase, 12)
        check(p.text)
    text = p.end()
    check(text)
    assert "Thinking " not in text
    if phase == "answer":
        flat = text.replace("\n", "")
        assert not [n for n in range(first, p.said) if f"a{n:05}" not in flat]


SHARDS = {f"model-{n:05}-of-00003.safetensors": bytes([n]) * (12 << 20) for n in (1, 2, 3)}
TOTAL = re.compile(r"[\d.]+/36\.0 MiB · .*")


@pytest.mark.parametrize("before", [0, pytest.param(40, marks=pytest.mark.slow)])
def test_no_row_of_a_pull_stands_twice(tmp_path: Path, before: int) -> None:
    tmux = ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]

    def run(*command: str) -> str:
        done = subprocess.run([*tmux, *command], capture_output=True, text=True, check=True)
        return done.stdout

    def text() -> str:
        return run("capture-pane", "-p", "-S", "-").rstrip()

    def check() -> None:
        shown = text()
        assert len(TOTAL.findall(shown)) <= 1, shown
        for number in (1, 2, 3):
            assert shown.count(f"model-{number:05}") <= 1, shown

    with Hub(SHARDS, pause_s=0.02) as hub:
        script = in_a_shell(before, "qvq_mlx", "pull", REPO)
        environ = {
            **os.environ,
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "QVQ_HOME": str(tmp_path / "q"),
            "NO_PROXY": "127.0.0.1,localhost",
        }
        window = ["new-session", "-d", "-x", "80", "-y", "24", "sh", "-c", script]
        subprocess.run([*tmux, *window], check=True, env=environ)
        try:
            run("set", "-g", "window-size", "manual")
            eventually(lambda: " left" in text(), text)
            check()
            sizes = [
                (60, 24),
                (40, 24),
                (30, 24),
                (80, 24),
                (50, 12),
                (120, 24),
                (30, 24),
                (80, 24),
            ]
            for columns, rows in sizes:
                run("resize-window", "-x", str(columns), "-y", str(rows))
                drawn = set(TOTAL.findall(text()))
                for _ in range(4):  # frames of the old width may come after the new one
                    eventually(lambda: bool(set(TOTAL.findall(text())) - drawn), text)  # noqa: B023
                    drawn |= set(TOTAL.findall(text()))
                    check()
            hub.pause_s = 0.0
            eventually(lambda: "the-end" in text(), text)
            check()
            assert not TOTAL.findall(text())
            assert text().count("fetched model-0000") == len(SHARDS)
        finally:
            subprocess.run([*tmux, "kill-server"], check=False, capture_output=True)
