"""`qvq doctor`: what it says of a machine, and that what it says of the network is true."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from qvq_mlx.cli.spelling import CommandLine
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.network import Network
from qvq_mlx.doctor import examined, without_home
from qvq_mlx.doctor.verdicts import judged
from qvq_mlx.doctor.versions import built_for, needed, satisfies, system_name, versions
from qvq_mlx.images import drawn
from qvq_mlx.records.doctor import Check, Device, Facts, Fault, Health, Library
from qvq_mlx.render.report import write_report
from qvq_mlx.render.rows import cells
from qvq_mlx.run.world import open_world
from tests.conftest import ROOT, ScriptedEngine, World
from tests.house.test_imports import HEAVY, loaded_after
from tests.store.test_store import make_snapshot

Build = Callable[..., World]
GIB = 2**30
RIGHT = ["Two of them.", "\n\n**Final Answer**\n\n", "\\boxed{2}"]
SCHEMA = json.loads((ROOT / "docs" / "schema" / "doctor.schema.json").read_text())


def found(record: Any, topic: str, name: str) -> Check:
    return next(check for check in record.checks if (check.topic, check.name) == (topic, name))


@pytest.fixture
def facts(world: Build) -> Facts:
    """Of a machine on which everything is well but that it has no Metal."""
    return examined(world(RIGHT).env).facts


def test_all_is_well(world: Build) -> None:
    engine = ScriptedEngine(RIGHT)
    w = world(engine=engine)
    assert w.run("doctor") == ExitCode.OK
    assert engine.asked[0][:2] == ("How many red circles are there?", 1)
    assert re.search(r"^ok +answer +2, which is right", w.out, re.MULTILINE)
    assert w.out.splitlines()[-1].startswith("0 problems, ")
    assert w.err == ""
    assert "offline" not in w.out
    assert not (w.env.home / "qvq").exists()  # nothing was written


@pytest.mark.parametrize("words", [["\\boxed{3}"], ["one \\boxed{2} two \\boxed{4}"], ["none"]])
def test_a_wrong_answer_is_a_problem(world: Build, words: list[str]) -> None:
    w = world(words)
    assert w.run("doctor") == ExitCode.INTERNAL
    assert re.search(r"^problem +answer +'\S+' instead of '2'", w.out, re.MULTILINE)
    assert "pip install --force-reinstall mlx mlx-vlm" in w.out


def test_no_answer_is_a_problem(world: Build) -> None:
    w = world(["and so on "] * 600)
    assert w.run("doctor") == ExitCode.INTERNAL
    assert re.search(r"^problem +answer +no answer instead of '2'", w.out, re.MULTILINE)


def test_an_engine_that_fails_is_reported(world: Build) -> None:
    def fails(_index: int, _control: object) -> None:
        raise RuntimeError("libmlx is broken")

    w = world(engine=ScriptedEngine(RIGHT, on_token=fails))
    assert w.run("doctor", "--json") == ExitCode.INTERNAL
    trial = json.loads(w.out)["facts"]["trial"]
    assert trial["fault"]["message"] == "RuntimeError: libmlx is broken"
    assert trial["answer"] is None
    debugged = world(engine=ScriptedEngine(RIGHT, on_token=fails), environ={"QVQ_DEBUG": "1"})
    assert debugged.run("doctor") == ExitCode.INTERNAL
    assert "Traceback" in debugged.err


def test_a_broken_config_file_is_one_problem_among_the_facts(world: Build, tmp_path: Path) -> None:
    (tmp_path / "qvq").mkdir()
    path = tmp_path / "qvq" / "config.toml"
    path.write_text("safe = 1\n")
    w = world(RIGHT)
    assert w.run("doctor") == ExitCode.USAGE
    assert re.search(r"^problem +file +~/qvq/config.toml: unknown key 'safe'", w.out, re.MULTILINE)
    assert "try: qvq config unset safe" in w.out
    assert "2, which is right" in w.out
    path.write_text("colour = 1\n")
    w = world(RIGHT)
    assert w.run("doctor") == ExitCode.OK
    assert re.search(
        r"^warning +key +'colour' in ~/qvq/config.toml is no setting", w.out, re.MULTILINE
    )
    assert "try: qvq config unset colour" in w.out
    path.unlink()
    w = world(RIGHT, environ={"QVQ_THINKING": "loud"})
    assert w.run("doctor") == ExitCode.USAGE
    assert "try: env\n" in w.out


def test_a_broken_card_and_a_model_that_is_not_here(world: Build, tmp_path: Path) -> None:
    w = world(RIGHT, environ={"QVQ_MODEL": "qvq"})
    assert w.run("doctor") == ExitCode.NO_MODEL
    assert re.search(
        r"^problem +configured +qvq-72b-preview is not on this disk", w.out, re.MULTILINE
    )
    (tmp_path / "qvq" / "models").mkdir(parents=True)
    (tmp_path / "qvq" / "models" / "x.toml").write_text("name = ")
    w = world(RIGHT)
    assert w.run("doctor") == ExitCode.USAGE
    assert "2, which is right" in w.out
    assert re.search(r"^problem +cards +~/qvq/models/x.toml is no model card", w.out, re.MULTILINE)


def test_half_a_model_is_a_problem_and_a_download_under_way_is_not(
    world: Build, tmp_path: Path
) -> None:
    hub = tmp_path / "hub"
    folder = make_snapshot(hub, "mlx-community/QVQ-72B-Preview-4bit")
    (hub / "models--mlx-community--Qwen2-VL-2B-Instruct-4bit" / "blobs").mkdir(parents=True)
    w = world(RIGHT, environ={"HF_HUB_CACHE": str(hub)})
    assert w.run("doctor", "--offline") == ExitCode.OK
    assert re.search(r"^warning +qwen2-vl-2b +no snapshot", w.out, re.MULTILINE)
    assert "1 of 2 downloaded models are whole" in w.out
    (folder / "tokenizer.json").unlink()
    w = world(RIGHT, environ={"HF_HUB_CACHE": str(hub)})
    assert w.run("doctor", "--offline", "--json") == ExitCode.NO_MODEL
    record = json.loads(w.out)
    problem = next(check for check in record["checks"] if check["verdict"] == "problem")
    assert (problem["name"], problem["exit_code"]) == ("qvq-72b-preview", 4)
    assert problem["hint"].endswith("mlx-community/QVQ-72B-Preview-4bit")
    assert str(tmp_path) not in w.out
    jsonschema.validate(record, SCHEMA)


@pytest.mark.parametrize(
    ("network", "name", "verdict"),
    [
        (Network(("socket.connect",), (), ("ssl",)), "sockets", Health.PROBLEM),
        (Network((), ("ssl",), ("ssl",)), "network code", Health.WARNING),
        (Network(), "sockets", Health.WARNING),
        (Network((), (), ("ssl",)), "sockets", Health.OK),
    ],
)
def test_offline_says_what_was_seen(
    world: Build, network: Network, name: str, verdict: Health
) -> None:
    order: list[str] = []

    def watch() -> Callable[[], Network]:
        order.append("watch")
        return lambda: network

    env = replace(
        world(RIGHT).env, watch_network=watch, forbid_network=lambda: order.append("forbid")
    )
    opened = open_world(env)
    opened.forbid_network()
    assert order == ["watch", "forbid"]
    assert found(examined(env, opened.network), "offline", name).verdict is verdict
    assert examined(env).facts.network is None


@pytest.mark.parametrize(
    ("machine", "own", "name", "verdict"),
    [
        (Machine(working_set_bytes=48 * GIB), 40 * GIB, "working set", Health.WARNING),
        (Machine(working_set_bytes=48 * GIB), 52 * GIB, "working set", Health.OK),
        (Machine(working_set_bytes=48 * GIB), None, "working set", Health.OK),
        (Machine(), 48 * GIB, "working set", Health.WARNING),
        (Machine(memory_bytes=64 * GIB, wired_limit_bytes=62 * GIB), None, "wired limit",
         Health.WARNING),
        (Machine(memory_bytes=64 * GIB, wired_limit_bytes=56 * GIB), None, "wired limit",
         Health.OK),
        (Machine(power="battery"), None, "power", Health.WARNING),
        (Machine(power="mains"), None, "power", Health.OK),
        (Machine(chip=None), None, "chip", Health.WARNING),
    ],
)  # fmt: skip
def test_the_machine(
    facts: Facts, machine: Machine, own: int | None, name: str, verdict: Health
) -> None:
    changed = replace(facts, machine=machine, device=Device("Apple M4", True, own))
    assert found(judged(changed, CommandLine()), "machine", name).verdict is verdict
    assert found(judged(changed, CommandLine()), "machine", "backend").verdict is Health.OK


def test_a_mac_without_metal_or_with_an_intel_python(facts: Facts) -> None:
    mac = replace(facts.versions, system="macOS 26.1", architecture="arm64")
    changed = replace(facts, versions=mac, device=Device("CPU", False, None))
    assert found(judged(changed, CommandLine()), "machine", "backend").verdict is Health.PROBLEM
    intel = replace(facts, versions=replace(mac, architecture="x86_64"))
    assert found(judged(intel, CommandLine()), "versions", "system").hint.startswith("arch -arm64 ")
    broken = replace(facts, device=None, device_fault=Fault("ImportError: libmlx", "", 1))
    check = found(judged(broken, CommandLine()), "machine", "backend")
    assert (check.verdict, check.fact) == (Health.PROBLEM, "ImportError: libmlx")
    assert judged(broken, CommandLine()).exit_code == ExitCode.INTERNAL


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(2 * GIB, Health.OK), (GIB - 1, Health.WARNING), (2**20, Health.PROBLEM), (None, "warning")],
)
def test_the_disk(facts: Facts, free: int | None, verdict: str) -> None:
    cache = replace(facts.cache, folder=replace(facts.cache.folder, free_bytes=free))
    check = found(judged(replace(facts, cache=cache), CommandLine()), "machine", "qvq's disk")
    assert check.verdict == verdict


def test_a_library_that_is_missing_or_too_old(facts: Facts) -> None:
    libraries = (
        Library("mlx", None, ">=0.32", False),
        Library("mlx-vlm", "0.6.2", "~=0.7.10", False),
        Library("pillow", "13.0.0", "", True),
    )
    record = judged(
        replace(facts, versions=replace(facts.versions, libraries=libraries)), CommandLine()
    )
    assert found(record, "versions", "mlx").hint.endswith("-m pip install 'mlx>=0.32'")
    assert found(record, "versions", "mlx-vlm").fact == "0.6.2; qvq needs mlx-vlm~=0.7.10"
    assert found(record, "versions", "pillow").verdict is Health.OK


@pytest.mark.parametrize(
    ("version", "needs", "fits"),
    [
        ("0.32.4", ">=0.32", True),
        ("0.31.9", ">=0.32", False),
        ("0.7.12", "~=0.7.10", True),
        ("0.7.9", "~=0.7.10", False),
        ("0.8.0", "~=0.7.10", False),
        ("2.0", ">=1.0,<2", False),
        ("1.9rc1", ">=1.0, <2", True),
        ("1.0", "", True),
    ],
)
def test_versions_are_compared(version: str, needs: str, fits: bool) -> None:
    assert satisfies(version, needs) is fits


def test_what_qvq_needs_is_here() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    needs = needed(asked)
    assert needs["mlx-vlm"].startswith("~=")
    here = {library.name: library.version or "" for library in versions().libraries}
    assert all(satisfies(here[name], needs.get(name, "")) for name in here)
    assert all(here.values())


def test_what_drafting_costs_is_told_where_it_was_measured(world: Build, tmp_path: Path) -> None:
    from qvq_mlx.engine.costs import CostBook
    from qvq_mlx.engine.prefix import fingerprint
    from qvq_mlx.engine.speculation import Costs
    from qvq_mlx.store import registry

    env = world(RIGHT).env
    assert found(examined(env), "drafting", "costs").verdict is Health.OK
    card = registry.find("tiny")
    key = fingerprint(registry.folder_of(card, tmp_path))
    CostBook(tmp_path / "qvq" / "cache").keep_costs(key, Costs(0.01, (0.01, 0.03) + (0.2,) * 6))
    check = found(examined(env), "drafting", card.name)
    assert check.fact.startswith("does not pay, even where 90 %")
    assert check.fact.endswith("verifying 2 tokens costs 3.00 single steps of 10.0 ms")
    CostBook(tmp_path / "qvq" / "cache").keep_costs(key, Costs(0.01, (0.01,) * 8))
    check = found(examined(env), "drafting", card.name)
    assert check.fact.startswith("7 drafts pay")


def test_the_home_folder_is_not_told(facts: Facts) -> None:
    card = ModelCard("a", "/home/me/x and /home/me", "", "", ("/home/menu", "/home/me.old"))
    told = without_home(card, {"/home/me", "/"})
    assert isinstance(told, ModelCard)
    assert told.summary == "~/x and ~"
    assert told.aliases == card.aliases
    fault = without_home(Fault("in '/home/me/a b'", "ls -l '/home/me/a b'", 1), {"/home/me"})
    assert fault == Fault("in '~/a b'", "ls -l ~/'a b'", 1)
    assert without_home(facts, {"/nowhere"}) == facts


@pytest.mark.parametrize("columns", [80, 40, 20])
def test_nothing_is_wider_than_the_terminal(world: Build, columns: int) -> None:
    w = world(["\\boxed{3}"], tty=True, size=(columns, 24), environ={"NO_COLOR": "1"})
    record = examined(w.env, Network)
    write_report(w.env, record)
    widest = max(w.out.splitlines(), key=cells)
    assert cells(widest) <= columns, widest
    piped = world()
    write_report(piped.env, record)
    squeezed = re.sub(r"[\s:]", "", w.out)
    assert squeezed.startswith(re.sub(r"[\s:]", "", piped.out))  # nothing is left out
    assert all(check.fact in piped.out for check in record.checks)
    assert "\t" not in piped.out
    assert "\x1b" not in w.out + piped.out


def test_colours_are_for_a_terminal(world: Build) -> None:
    w = world(["\\boxed{3}"], tty=True)
    assert w.run("doctor") == ExitCode.INTERNAL
    assert "\x1b[1;31mproblem\x1b[0m" in w.out


def test_closed_streams(world: Build) -> None:
    env = replace(world(RIGHT).env, stdin=None)  # type: ignore[arg-type]
    assert not examined(env).facts.terminal.stdin_tty


def test_the_picture_holds_what_is_said_of_it() -> None:
    import io

    from PIL import Image

    image = Image.open(io.BytesIO(drawn.shapes())).convert("RGB")
    assert image.size == (280, 280)
    centres = [image.getpixel(at) for at in ((70, 70), (210, 70), (70, 210), (210, 210))]
    assert [max(range(3), key=centre.__getitem__) for centre in centres] == [0, 2, 1, 0]
    assert image.getpixel((140, 140)) == (255, 255, 255)
    assert sum(max(range(3), key=c.__getitem__) == 0 for c in centres) == drawn.RED_CIRCLES


def test_help_loads_nothing_heavy() -> None:
    modules = loaded_after(
        "from qvq_mlx.cli.main import main\nfrom qvq_mlx.cli.world import real_env\n"
        "assert main(['doctor', '--help'], real_env()) == 0"
    )
    assert not {name for name in HEAVY if name in modules}


def run_doctor(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {"HOME": str(tmp_path), "QVQ_HOME": str(tmp_path / "qvq"), "TERM": "xterm"}
    return subprocess.run(
        [sys.executable, "-m", "qvq_mlx", "doctor", *arguments],
        capture_output=True,
        check=False,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environ, "HF_HOME": str(tmp_path / "hf")},
        stdin=subprocess.DEVNULL,
    )


def test_the_embedded_model_answers_and_tries_no_connection(tmp_path: Path) -> None:
    done = run_doctor(tmp_path, "--offline", "--json")
    record = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    jsonschema.validate(record, SCHEMA)
    trial, network = record["facts"]["trial"], record["facts"]["network"]
    assert (trial["answer"], trial["expected"], trial["fault"]) == ("2", "2", None)
    assert trial["generated_tokens"] > 20
    assert trial["tokens_per_s"] > 0
    assert 0 < trial["load_s"] < trial["total_s"]
    assert (network["events"], network["modules"]) == ([], [])
    assert "ssl" in network["looked_for"]
    assert str(tmp_path) not in done.stdout
    assert not (tmp_path / "qvq").exists()


def test_a_connection_that_is_tried_is_seen_and_refused() -> None:
    code = (
        "import socket\nfrom qvq_mlx.run.network import forbid_network, watch_network\n"
        "seen = watch_network()\nforbid_network()\n"
        "try:\n    socket.create_connection(('127.0.0.1', 9))\n"
        "except PermissionError:\n    import http.client\n    print(seen())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'socket.getaddrinfo'" in done.stdout
    assert "modules=('http.client'" in done.stdout


def test_a_python_that_sees_an_older_macos_is_told_from_the_system() -> None:
    """https://github.com/python/cpython/issues/135675: 16.0 for 26.0, 10.16 for 11.0."""
    asked: list[tuple[str, ...]] = []

    def sw_vers(command: Sequence[str]) -> str:
        asked.append(tuple(command))
        return "26.2"

    assert system_name("16.0", sw_vers) == (
        "macOS 26.2 (this Python sees 16.0: SYSTEM_VERSION_COMPAT)"
    )
    # sw_vers is told too: the variable is inherited
    assert asked == [
        ("/usr/bin/env", "SYSTEM_VERSION_COMPAT=0", "/usr/bin/sw_vers", "-productVersion")
    ]
    assert system_name("26.2", sw_vers) == "macOS 26.2"
    assert system_name("14.5", lambda _command: "") == "macOS 14.5"
    assert system_name("", sw_vers).startswith("Linux ") or sys.platform != "linux"


@pytest.mark.parametrize(
    ("tag", "system", "verdict"),
    [
        ("py3-none-macosx_26_0_arm64", "macOS 26.1", Health.WARNING),
        ("py3-none-macosx_26_0_arm64", "macOS 26.1 (this Python sees 16.0: X)", Health.WARNING),
        ("py3-none-macosx_26_0_arm64", "macOS 26.2", Health.OK),
        ("py3-none-macosx_15_0_arm64", "macOS 26.0", Health.OK),
        ("py3-none-manylinux_2_35_x86_64", "macOS 14.0", Health.OK),
    ],
)
def test_the_wheel_for_macos_26_wants_26_2(
    facts: Facts, tag: str, system: str, verdict: Health
) -> None:
    """https://github.com/ml-explore/mlx/issues/4525: tagged macosx_26_0, built for 26.2."""
    wheel = built_for(f"Wheel-Version: 1.0\nTag: {tag}\n")
    mac = replace(facts.versions, system=system, architecture="arm64", mlx_built_for=wheel)
    check = found(judged(replace(facts, versions=mac), CommandLine()), "versions", "system")
    assert check.verdict is verdict
    assert ("built for macOS 26.2" in check.fact) is (verdict is Health.WARNING)


def test_what_is_not_well_is_in_sight_at_the_end(world: Build) -> None:
    """The report is higher than a window; a pipe gets each fact once."""
    w, pipe = world(tty=True, size=(80, 24), environ={"CI": "true"}), world(environ={"CI": "true"})
    w.run("doctor")
    pipe.run("doctor")
    screen = re.sub(r"\x1b\[[0-9;]*m", "", w.out)
    parts = screen.split("\n\n")
    found, again = (
        re.findall(r"^(?:warning|problem) +\S+ ", part, re.MULTILINE)
        for part in ("".join(parts[:-1]), parts[-1])
    )
    assert found
    assert again == found
    assert pipe.out.rstrip().endswith(("warning", "warnings"))
