"""The servers that run are listed, and one is ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qvq_mlx.settings import config
from qvq_mlx.system.footprint import footprint_bytes
from qvq_mlx.warm import servers
from qvq_mlx.warm.frames import receive, send
from qvq_mlx.warm.places import folder_for
from qvq_mlx.warm.sockets import listening
from tests.conftest import ScriptedEngine, World
from tests.support.waiting import CEILING_S, eventually
from tests.warm.lent import OWN, QUESTION, SAID, Build, killed, lending, sockets_in, started
from tests.warm.test_lent import Held


def listed(world: Build) -> list[dict[str, object]]:
    """What `ps --json` says of the servers."""
    asked = world()
    assert asked.run("ps", "--json") == 0
    found: list[dict[str, object]] = json.loads(asked.out)["servers"]
    return found


def lender(world: Build) -> int:
    """The server that answers a question."""
    asked = world()
    assert asked.run(*QUESTION, "--json") == 0
    pid: int = json.loads(asked.out)["stats"]["server_pid"]
    return pid


def folder_of(world: World) -> Path:
    return folder_for(config.read(world.env).cache_folder)


def test_where_nothing_runs_it_says_so(world: Build) -> None:
    assert listed(world) == []
    piped, stopped, named = world(), world(), world()
    assert (piped.run("ps"), piped.out) == (0, "model\tpid\taddress\tstate\tmemory\n")
    assert (stopped.run("stop"), stopped.err) == (2, "error[no-server]: no server of yours runs\n")
    assert (named.run("stop", "tiny"), named.out) == (2, "")


def test_a_server_that_runs_is_listed(world: Build) -> None:
    held = Held()
    with lending(world, ScriptedEngine(SAID, on_token=held.on_token)):
        (idle,) = listed(world)
        assert idle["pid"] == os.getpid()
        assert (idle["answers"], idle["loaded"], idle["waiting"]) == (True, False, 0)
        assert (idle["model"], idle["address"]) == ("qvq-tiny", "http://127.0.0.1:1")
        assert isinstance(idle["memory_bytes"], int)
        assert idle["memory_bytes"] > 2**20
        assert idle["idle_s"] is not None
        asking = threading.Thread(target=lambda: world(OWN).run(*QUESTION))
        asking.start()
        assert held.reached.wait(CEILING_S)
        (busy,) = listed(world)
        table = world()
        assert table.run("ps") == 0
        assert f"qvq-tiny\t{os.getpid()}\thttp://127.0.0.1:1\tanswers\t" in table.out
        held.go_on.set()
        asking.join()
        assert busy["idle_s"] is None
        eventually(lambda: listed(world)[0]["loaded"])
        again = world()
        assert again.run("ps") == 0
        assert "\tidle for " in again.out


def test_a_server_of_another_version_is_listed_too(world: Build) -> None:
    """What is asked names no version, and what it says besides is passed over."""
    asked = world()
    (config.read(asked.env).cache_folder / "warm").mkdir(parents=True, mode=0o700)
    listener, path = listening(folder_of(asked))

    def tell() -> None:
        line, _ = listener.accept()
        assert receive(line)[0] == {"asks": "state"}
        said = {"asks": "state", "qvq": "99.0", "model": "new", "address": "there", "more": [1]}
        send(line, said)
        line.close()

    speaking = threading.Thread(target=tell)
    speaking.start()
    (entry,) = listed(world)
    speaking.join()
    listener.close()
    path.unlink()
    assert (entry["qvq"], entry["model"], entry["loaded"]) == ("99.0", "new", None)


def test_a_server_that_says_nothing_is_listed_and_does_not_end(
    world: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "_ANSWER_S", 0.05)
    asked = world()
    (config.read(asked.env).cache_folder / "warm").mkdir(parents=True, mode=0o700)
    listener, path = listening(folder_of(asked))
    try:
        (entry,) = listed(world)
        assert (entry["answers"], entry["model"]) == (False, None)
        stopped = world()
        assert stopped.run("stop") == 75
        assert f"kill {os.getpid()}" in stopped.err
    finally:
        listener.close()
        path.unlink()
    assert listed(world) == []


def test_a_server_is_ended_by_its_process_id_or_as_the_only_one(
    world: Build, tmp_path: Path
) -> None:
    home = tmp_path / "qvq"
    first, second = started(home), started(home)
    try:
        assert {entry["pid"] for entry in listed(world)} == {first.pid, second.pid}
        assert lender(world) == max(first.pid, second.pid)
        several = world()
        assert several.run("stop", "tiny") == 2
        assert str(first.pid) in several.err
        assert str(second.pid) in several.err
        one = world()
        assert one.run("stop", str(first.pid)) == 0
        assert one.out == f"qvq-tiny (pid {first.pid}) has ended\n"
        assert first.wait() == 0  # it had ended when the command did
        assert [path.stem for path in sockets_in(home)] == [str(second.pid)]
        assert lender(world) == second.pid
        last = world()
        assert (last.run("stop", "tiny"), second.wait()) == (0, 0)
        assert not folder_for(home / "cache").exists()
        assert world().run("stop") == 2
    finally:
        killed(first)
        killed(second)


def test_a_server_that_is_killed_meanwhile_has_ended(tmp_path: Path) -> None:
    folder = tmp_path / "warm"
    listener, path = listening(folder)

    def vanish() -> None:
        line, _ = listener.accept()
        receive(line)
        listener.close()
        line.close()

    speaking = threading.Thread(target=vanish)
    speaking.start()
    assert servers.ended(folder, int(path.stem))
    speaking.join()
    assert servers.running(folder) == ()


def test_a_footprint_is_what_a_process_holds() -> None:
    held = footprint_bytes(os.getpid())
    assert held is not None
    assert held > 2**22
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert footprint_bytes(child.pid) is None


def test_somebody_else_s_server_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener, path = listening(tmp_path / "warm")
    monkeypatch.setattr(servers, "same_user", lambda _line: False)
    assert servers.running(path.parent) == ()
    listener.close()


def test_a_server_that_starts_is_not_taken_for_one_that_was_left(tmp_path: Path) -> None:
    """Its socket has no name until it listens; that of a process that is gone goes."""
    folder = tmp_path / "warm"
    listener, path = listening(folder)
    (folder / f"{os.getppid()}.new").touch()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (folder / f"{gone.pid}.new").touch()
    (folder / f"{gone.pid}.sock").touch()
    path.rename(folder / f"{os.getppid()}.sock")  # another server's, which listens
    with listener:
        other, named = listening(folder)
        with other:
            left = {one.name for one in folder.iterdir()}
    assert left == {f"{os.getppid()}.new", f"{os.getppid()}.sock", named.name}
