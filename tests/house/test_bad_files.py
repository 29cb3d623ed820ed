"""A file that somebody put where qvq reads one: a command does without it, or says so in a line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qvq_mlx.core.errors import ExitCode
from tests.conftest import World

Build = Callable[..., World]
ROOT = Path(__file__).parents[2]
PICTURE = str(ROOT / "examples" / "sum.png")
WORDS = ["So.\n", "**Final Answer**\n\n", "\\boxed{7}"]


def put(path: Path, kind: str) -> Path:
    """Something else than what belongs there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.unlink()
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "huge":
            with path.open("wb") as file:
                file.truncate(3 * 2**30)  # sparse
        case "deep":
            path.write_text('{"a":' + "[" * 100_000 + "]" * 100_000 + "}\n" * 2)
        case "deep toml":
            path.write_text("a." * 100_000 + "a = 1\n")
        case "numbers":
            path.write_text('{"version": 1e999, "load": NaN}\n' * 2)
        case _:
            path.write_bytes(b"\xff\xfe\0" * 100)
    return path


KINDS = ("pipe", "device", "huge", "deep", "deep toml", "numbers", "bytes")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_card_stops_nothing(world: Build, tmp_path: Path, kind: str) -> None:
    path = put(tmp_path / "qvq" / "models" / "mine.toml", kind)
    w = world(WORDS)
    assert w.run("ask", "-m", "tiny", PICTURE, "What?") == ExitCode.OK, w.err
    assert "7" in w.out
    for command in ("models", "list"):
        w = world()
        assert w.run(command) == ExitCode.OK, w.err
        assert f"warning: {path} is no model card" in w.err
    w = world(WORDS)
    assert w.run("ask", "-m", "mine", PICTURE, "What?") == ExitCode.USAGE
    assert f"{path} is no model card" in w.err


@pytest.mark.sampled(6)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", [".jsonl", ".part", ".new"])
def test_a_bad_run_stops_nothing(world: Build, tmp_path: Path, kind: str, ending: str) -> None:
    ask = ("ask", "-m", "tiny", PICTURE, "What?")
    assert world(WORDS).run(*ask) == ExitCode.OK
    put(tmp_path / "qvq" / "history" / f"20991231-000000-000000-abcdef01{ending}", kind)
    w = world(WORDS)
    assert w.run(*ask) == ExitCode.OK, w.err
    for command in (("log", "list"), ("last",), ("log", "search", "What"), ("log", "export")):
        w = world()
        assert w.run(*command) == ExitCode.OK, (command, w.err)
        assert w.out
    w = world(WORDS)
    assert w.run("ask", "-c", "-m", "tiny", "And?") == ExitCode.OK, w.err
    assert world().run("log", "prune", "--keep", "1", "--yes") in (ExitCode.OK, ExitCode.TRY_AGAIN)


@pytest.mark.parametrize("kind", KINDS)
def test_bad_measurements_stop_nothing(world: Build, tmp_path: Path, kind: str) -> None:
    ask = ("ask", "-m", "tiny", PICTURE, "What?")
    rates = tmp_path / "qvq" / "cache" / "rates"
    assert world(WORDS).run(*ask) == ExitCode.OK
    for path in rates.glob("*.json"):
        put(path, kind)
    put(tmp_path / "qvq" / "licences.json", kind)
    w = world(WORDS)
    assert w.run(*ask) == ExitCode.OK, w.err
    assert world().run("show", "tiny") == ExitCode.OK


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "numbers"])
def test_a_bad_config_is_one_line(world: Build, tmp_path: Path, kind: str) -> None:
    path = put(tmp_path / "qvq" / "config.toml", kind)
    w = world(WORDS)
    assert w.run("ask", "-m", "tiny", PICTURE, "What?") == ExitCode.USAGE
    assert w.err.startswith(f"error[config]: {path} cannot be read"), w.err


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    ["config.json", "generation_config.json", "preprocessor_config.json", "tokenizer_config.json"],
)
def test_a_bad_checkpoint_is_one_line(world: Build, tmp_path: Path, name: str, kind: str) -> None:
    model = tmp_path / "model"
    shutil.copytree(ROOT / "models" / "qvq-tiny", model)
    put(model / name, kind)
    w = world(WORDS)
    code = w.run("ask", "-m", str(model), PICTURE, "What?")
    assert code in (ExitCode.OK, ExitCode.NO_MODEL), w.err
    assert "this is a bug" not in w.err


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "huge"])
def test_a_batchs_output_that_is_none_stays_as_it_is(
    world: Build, tmp_path: Path, kind: str
) -> None:
    out = put(tmp_path / "out.jsonl", kind)
    before = None if kind in ("pipe", "device") else out.read_bytes()
    w = world(WORDS)
    code = w.run("batch", "-m", "tiny", PICTURE, "-Q", "What?", "-o", str(out))
    assert code == ExitCode.USAGE, w.err
    assert before is None or out.read_bytes() == before
