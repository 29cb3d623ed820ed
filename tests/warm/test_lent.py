"""A question finds a running server by itself, and nothing but the load time tells."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from qvq_mlx.core.env import Engine
from qvq_mlx.core.events import Event
from qvq_mlx.core.setup import Checkpoint, Setup
from qvq_mlx.core.tokens import Asked, Control, Generation, Step, Token
from qvq_mlx.settings import config
from qvq_mlx.store import registry
from qvq_mlx.warm import places
from qvq_mlx.warm.borrowing import BorrowedEngine
from qvq_mlx.warm.client import Line
from qvq_mlx.warm.desk import Desk
from qvq_mlx.warm.frames import GoneError, receive, send
from qvq_mlx.warm.places import folder_for
from qvq_mlx.warm.sockets import listening
from qvq_mlx.warm.values import SPOKEN
from tests.conftest import ScriptedEngine, World
from tests.support.waiting import CEILING_S, eventually
from tests.warm.lent import OWN, PICTURE, QUESTION, SAID, Build, lending

RESULTS = ("--json", "--jsonl")
MORE = ((), ("--vote", "3"), ("--double-check",), ("--budget", "3"))


def folder_of(world: World) -> Path:
    return folder_for(config.read(world.env).cache_folder)


def test_a_question_is_answered_by_the_server_and_without_one_here(world: Build) -> None:
    with lending(world):
        asked, alone = world(OWN), world(OWN)
        assert (asked.run(*QUESTION), asked.out) == (0, "lent words\n")
        assert (alone.run(*QUESTION, "--no-server"), alone.out) == (0, "own words\n")
    after = world(OWN)
    assert (after.run(*QUESTION), after.out) == (0, "own words\n")
    assert not folder_of(after).exists()


@pytest.mark.parametrize("form", RESULTS)
@pytest.mark.parametrize(
    "more", [(), ("--vote", "3"), ("--double-check",), ("--budget", "3")], ids=str
)
def test_the_events_are_those_of_an_engine_here(
    world: Build, form: str, more: tuple[str, ...]
) -> None:
    def lines(found: World, server: int | None) -> list[object]:
        whole = form == "--json"
        objects = [json.loads(text) for text in ([found.out] if whole else found.out.splitlines())]
        kept = [one for one in objects if one.get("stage") != "load"]
        for one in kept:
            stats = one.get("stats", {})
            for name in [name for name in stats if name.endswith("_s")]:
                del stats[name]  # a clock that counts how often it is read
        assert kept[-1]["stats"].pop("server_pid") == server
        return kept

    words = [f"thought {number}\n\n" for number in range(9)] + list(SAID)
    with lending(world, ScriptedEngine(words, ("so", " it is"))):
        lent = world(OWN)
        code = lent.run(*QUESTION, form, *more)
    own = world(engine=ScriptedEngine(words, ("so", " it is")))
    assert own.run(*QUESTION, form, *more) == code
    assert lines(lent, os.getpid()) == lines(own, None)
    assert own.err == lent.err


def test_it_is_told_whose_model_answered(world: Build) -> None:
    with lending(world):
        lent, own = world(OWN), world(OWN)
        assert lent.run(*QUESTION, "-v") == 0
        assert own.run(*QUESTION, "-v", "--no-server") == 0
    said = f"model of the server (pid {os.getpid()})"
    assert (said in lent.err, "of the server" in own.err) == (True, False)


def test_where_the_server_goes_before_it_answers_the_own_model_is_told(world: Build) -> None:
    asked = world(OWN)
    (config.read(asked.env).cache_folder / "warm").mkdir(parents=True, mode=0o700)
    listener, path = listening(folder_of(asked))

    def vanish() -> None:
        line, _ = listener.accept()
        receive(line)
        send(line, {"lent": True})
        receive(line)
        line.close()

    speaking = threading.Thread(target=vanish)
    speaking.start()
    assert asked.run(*QUESTION, "--json") == 0
    speaking.join()
    listener.close()
    path.unlink()
    found = json.loads(asked.out)
    assert (found["answer"], found["stats"]["server_pid"]) == ("own words", None)


def test_the_run_is_in_the_history_of_who_asked_and_once(world: Build) -> None:
    with lending(world):
        asked = world(OWN)
        assert asked.run(*QUESTION) == 0
    found = world()
    assert found.run("log", "list", "--json") == 0
    assert len(json.loads(found.out)["runs"]) == 1
    last = world()
    assert (last.run("last", "--answer"), last.out) == (0, "lent words\n")


def test_an_error_of_the_engine_is_the_same_error(world: Build) -> None:
    from qvq_mlx.core.errors import DoesNotFitError
    from qvq_mlx.core.remedies import AskAgain, Field

    def fail(_index: int, _control: Control) -> None:
        message = ("it does not fit (", Field.MAX_TOKENS, ")")
        raise DoesNotFitError(message, AskAgain(((Field.MAX_TOKENS, "5"),)))

    def engine() -> ScriptedEngine:
        return ScriptedEngine(SAID, on_token=fail)

    with lending(world, engine()):
        lent = world(OWN)
        code = lent.run(*QUESTION)
    own = world(engine=engine())
    assert (own.run(*QUESTION), own.err) == (code, lent.err)
    assert code == 5


def test_a_bug_of_the_engine_is_told_as_one_and_the_server_goes_on(world: Build) -> None:
    failing = [True]

    def fail(_index: int, _control: Control) -> None:
        if failing.pop():
            failing.append(False)
            raise RuntimeError("a wheel came off")
        failing.append(False)

    with lending(world, ScriptedEngine(SAID, on_token=fail)):
        first, second = world(OWN), world(OWN)
        assert first.run(*QUESTION) == 1
        assert "RuntimeError: a wheel came off (this is a bug)" in first.err
        assert (second.run(*QUESTION), second.out) == (0, "lent words\n")


@dataclass
class Held:
    """An engine that waits at its second token."""

    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    tokens: int = 0

    def on_token(self, index: int, _control: Control) -> None:
        self.tokens += 1
        if index == 1:
            self.reached.set()
            assert self.go_on.wait(CEILING_S)


def test_a_borrower_that_leaves_stops_the_decode_within_one_token(world: Build) -> None:
    held = Held()
    words = [f"{number} " for number in range(5000)]
    with lending(world, ScriptedEngine(words, on_token=held.on_token)) as thread:
        cut: list[socket.socket] = []
        real = socket.socket.connect

        def kept(self: socket.socket, address: object) -> None:
            cut.append(self)
            real(self, address)  # type: ignore[arg-type]

        asked = world(OWN)
        codes: list[int] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket.socket, "connect", kept)
            asking = threading.Thread(target=lambda: codes.append(asked.run(*QUESTION)))
            asking.start()
            assert held.reached.wait(CEILING_S)
        cut[0].shutdown(socket.SHUT_RDWR)
        held.go_on.set()
        asking.join()
        assert codes == [75]  # in the middle of an answer: told, and not begun anew
        assert "ended before its answer did" in asked.err
        eventually(lambda: not thread.is_busy)
        assert held.tokens <= 3
        again = world(OWN)
        assert again.run(*QUESTION, "--max-tokens", "3") == 3


def test_ctrl_c_stops_it_before_the_next_token_and_a_second_question_is_lent(world: Build) -> None:
    tokens: list[int] = []

    def on_token(index: int, _control: Control) -> None:
        tokens.append(index)
        if index == 5 and len(tokens) == 6:
            os.kill(os.getpid(), signal.SIGINT)

    with lending(world, ScriptedEngine([f"{n} " for n in range(5000)], on_token=on_token)):
        asked, again = world(OWN), world(OWN)
        assert asked.run(*QUESTION) == 130
        assert len(tokens) <= 8  # the signal comes to another thread, a token or two later
        assert again.run(*QUESTION, "--max-tokens", "9") == 3


def test_what_is_not_what_is_served_is_answered_here(world: Build) -> None:
    with lending(world):
        hello = {"spoken": "0 something", "pid": 1}
        assert _answer(folder_of(world()), hello) == {"lent": False}
        draft = world(OWN)
        argv = [word if word != "tiny" else "tiny-draft" for word in QUESTION]
        assert (draft.run(*argv), draft.out) == (0, "own words\n")
        uncached = world(OWN)
        assert (uncached.run(*QUESTION, "--no-cache"), uncached.out) == (0, "lent words\n")


def test_a_stale_socket_and_one_that_says_nonsense_are_passed_over(world: Build) -> None:
    asked = world(OWN)
    cache = config.read(asked.env).cache_folder
    (cache / "warm").mkdir(parents=True, mode=0o700)
    folder = folder_of(asked)
    listener, path = listening(folder)
    listener.close()
    assert path.exists()
    assert (asked.run(*QUESTION), asked.out) == (0, "own words\n")
    stale = path.rename(folder / "1.sock")
    listener, path = listening(folder)
    assert not stale.exists()

    def mumble() -> None:
        line, _ = listener.accept()
        receive(line)
        line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        line.close()

    speaking = threading.Thread(target=mumble)
    speaking.start()
    other = world(OWN)
    assert (other.run(*QUESTION), other.out) == (0, "own words\n")
    speaking.join()
    listener.close()


def test_socket_and_folder_are_private_at_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        listener, path = listening(tmp_path / "warm")
    finally:
        os.umask(before)
    listener.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_of_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, path = listening(tmp_path / "warm")
    assert places.sockets(path.parent) == [path]
    path.parent.chmod(0o750)
    assert places.sockets(path.parent) == []
    with pytest.raises(PermissionError):
        listening(path.parent)
    path.parent.chmod(0o700)
    link = tmp_path / "link"
    link.symlink_to(path.parent)
    assert places.sockets(link) == []
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert places.sockets(path.parent) == []
    with pytest.raises(PermissionError):
        listening(path.parent)
    listener.close()


def test_a_path_that_is_too_long_has_its_sockets_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    folder = folder_for(deep)
    try:
        listener, path = listening(folder)
        listener.close()
        assert len(os.fsencode(path)) <= 104
        path.unlink()
    finally:
        folder.rmdir()
    assert folder_for(deep) != folder_for(deep / "other")


def _answer(folder: Path, hello: dict[str, object]) -> dict[str, object]:
    """What a server says to a hello."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(places.sockets(folder)[0]))
        send(line, hello)
        return receive(line)[0]


def test_the_protocol_has_the_version_of_the_program() -> None:
    from qvq_mlx import __version__

    assert SPOKEN.endswith(__version__)


class InCompany(ScriptedEngine):
    """Counts how often several questions are asked at a time."""

    companies = 0

    def generate_each(
        self, asked: Iterator[Asked], most: int, beyond: float | None = None
    ) -> Iterator[tuple[int, Step]]:
        self.companies += 1
        return super().generate_each(asked, most, beyond)


@pytest.mark.parametrize("parallel", ["1", "3"])
def test_a_batch_has_the_records_of_an_engine_here(world: Build, parallel: str) -> None:
    questions = [word for number in range(5) for word in ("-Q", f"How many {number}?")]
    argv = ("batch", "-m", "tiny", PICTURE, *questions, "--parallel", parallel)

    def records(found: World, server: int | None) -> list[object]:
        lines = [json.loads(line) for line in found.out.splitlines()]
        assert {one["stats"].pop("server_pid") for one in lines} == {server}
        for one in lines:
            for name in [name for name in one["stats"] if name.endswith("_s")]:
                del one["stats"][name]
        return lines

    engine = InCompany(SAID)
    with lending(world, engine):
        lent = world(OWN)
        assert lent.run(*argv) == 0, lent.err
    assert engine.companies == (parallel == "3")
    own = world(SAID)
    assert own.run(*argv, "--no-server") == 0
    found = records(lent, os.getpid())
    assert len(found) == 5
    assert found == records(own, None)
    assert "lent words" in lent.out


@pytest.mark.parametrize("parallel", ["1", "3"])
def test_an_item_whose_server_dies_is_asked_again_here(world: Build, parallel: str) -> None:
    questions = [word for number in range(5) for word in ("-Q", f"How many {number}?")]
    tokens = 0

    def die(_index: int, _control: Control) -> None:
        nonlocal tokens
        tokens += 1
        if tokens == 6:
            raise GoneError("as a process that is killed closes its socket")

    engine = InCompany(SAID, on_token=die)
    with lending(world, engine):
        asked = world(OWN)
        argv = ("batch", "-m", "tiny", PICTURE, *questions, "--parallel", parallel)
        assert asked.run(*argv) == 0, asked.err
    found = [json.loads(line) for line in asked.out.splitlines()]
    assert {one["status"] for one in found} == {"answered"}
    assert {one["question"] for one in found} == {f"How many {number}?" for number in range(5)}
    lent = [one for one in found if one["stats"]["server_pid"] is not None]
    assert {one["answer"] for one in lent} <= {"lent words"}
    # alone the first one was answered before; in company nothing was, and the server lives on
    assert len(lent) == (1 if parallel == "1" else 5)
    assert engine.companies == (0 if parallel == "1" else 2)
    assert {one["answer"] for one in found if one not in lent} <= {"own words"}


def test_questions_that_fail_to_come_leave_the_line_in_step(world: Build) -> None:
    engine, (here, there) = ScriptedEngine(SAID), socket.socketpair()
    desk = Desk(there)

    def load(control: Control) -> Generator[Event, None, Engine | None]:
        return engine.load(Checkpoint(registry.find("tiny"), Path()), Setup(), control)

    serving = threading.Thread(target=lambda: desk.serve(load, lambda: False))
    serving.start()
    here.settimeout(60)
    lent = BorrowedEngine(Line(here, 1), lambda _: pytest.fail("the server is there"), Control())
    assert [*lent.loaded()]
    sampling = registry.find("tiny").sampling

    def asked() -> Iterator[Asked]:
        yield Asked(lent.prompt("One?", (), None), Generation(sampling, 9, ""), Control())
        raise ZeroDivisionError("no second question")

    with pytest.raises(ZeroDivisionError):
        list(lent.generate_each(asked(), 2))
    assert lent.prompt("Two?", (), None).ids == (1, 2, 3)
    steps = lent.generate(lent.prompt("Two?", (), None), Generation(sampling, 9, ""), Control())
    assert "lent" in [step.text for step in steps if isinstance(step, Token)]
    lent.close()
    serving.join()
