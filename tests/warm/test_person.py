"""A person in front of a model that a server lends: keys, a chat, a client that is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qvq_mlx.chat.loop import Talk
from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.request import Output, Request
from qvq_mlx.settings import config
from qvq_mlx.warm.sockets import same_user
from tests.conftest import ScriptedEngine, World
from tests.support.pseudo.terminal import Terminal
from tests.support.waiting import CEILING_S, eventually
from tests.warm.lent import OWN, PICTURE, SAID, Build, lending, started

ASKED = ("ask", "-m", "tiny", "-i", PICTURE, "-Q", "How many red circles are there?")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server of the embedded model, in a process of its own."""
    process = started(tmp_path / "qvq")
    yield process
    process.terminate()  # it takes its socket along
    process.wait()


@contextmanager
def window(home: Path) -> Iterator[Terminal]:
    """A question in a terminal, slow enough for a person."""
    command = [sys.executable, "-m", "qvq_mlx", *ASKED]
    t = Terminal(command, {"QVQ_HOME": str(home), "HOME": str(home), "QVQ_PACE": "4"})
    try:
        assert t.until(lambda: b"Thinking" in t.raw, CEILING_S)
        assert t.status is None
        yield t
    finally:
        t.close()


def last_run(world: Build) -> dict[str, object]:
    found = world()
    assert found.run("last", "--json") == 0
    run: dict[str, object] = json.loads(found.out)
    return run


def state(world: Build) -> dict[str, object]:
    found = world()
    assert found.run("ps", "--json") == 0
    (entry,) = json.loads(found.out)["servers"]
    return dict(entry)


def _answer_now(t: Terminal) -> None:
    t.type(b"a")


def _stop(t: Terminal) -> None:
    t.type(b"q")
    assert t.until(lambda: b"q again" in t.raw, CEILING_S)
    t.type(b"q")


@pytest.mark.parametrize(
    ("press", "code", "ending"),
    [(_answer_now, 0, ("end", "user")), (_stop, 130, ("interrupt", None))],
    ids=["a", "q"],
)
def test_the_keys_of_the_panel_reach_the_server(
    world: Build,
    tmp_path: Path,
    server: subprocess.Popen[bytes],
    press: Callable[[Terminal], None],
    code: int,
    ending: tuple[str, str | None],
) -> None:
    with window(tmp_path / "qvq") as t:
        press(t)
        assert t.end(CEILING_S) == code, t.raw
    run = last_run(world)
    assert (run["stop_reason"], run["concluded_by"]) == ending
    assert run["stats"]["server_pid"] == server.pid  # type: ignore[index]
    eventually(lambda: state(world)["idle_s"] is not None)


def test_a_client_that_is_killed_leaves_the_server_free(
    world: Build, tmp_path: Path, server: subprocess.Popen[bytes]
) -> None:
    with window(tmp_path / "qvq") as t:
        assert state(world)["idle_s"] is None
        t.send(signal.SIGKILL)
        assert t.end(CEILING_S) == 137
    eventually(lambda: state(world)["idle_s"] is not None)
    after = world()
    assert after.run(*ASKED, "--json") == 0
    assert json.loads(after.out)["stats"]["server_pid"] == server.pid


class Lines:
    """What a person types in a chat, and then Ctrl-D."""

    def __init__(self, *lines: str) -> None:
        self._lines = list(lines)

    def read(self) -> str:
        if not self._lines:
            raise EOFError
        return self._lines.pop(0)


def test_a_chat_has_its_rounds_over_the_socket(world: Build) -> None:
    engine = ScriptedEngine(SAID)
    w: World = world(OWN, tty=True, err_tty=True, size=(200, 24))
    settings = config.read(w.env)
    talk = Talk(w.env, settings, Request("", (), "tiny"), Output())
    talk.begin([PICTURE])
    with lending(world, engine):
        assert talk.talk(Lines("One?", "Two?").read) == ExitCode.OK
        assert engine.asked[0][:2] == ("One?", 1)
        assert engine.asked[1][0].endswith("Question: One?\nAnswer: lent words\n\nNow: Two?")
        assert w.out.count("lent words") >= 2
    # the server is gone: the chat goes on with a model of its own
    assert talk.talk(Lines("Three?").read) == ExitCode.OK
    assert "own words" in w.out
    assert len(engine.asked) == 2


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="another user is needed")
def test_the_kernel_says_that_a_peer_is_another_user() -> None:
    name = f"\0qvq-test-{os.getpid()}"  # in no folder, which would keep that user out
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as theirs:
        listener.bind(name)
        listener.listen(1)
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            theirs.connect(name)
            os._exit(0)
        os.waitpid(child, 0)
        line, _ = listener.accept()
        assert not same_user(line)
        line.close()


def test_another_user_is_lent_nothing(world: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server closes the line to whom the kernel calls another user."""
    engine, asked = ScriptedEngine(SAID), world(OWN)
    monkeypatch.setattr("qvq_mlx.serve.lending.same_user", lambda _line: False)
    with lending(world, engine):
        assert (asked.run(*ASKED), asked.out) == (0, "own words\n")
        table = world()
        assert table.run("ps", "--json") == 0
        assert [one["answers"] for one in json.loads(table.out)["servers"]] == [False]
    assert engine.asked == []
