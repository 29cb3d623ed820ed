"""No output replaces an input or another output: every option, every kind of input, every twin."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qvq_mlx.core.errors import ExitCode
from tests.conftest import World

Build = Callable[..., World]
ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "examples" / "sum.png"
WORDS = ["It is seven.\n", "**Final Answer**\n\n", "\\boxed{7}"]
POINTING = ['[{"bbox_2d": [1, 2, 30, 40], "label": "a"}]']
TWINS = ("same", "symlink", "two links", "hard link", "case", "detour")


def twin(of: Path, kind: str) -> Path:
    """Another name of a file."""
    folder = of.parent.parent / "elsewhere"
    folder.mkdir(exist_ok=True)
    name = folder / of.name
    match kind:
        case "same":
            return of
        case "symlink":
            name.symlink_to(of)
        case "two links":
            (folder / "between").symlink_to(of)
            name.symlink_to("between")
        case "hard link":
            name.hardlink_to(of)
        case "case":
            return of.with_name(of.name.upper().replace(".PNG", ".png"))
        case _:
            return of.parent / ".." / of.parent.name / of.name
    return name


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return Path(shutil.copy(PICTURE, folder / "sum.png"))


def listing(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "qvq" not in path.relative_to(folder).parts
    }


def refused(w: World, folder: Path, *argv: str) -> None:
    """It is a usage error, and nothing was written."""
    before = listing(folder)
    assert w.run(*argv) == ExitCode.USAGE, w.err
    assert w.err.startswith("error[usage]: "), w.err
    assert listing(folder) == before
    assert w.out == ""


@pytest.mark.parametrize("kind", TWINS)
@pytest.mark.parametrize("form", ["path", "url", "glob", "second"])
@pytest.mark.parametrize("option", ["-o", "--annotate"])
def test_ask_replaces_no_picture(
    world: Build, tmp_path: Path, picture: Path, option: str, form: str, kind: str
) -> None:
    given = {
        "path": [str(picture)],
        "url": [picture.as_uri()],
        "glob": [str(picture.parent / "*.png")],
        "second": [str(PICTURE), str(picture)],
    }[form]
    output = twin(picture, kind)
    if form == "second" and option == "--annotate":  # sum.png of two pictures is sum-2.png
        renamed = picture.rename(picture.with_name("sum-2.png"))
        given, output = [str(PICTURE), str(renamed)], picture
        if kind != "same":
            return
    w = world(WORDS)
    refused(w, tmp_path, "ask", "-m", "tiny", *given, "What is it?", option, str(output))
    assert "is an input (" in w.err
    assert picture.name in w.err or "sum-2.png" in w.err


@pytest.mark.parametrize("kind", TWINS)
@pytest.mark.parametrize("form", ["path", "folder", "items"])
@pytest.mark.parametrize("option", ["-o", "--csv"])
def test_a_batch_replaces_no_picture(
    world: Build, tmp_path: Path, picture: Path, option: str, form: str, kind: str
) -> None:
    lines = tmp_path / "items.jsonl"
    lines.write_text(json.dumps({"image": str(picture), "question": "What?"}) + "\n")
    given = {
        "path": [str(picture), "-Q", "What?"],
        "folder": [str(picture.parent), "-Q", "What?"],
        "items": ["--items", str(lines)],
    }[form]
    outputs = [option, str(twin(picture, kind))]
    if option == "--csv":
        outputs += ["-o", str(tmp_path / "out.jsonl")]
    w = world(WORDS)
    refused(w, tmp_path, "batch", "-m", "tiny", *given, *outputs)
    assert "is an input (" in w.err


@pytest.mark.parametrize("kind", ["same", "symlink", "hard link"])
@pytest.mark.parametrize("option", ["-o", "--csv"])
def test_a_batch_replaces_no_list_and_no_schema(
    world: Build, tmp_path: Path, picture: Path, option: str, kind: str
) -> None:
    lines, schema = picture.with_name("items.jsonl"), picture.with_name("schema.json")
    lines.write_text(json.dumps({"image": str(picture), "question": "What?"}) + "\n")
    schema.write_text('{"type": "object"}')
    for read in (lines, schema):
        outputs = [option, str(twin(read, kind))]
        if option == "--csv":
            outputs += ["-o", str(tmp_path / "out.jsonl")]
        argv = ("batch", "-m", "tiny", "--items", str(lines), "--schema", str(schema))
        refused(world(WORDS), tmp_path, *argv, *outputs)


def test_ask_replaces_no_schema_and_no_file_of_the_model(
    world: Build, tmp_path: Path, picture: Path
) -> None:
    schema, model = picture.with_name("schema.json"), tmp_path / "model"
    schema.write_text('{"type": "object"}')
    shutil.copytree(ROOT / "models" / "qvq-tiny", model)
    ask = ("ask", str(picture), "What?", "-m", str(model), "--schema", str(schema))
    refused(world(WORDS), tmp_path, *ask, "-o", str(schema))
    refused(world(WORDS), tmp_path, *ask, "-o", str(twin(model / "config.json", "symlink")))


@pytest.mark.parametrize("kind", TWINS)
def test_two_outputs_are_two_files(world: Build, tmp_path: Path, picture: Path, kind: str) -> None:
    one = tmp_path / "out" / "one.png"
    one.parent.mkdir()
    if kind != "case":
        one.write_bytes(b"old")
    two = twin(one, kind)
    w = world(POINTING)
    ask = ("ask", "-m", "tiny", str(picture), "Where?")
    refused(w, tmp_path, *ask, "-o", str(one), "--annotate", str(two))
    assert "are the same file" in w.err
    w = world(WORDS)
    batch = ("batch", "-m", "tiny", str(picture), "-Q", "What?")
    refused(w, tmp_path, *batch, "-o", str(one), "--csv", str(two))
    assert "-o" in w.err
    assert "--csv" in w.err


def test_two_outputs_that_do_not_exist_yet(world: Build, tmp_path: Path, picture: Path) -> None:
    (tmp_path / "link").symlink_to("new.csv")
    for two in ("new.csv", "link", "NEW.csv"):
        argv = ("batch", "-m", "tiny", str(picture), "-Q", "What?", "--csv", str(tmp_path / two))
        refused(world(WORDS), tmp_path, *argv, "-o", str(tmp_path / "new.csv"))


@pytest.mark.parametrize("kind", TWINS)
def test_a_saved_run_and_its_picture_are_not_replaced(
    world: Build, tmp_path: Path, picture: Path, kind: str
) -> None:
    assert world(POINTING).run("ask", "-m", "tiny", str(picture), "Where?") == ExitCode.OK
    output = str(twin(picture, kind))
    refused(world(), tmp_path, "log", "export", "-o", output)
    refused(world(), tmp_path, "log", "show", "--annotate", output)
    refused(world(), tmp_path, "last", "--annotate", output)
    (run,) = (tmp_path / "qvq" / "history").glob("*.jsonl")
    before = run.read_bytes()
    refused(world(), tmp_path, "log", "export", "-o", str(run))
    assert run.read_bytes() == before


@pytest.mark.parametrize("what", ["picture", "question"])
def test_a_file_on_stdin_is_an_input(tmp_path: Path, picture: Path, what: str) -> None:
    read = picture
    argv = ["ask", "-m", "tiny", "-", "What?", "-o"]
    if what == "question":
        read = tmp_path / "question.txt"
        read.write_text("What?")
        argv = ["ask", "-m", "tiny", str(picture), "-o"]
    before = read.read_bytes()
    with read.open("rb") as stdin:
        done = subprocess.run(
            [sys.executable, "-m", "qvq_mlx", *argv, str(read)],
            stdin=stdin,
            cwd=ROOT,
            env={"QVQ_HOME": str(tmp_path / "qvq"), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert "standard input" in done.stderr
    assert read.read_bytes() == before


def test_what_is_no_input_is_written(world: Build, tmp_path: Path, picture: Path) -> None:
    """A file beside the picture, the batch's own file again, one device twice."""
    out, table = picture.with_name("sum.txt"), tmp_path / "table.csv"
    argv = ("ask", "-m", "tiny", str(picture), "What?")
    assert world(WORDS).run(*argv, "-o", str(out)) == ExitCode.OK
    assert world(WORDS).run(*argv, "-o", str(out)) == ExitCode.OK
    assert "7" in out.read_text()
    out.unlink()
    batch = ("batch", "-m", "tiny", str(picture), "-Q", "What?", "--csv", str(table))
    for _ in range(2):
        assert world(WORDS).run(*batch, "-o", str(tmp_path / "out.jsonl")) == ExitCode.OK
    assert world(WORDS).run(*argv, "-o", "/dev/null") == ExitCode.OK
