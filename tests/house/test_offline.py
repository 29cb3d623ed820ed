"""Asking makes no connection, and says nothing that is not qvq's own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.conftest import EXAMPLES

WATCHED = """
import sys
tried = []
sys.addaudithook(lambda name, _: tried.append(name) if name.startswith("socket.") else None)
from qvq_mlx.cli.main import main
from qvq_mlx.cli.world import real_env
code = main(sys.argv[1:], real_env())
clients = ("transformers", "huggingface_hub", "requests", "httpx", "urllib3", "http.client", "ssl")
print("@@", code, sorted(set(tried)), [name for name in clients if name in sys.modules])
"""


def watched(tmp_path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WATCHED, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "QVQ_HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf"), **environ},
    )


def test_asking_makes_no_connection_and_prints_the_answer_alone(tmp_path: Path) -> None:
    done = watched(
        tmp_path,
        "ask",
        "-m",
        "tiny",
        str(EXAMPLES / "shapes.png"),
        "How many red circles are there?",
    )
    answer, _, rest = done.stdout.partition("@@")
    assert answer == "\\boxed{3}\n"
    assert rest.strip() == "0 [] []"
    assert done.stderr == ""
    assert not (tmp_path / "hf").exists()


def test_offline_refuses_whatever_a_library_tries() -> None:
    code = (
        "import socket\nfrom qvq_mlx.run.network import forbid_network\nforbid_network()\n"
        "for act in (lambda: socket.create_connection(('127.0.0.1', 9)),"
        " lambda: socket.getaddrinfo('localhost', 80)):\n"
        "    try:\n        act()\n    except PermissionError as error:\n        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("offline: socket.") == 2


def qvq(command: str) -> tuple[int, str]:
    """A command line of the shell with `qvq` in it: its exit code and its stdout."""
    words = f"{shlex.quote(sys.executable)} -m qvq_mlx"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command.replace('qvq', words)}"],
        capture_output=True,
        text=True,
        cwd=EXAMPLES.parent,
        check=False,
    )
    return done.returncode, done.stdout


def test_streams_that_are_closed_are_no_traceback() -> None:
    ask = 'qvq ask -m tiny examples/shapes.png "How many red circles are there?"'
    assert qvq(f"{ask} <&-") == (0, "\\boxed{3}\n")
    assert qvq(f"{ask} >&-") == (2, "")  # an answer that nobody gets is no success
    assert qvq(f"{ask} 2>&-") == (0, "\\boxed{3}\n")
    assert qvq('qvq ask -m tiny - "How many?" <&-') == (6, "")


def test_a_reader_that_went_away_is_141_for_every_command() -> None:
    for command in ("models", "--help", "models --json", "config list"):
        assert qvq(f"qvq {command} | true")[0] == 141


REFUSED = """
import socket
from qvq_mlx.cli.world import real_env
from qvq_mlx.run.world import open_world
world = open_world(real_env())
for act in (lambda: socket.create_connection(("127.0.0.1", 9), 1),
            lambda: socket.getaddrinfo("localhost", 80)):
    try:
        act()
    except OSError as error:
        print(type(error).__name__)
print(world.network is not None and len(world.network().events))
"""


def test_a_variable_refuses_connections_in_a_real_process(tmp_path: Path) -> None:
    """What `QVQ_OFFLINE=1` means, for every command: they all begin with `open_world`."""
    environ = {**os.environ, "QVQ_HOME": str(tmp_path)}
    command = [sys.executable, "-c", REFUSED]

    def said(**more: str) -> list[str]:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**environ, **more}
        )
        return done.stdout.split()

    kind, other, seen = said(QVQ_OFFLINE="1")
    assert (kind, other) == ("PermissionError", "PermissionError")
    assert int(seen) >= 2
    assert "PermissionError" not in said(QVQ_OFFLINE="0", HF_HUB_OFFLINE="0")
