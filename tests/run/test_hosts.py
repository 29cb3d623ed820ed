"""A question whose model is split among machines: it is answered, or ends in one line.

The other machine is a process on this one, reached as a machine without ssh, or through a program
`ssh` that runs here what it is told to run there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from qvq_mlx.core.errors import ExitCode
from qvq_mlx.families import ModelType
from tests.conftest import ROOT
from tests.engine.families import write
from tests.evaluate.data_sets import mathvision
from tests.support.waiting import CEILING_S, eventually

PICTURE = str(ROOT / "tests" / "data" / "tiny" / "count-1.png")
ASKED = ("-i", PICTURE, "-Q", "How many?", "--max-tokens")
LONG = '{"type": "array", "minItems": 3000, "items": {"type": "integer"}}'
WITHOUT_END = (*ASKED, "6000", "--jsonl", "--schema", LONG)
"""More than a pipe holds: who does not read it finds it running."""
SSH = """#!/bin/sh
while [ "$1" != elsewhere ]; do shift; done
shift
{ sh -c "$*" 2>&1 1>&3 3>&- | cat >&2; } 3>&1
"""
"""Its standard error is a pipe there, as that of sshd is."""


class Machine:
    """A home with a model, a hostfile, and a program `ssh`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = write(ModelType.QWEN2_VL, folder / "a model")
        self.hosts("127.0.0.1")
        self.ssh(SSH)

    def hosts(self, other: str) -> None:
        """Name the other machine."""
        both = [{"ssh": ssh, "ips": ["127.0.0.1"], "rdma": []} for ssh in ("127.0.0.1", other)]
        found = {"backend": "ring", "envs": ["A_VARIABLE=1"], "hosts": both}
        (self.folder / "hosts.json").write_text(json.dumps(found))

    def ssh(self, script: str) -> None:
        programs = self.folder / "programs"
        programs.mkdir(exist_ok=True)
        (programs / "ssh").write_text(script)
        (programs / "ssh").chmod(0o700)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "qvq_mlx", *words]

    @property
    def environ(self) -> dict[str, str]:
        home = str(self.folder / "home")
        path = f"{self.folder / 'programs'}:{os.environ['PATH']}"
        return {**os.environ, "QVQ_HOME": home, "HOME": home, "PATH": path}

    def started(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words), env=self.environ, cwd=ROOT, stdout=-1, stderr=-1, text=True
        )

    def split(self, command: str, *words: str) -> subprocess.Popen[str]:
        hosts = ("--hosts", str(self.folder / "hosts.json"))
        return self.started(command, "-m", str(self.model), *hosts, *words)

    def ended(self, *words: str) -> tuple[int, str, str]:
        done = self.started(*words)
        out, err = done.communicate(timeout=CEILING_S)
        return done.returncode, out, err


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def processes(*which: str) -> list[str]:
    """A line for each: its id, its parent's, its state."""
    command = ["ps", *which, "-o", "pid=,ppid=,stat="]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.splitlines()


def descendants(pid: int) -> list[int]:
    """The processes below one, the nearest first."""
    rows = [line.split() for line in processes("-A")]
    below = [int(child) for child, parent, stat in rows if int(parent) == pid and stat[0] != "Z"]
    return below + [deeper for child in below for deeper in descendants(child)]


def lives(pid: int) -> bool:
    return any(line.split()[2][0] != "Z" for line in processes("-p", str(pid)))


def machines_of(process: subprocess.Popen[str]) -> list[int]:
    """The process that leads, and the one that follows, as soon as both are there."""
    eventually(lambda: len(descendants(process.pid)) == 2 or process.poll() is not None)
    return descendants(process.pid)


def follower_of(process: subprocess.Popen[str]) -> int:
    """The process that follows, behind those of the program `ssh`."""
    follows = f"{sys.executable} -m qvq_mlx.run.host_follow"
    found: list[int] = []

    def seen() -> bool:
        command = ["ps", "-A", "-ww", "-o", "pid=,args="]  # not cut to a window
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows = [row.split(maxsplit=1) for row in done.stdout.splitlines()]
        argv = {int(row[0]): row[1] for row in rows if len(row) > 1}
        found[:] = [pid for pid in descendants(process.pid) if argv.get(pid) == follows]
        return len(found) == 1 or process.poll() is not None

    eventually(seen)
    assert found, process.communicate()
    return found[0]


@pytest.fixture
def answering(machine: Machine) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A question in the middle of its answer, and the processes of its machines."""
    asking = machine.split("ask", *WITHOUT_END)
    assert asking.stdout is not None
    ours = machines_of(asking)
    eventually(lambda: '"answer"' in asking.stdout.readline() or asking.poll() is not None)
    yield asking, ours
    asking.kill()
    asking.communicate()


@pytest.mark.parametrize("other", ["127.0.0.1", "elsewhere"])
def test_two_machines_answer_what_one_answers(machine: Machine, other: str) -> None:
    machine.hosts(other)
    asking = machine.split("ask", *ASKED, "30", "--json")
    out, err = asking.communicate(timeout=CEILING_S)
    alone = machine.ended("ask", "-m", str(machine.model), *ASKED, "30", "--json")
    assert (asking.returncode, err) == (3, alone[2])  # a random model comes to no answer
    assert json.loads(out)["partial_answer"] == json.loads(alone[1])["partial_answer"]


@pytest.mark.parametrize("number", [0, 1], ids=["leads", "follows"])
def test_a_machine_that_ends_at_the_start_is_one_line(machine: Machine, number: int) -> None:
    asking = machine.split("ask", *ASKED, "3000")
    ours = machines_of(asking)
    os.kill(ours[number], signal.SIGKILL)
    _, err = asking.communicate(timeout=CEILING_S)
    assert (asking.returncode, err.count("\n")) == (75, 1), err
    assert err.startswith("error[host-gone]: ")
    eventually(lambda: not any(map(lives, ours)))


@pytest.mark.parametrize("number", [0, 1], ids=["leads", "follows"])
def test_a_machine_that_ends_in_an_answer_leaves_what_there_is(
    machine: Machine, answering: tuple[subprocess.Popen[str], list[int]], number: int
) -> None:
    asking, ours = answering
    os.kill(ours[number], signal.SIGKILL)
    _, err = asking.communicate(timeout=CEILING_S)
    assert (asking.returncode, err.count("\n")) == (75, 1), err
    eventually(lambda: not any(map(lives, ours)))
    _, saved, _ = machine.ended("log", "show", "--json")
    assert json.loads(saved)["partial_answer"]


def test_a_machine_that_ends_after_it_joined_is_not_said_to_be_out_of_reach(
    machine: Machine,
) -> None:
    machine.hosts("elsewhere")
    asking = machine.split("ask", *WITHOUT_END)
    assert asking.stdout is not None
    eventually(lambda: '"answer"' in asking.stdout.readline() or asking.poll() is not None)
    os.kill(follower_of(asking), signal.SIGKILL)
    _, err = asking.communicate(timeout=CEILING_S)
    assert asking.returncode == 75, err
    assert err.startswith("error[host-gone]: ")
    assert "reach" not in err


def test_the_machines_end_with_the_question(
    answering: tuple[subprocess.Popen[str], list[int]],
) -> None:
    asking, ours = answering
    asking.kill()
    eventually(lambda: not any(map(lives, ours)))


def test_a_stop_ends_them_and_is_saved(
    machine: Machine, answering: tuple[subprocess.Popen[str], list[int]]
) -> None:
    asking, ours = answering
    asking.send_signal(signal.SIGINT)
    asking.communicate(timeout=CEILING_S)
    assert asking.returncode == 130
    eventually(lambda: not any(map(lives, ours)))
    assert "partial_answer" in machine.ended("log", "show", "--json")[1]


def test_a_batch_loads_once_and_ends_with_a_machine(machine: Machine, tmp_path: Path) -> None:
    pictures = sorted(str(path) for path in (ROOT / "tests" / "data" / "tiny").glob("*.png"))
    records = tmp_path / "answers.jsonl"
    work = ("-Q", "How many?", "--max-tokens", "40", "-o", str(records))
    running = machine.split("batch", *pictures, *work)
    ours = machines_of(running)
    eventually(lambda: records.is_file() and records.read_text().count("\n") > 1)
    assert descendants(running.pid) == ours
    os.kill(ours[1], signal.SIGKILL)
    _, err = running.communicate(timeout=CEILING_S)
    assert running.returncode == 75, err
    assert err.splitlines()[-1].startswith("error[host-gone]: "), err
    eventually(lambda: not any(map(lives, ours)))


def test_another_version_is_told_apart(machine: Machine) -> None:
    machine.hosts("elsewhere")
    machine.ssh('#!/bin/sh\nread told\necho \'{"spoken": "version 0.0.1", "ring": []}\'\ncat\n')
    asking = machine.split("ask", *ASKED, "30")
    _, err = asking.communicate(timeout=CEILING_S)
    assert asking.returncode == 75
    assert err.startswith("error[host-gone]: elsewhere has version 0.0.1, and this machine has ")


def test_a_machine_with_too_little_memory_is_told_before_it_reads(machine: Machine) -> None:
    machine.hosts("elsewhere")
    told = 's/"working_set_bytes": [0-9]*/"working_set_bytes": 1024/'
    machine.ssh(SSH.replace("3>&1\n", f"3>&1 | sed -u '{told}'\n"))
    done = machine.split("ask", str(ROOT / "examples" / "sum.png"), "Why?")
    _, err = done.communicate(timeout=CEILING_S)
    assert done.returncode == ExitCode.NO_MEMORY, err
    assert "error[does-not-fit]: elsewhere has " in err
    assert "1 KiB is what its GPU may use" in err
    assert len(err.splitlines()) <= 2


def test_a_machine_that_cannot_be_reached_says_why(machine: Machine) -> None:
    machine.hosts("elsewhere")
    machine.ssh("#!/bin/sh\necho 'ssh: Could not resolve hostname elsewhere' >&2\nexit 255\n")
    asking = machine.split("ask", *ASKED, "30")
    _, err = asking.communicate(timeout=CEILING_S)
    assert asking.returncode == 75
    assert "ssh: Could not resolve hostname elsewhere" in err


def test_a_machine_in_the_middle_of_a_pass_ends_with_the_one_that_leads() -> None:
    """MLX waits without an end for some machines that are gone."""
    script = (
        "import sys, threading\n"
        "from qvq_mlx.run.host_follow import Told\n"
        "told = Told(sys.stdin.buffer)\n"
        "print(told.next().decode(), end='', flush=True)\n"
        "threading.Event().wait()\n"
    )
    follows = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdin=-1, stdout=-1)
    try:
        assert follows.stdin is not None
        assert follows.stdout is not None
        follows.stdin.write(b"a pass\n")
        follows.stdin.flush()
        assert follows.stdout.readline() == b"a pass\n"
        assert follows.poll() is None
        follows.stdin.close()
        assert follows.wait(CEILING_S) == 75
    finally:
        follows.kill()
        follows.stdout.close()


@pytest.mark.parametrize("lost", ["weights", "address"])
def test_what_another_machine_lacks_is_named(tmp_path: Path, lost: str) -> None:
    told = {"rank": 1, "ring": [], "envs": [], "folder": str(tmp_path), "sizes": {"a": 1}}
    lines = [{"ips": ["203.0.113.7" if lost == "address" else "127.0.0.1"]}, told]
    done = subprocess.run(
        [sys.executable, "-m", "qvq_mlx.run.host_follow"],
        input="".join(f"{json.dumps(line)}\n" for line in lines),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])["error"]
    assert ("203.0.113.7" if lost == "address" else str(tmp_path)) in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("{", "is no hostfile"),
        ("7", "is no hostfile"),
        ('[{"ips": ["10.0.0.1"]}]', "is no hostfile"),
        ('[{"ssh": "a", "ips": ["10.0.0.1"]}]', "fewer than two"),
        ('[{"ssh": "a", "ips": ["10.0.0.1"]}, {"ssh": "b"}]', "gives no address of b"),
        ('[{"ssh": "a", "ips": ["1"]}, {"ssh": "-oX", "ips": ["2"]}]', "-oX is no name"),
        ('{"backend": "jaccl", "hosts": []}', "asks for the backend jaccl"),
    ],
)
def test_a_hostfile_that_is_none_is_refused(
    machine: Machine, text: str | None, message: str
) -> None:
    path = machine.folder / "hosts.json"
    path.unlink() if text is None else path.write_text(text)
    asking = machine.split("ask", *ASKED, "30")
    _, err = asking.communicate(timeout=CEILING_S)
    assert (asking.returncode, message in err) == (2, True), err


@pytest.mark.parametrize("turned", [False, True])
def test_offline_and_other_machines_exclude_each_other(machine: Machine, *, turned: bool) -> None:
    both = ("--offline", "--hosts", str(machine.folder / "hosts.json"))
    words = (*both[1:], both[0]) if turned else both
    code, _, err = machine.ended("ask", *words, "-m", str(machine.model), *ASKED, "30")
    assert (code, "--hosts and --offline exclude each other" in err) == (2, True), err


def test_a_server_has_its_machines_start_again(machine: Machine) -> None:
    """A question that comes after one of them ended is answered as the one before."""
    server = machine.split("serve", "--port", "0", "--kv-bits", "8")
    assert server.stderr is not None
    address = server.stderr.readline().split("served at ")[1].split()[0]

    def asked() -> str:
        body = {
            "model": "a model",
            "max_tokens": 12,
            "messages": [{"role": "user", "content": "?"}],
        }
        kind = {"Content-Type": "application/json"}
        request = Request(f"{address}/v1/chat/completions", json.dumps(body).encode(), kind)
        with urlopen(request, timeout=CEILING_S) as answer:
            said: str = json.load(answer)["choices"][0]["message"]["content"]
        return said

    try:
        first = asked()
        _, follower = machines_of(server)
        os.kill(follower, signal.SIGKILL)
        eventually(lambda: not descendants(server.pid))
        assert asked() == first
        assert len(machines_of(server)) == 2
    finally:
        server.terminate()
        server.communicate()


@pytest.mark.slow
def test_an_evaluation_asks_two_machines(machine: Machine, tmp_path: Path) -> None:
    data = tmp_path / "data"
    mathvision(data)
    words = ("mathvision", "--data", str(data), "--max-tokens", "4", "--json", "-o")
    hosts = ("--hosts", str(tmp_path / "hosts.json"), "-m", str(machine.model))
    done = machine.ended("eval", *words, str(tmp_path / "two"), *hosts)
    alone = machine.ended("eval", *words, str(tmp_path / "one"), "-m", str(machine.model))
    assert (done[0], alone[0]) == (0, 0), done[2]
    assert written(tmp_path / "two") == written(tmp_path / "one")


def written(folder: Path) -> list[str]:
    """The replies of an evaluation."""
    lines = (folder / "answers.jsonl").read_text().splitlines()
    return [json.loads(line)["partial_answer"] for line in lines]


def looked_at(machine: Machine, *, rc: int) -> dict[str, tuple[str, str]]:
    """Ask the doctor; by name the verdict and the fact of each line about the machines."""
    hosts = str(machine.folder / "hosts.json")
    code, out, err = machine.ended("doctor", "--json", "--hosts", hosts)
    assert code == rc, (out, err)
    checks = [check for check in json.loads(out)["checks"] if check["topic"] == "hosts"]
    return {check["name"]: (check["verdict"], check["fact"]) for check in checks}


def test_the_doctor_measures_the_ring(machine: Machine) -> None:
    machine.hosts("elsewhere")
    found = looked_at(machine, rc=0)
    assert found["elsewhere"][0] == "ok"
    assert "the same versions; " in found["elsewhere"][1]
    assert "; has qvq-tiny" in found["elsewhere"][1]
    assert found["latency"][1].endswith(" ms")
    assert found["bandwidth"][1].endswith(" MB/s")
    assert all(verdict == "ok" for verdict, _ in found.values())


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\necho no route to elsewhere >&2\nexit 255\n", "no route to elsewhere"),
        ('#!/bin/sh\nread told\necho \'{"spoken": "0.0.1", "ring": []}\'\ncat\n', "it has 0.0.1"),
        (SSH.replace("3>&1\n", "3>&1 | sed -u 's/: true/: false/'\n"), "the files of qvq-tiny"),
    ],
    ids=["not reached", "another version", "no model"],
)
def test_the_doctor_says_why_a_machine_is_no_use(machine: Machine, script: str, said: str) -> None:
    machine.hosts("elsewhere")
    machine.ssh(script)
    verdict, fact = looked_at(machine, rc=75)["elsewhere"]
    assert verdict == "problem"
    assert said in fact


def test_the_doctor_says_that_the_ring_cannot_be_joined(machine: Machine) -> None:
    hosts = [{"ssh": "127.0.0.1", "ips": ["192.0.2.1"]}, {"ssh": "localhost", "ips": ["127.0.0.1"]}]
    (machine.folder / "hosts.json").write_text(json.dumps(hosts))
    verdict, fact = looked_at(machine, rc=75)["ring"]
    assert verdict == "problem"
    assert fact.startswith("192.0.2.1 is no address of this machine: ")
