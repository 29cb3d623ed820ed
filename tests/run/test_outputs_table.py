"""Every output of every command against everything that the command reads, by every name.

The table is held to the commands' own parameters: a new one that names a file fails here until it
says whether it is read or written, and what may not be replaced by it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import pytest
from typer.main import get_command

from qvq_mlx.cli.app import app_with
from qvq_mlx.core.errors import ExitCode
from qvq_mlx.history.attachments import folder_in
from tests.conftest import World
from tests.evaluate import data_sets
from tests.run.test_outputs import POINTING, ROOT, listing, twin
from tests.support.pdfs import pdf

Build = Callable[..., World]
TWINS = ("same", "symlink", "hard link", "case")
_NAMES_A_FILE = re.compile(r"FILE|FOLDER|PATH|OUT|DST|SRC|IMAGE")

READ = {
    "ask": {"arguments", "hosts", "image", "schema"},
    "batch": {"hosts", "items", "paths", "schema"},
    "chat": {"hosts", "images"},
    "eval": {"against", "data", "hosts", "score"},
    "convert": {"source"},
    "import": {"file"},
    "split": {"file"},
    "doctor": {"hosts"},
    "fit": {"hosts", "image"},
    "mcp": {"folders"},
    "serve": {"hosts"},
    "pull": {"repair"},
}
WRITTEN = {
    "ask": {"file": "-o", "annotate": "--annotate"},
    "batch": {"file": "-o", "table": "--csv"},
    "eval": {"folder": "-o"},
    "convert": {"target": "DST"},
    "export": {"file": "FILE.tar"},
    "last": {"annotate": "--annotate"},
    "log export": {"file": "-o"},
    "log show": {"annotate": "--annotate"},
}
OWN = ("config", "card")
INPUTS = {
    "ask": (
        "picture", "second picture", "option", "within the question", "pattern", "address", "PDF",
        "film", "stdin", "question on stdin", "schema", "hosts", "model", "draft", "run",
        "kept picture", *OWN,
    ),
    "batch": (
        "picture", "folder", "pattern", "PDF", "items", "items on stdin", "item's picture",
        "schema", "hosts", "model", "draft", *OWN,
    ),
    "eval": ("data set", "answers", "other evaluation", "hosts", "model", *OWN),
    "convert": ("model", *OWN),
    "export": ("model", *OWN),
    "last": ("picture", "run", "kept picture", *OWN),
    "log export": ("picture", "run", "kept picture", *OWN),
    "log show": ("picture", "run", "kept picture", *OWN),
}  # fmt: skip
"""What a command reads that an output could replace."""
CASES = [
    (command, option, read, kind)
    for command, options in WRITTEN.items()
    for option in options.values()
    for read in INPUTS[command]
    for kind in TWINS
    # an open file has no name, and an export or a conversion makes something new: where names that
    # differ in case are one file, the system says so, and elsewhere they are two
    if kind != "case"
    or not ("stdin" in read or command == "export" or (command == "convert" and read in OWN))
]


def test_every_parameter_that_names_a_file_is_in_the_table() -> None:
    read, written = {}, {}
    for command, parameter in _parameters():
        assert parameter.name is not None
        names_a_file = _NAMES_A_FILE.search(str(parameter.metavar or "")) is not None
        if parameter.name in WRITTEN.get(command, ()):
            written.setdefault(command, set()).add(parameter.name)
        elif names_a_file or "Path" in str(parameter.type_descriptor.annotation):
            read.setdefault(command, set()).add(parameter.name)
    assert read == READ
    assert written == {command: set(options) for command, options in WRITTEN.items()}
    assert INPUTS.keys() == WRITTEN.keys()


@dataclass(frozen=True, slots=True)
class Case:
    """A file that is read, and the command line up to the output."""

    read: Path
    argv: tuple[str, ...]
    stdin: Path | None = None


@pytest.mark.sampled(8)
@pytest.mark.parametrize(("command", "option", "read", "kind"), CASES)
def test_it_is_refused(
    world: Build, tmp_path: Path, command: str, option: str, read: str, kind: str
) -> None:
    case = _case(world, tmp_path, command, read)
    if read in OWN:
        case = replace(case, read=_own(tmp_path, read))
    output = _output(case.read, kind, command, option)
    if not case.read.exists() and kind == "case":
        case = _under_its_new_name(case)
    before = listing(tmp_path), _history(tmp_path), _content(case.read)
    w = world(POINTING)
    argv = (*case.argv, *([] if option.isupper() or "." in option else [option]), str(output))
    if command == "batch" and option == "--csv":
        argv += ("-o", str(tmp_path / "new.jsonl"))
    if case.stdin is None:
        code = w.run(*argv)
    else:
        with case.stdin.open("rb") as stdin, open(stdin.fileno(), closefd=False) as text:
            code = replace(w, env=replace(w.env, stdin=text)).run(*argv)
    assert (listing(tmp_path), _history(tmp_path), _content(case.read)) == before
    assert code == ExitCode.USAGE, w.err
    assert w.out == ""
    said = ("is an input (", "exists", "is a file", "holds the source")
    assert any(words in w.err for words in said), w.err


def _output(read: Path, kind: str, command: str, option: str) -> Path:
    """Another name of what is read; for an evaluation a folder with a file that has it."""
    if command == "eval":
        out = read.parent.parent / "out"
        out.mkdir(exist_ok=True)
        end = out / ("report.json" if read.parent == out else "report.md")
        match kind:
            case "hard link":
                end.hardlink_to(read)
            case "case" if read.parent == out:
                read.rename(out / "REPORT.md")
            case _ if read.parent != out:
                end.symlink_to(read)
            case _:
                pass
        return out
    if read.is_dir():
        if kind == "case":
            other = read.with_name(read.name.upper())
            other.symlink_to(read)  # on a Mac it is there already
            return other
        return read if kind != "symlink" else twin(read, kind)
    if option != "--annotate" or read.suffix == ".png":
        return twin(read, kind)
    name = read.parent.parent / "drawn.png"  # the name has to be a picture's
    (name.hardlink_to if kind == "hard link" else name.symlink_to)(read)
    return name


def _under_its_new_name(case: Case) -> Case:
    """The case after its file was renamed to what only its letters' case tells apart."""
    (read,) = (p for p in case.read.parent.iterdir() if p.name.lower() == case.read.name)
    argv = tuple(str(read) if word == str(case.read) else word for word in case.argv)
    return replace(case, read=read, argv=argv)


def _case(world: Build, root: Path, command: str, read: str) -> Case:
    folder = root / "pictures"
    folder.mkdir()
    picture = Path(shutil.copy(ROOT / "examples" / "sum.png", folder / "sum.png"))
    match command:
        case "ask":
            return _asked(world, root, picture, read)
        case "batch":
            return _batch(root, picture, read)
        case "eval":
            return _evaluation(root, read)
        case "convert":
            model = _model(root)
            return Case(model, ("convert", str(model)))
        case "export":
            file = _in_the_cache(root)
            return Case(file, ("export", "org/name"))
        case _:
            return Case(_saved(world, root, picture, read), tuple(command.split()))


def _asked(world: Build, root: Path, picture: Path, read: str) -> Case:
    start = ("ask", "-m", "tiny")
    shown = (str(picture), "Where?")
    match read:
        case "picture":
            return Case(picture, (*start, *shown))
        case "option":
            return Case(picture, (*start, "-q", "Where?", "--image", str(picture)))
        case "within the question":
            return Case(picture, (*start, f"Where is it in {picture} ?"))
        case "second picture":
            return Case(picture, (*start, str(ROOT / "examples" / "chart.png"), *shown))
        case "pattern":
            return Case(picture, (*start, str(picture.parent / "*.png"), "Where?"))
        case "address":
            return Case(picture, (*start, picture.as_uri(), "Where?"))
        case "PDF":
            pages = picture.with_name("pages.pdf")
            pages.write_bytes(pdf())
            return Case(pages, (*start, str(pages), "Where?"))
        case "film":
            film = picture.with_name("film.mp4")
            film.write_bytes(bytes(64))
            return Case(film, (*start, str(film), "Where?"))
        case "stdin":
            return Case(picture, (*start, "-", "Where?"), stdin=picture)
        case "question on stdin":
            question = picture.with_name("question.txt")
            question.write_text("Where?")
            return Case(question, (*start, str(picture)), stdin=question)
        case "schema":
            schema = picture.with_name("schema.json")
            schema.write_text('{"type": "object"}')
            return Case(schema, (*start, *shown, "--schema", str(schema)))
        case "hosts":
            hosts = picture.with_name("hosts.json")
            both = [{"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}] * 2
            hosts.write_text(json.dumps(both))
            return Case(hosts, (*start, *shown, "--hosts", str(hosts)))
        case "model":
            model = _model(root)
            return Case(model / "config.json", ("ask", "-m", str(model), *shown))
        case "draft":
            draft = _model(root, "qvq-tiny-draft")
            return Case(draft / "config.json", (*start, *shown, "--draft", str(draft)))
        case "config" | "card":
            return Case(picture, (*start, *shown))
        case _:
            file = _saved(world, root, picture, read)
            return Case(file, (*start, "-c", "Where else?"))


def _batch(root: Path, picture: Path, read: str) -> Case:
    start = ("batch", "-m", "tiny", "-Q", "What?")
    items, schema = picture.with_name("items.jsonl"), picture.with_name("schema.json")
    match read:
        case "picture" | "config" | "card":
            return Case(picture, (*start, str(picture)))
        case "PDF":
            pages = picture.with_name("pages.pdf")
            pages.write_bytes(pdf())
            return Case(pages, (*start, str(pages)))
        case "folder":
            return Case(picture, (*start, str(picture.parent)))
        case "pattern":
            return Case(picture, (*start, str(picture.parent / "*.png")))
        case "items" | "item's picture":
            items.write_text(json.dumps({"image": str(picture), "question": "What?"}) + "\n")
            file = items if read == "items" else picture
            return Case(file, ("batch", "-m", "tiny", "--items", str(items)))
        case "items on stdin":
            items.write_text(json.dumps({"image": str(picture), "question": "What?"}) + "\n")
            return Case(items, ("batch", "-m", "tiny", "--items", "-"), stdin=items)
        case "schema":
            schema.write_text('{"type": "object"}')
            return Case(schema, (*start, str(picture), "--schema", str(schema)))
        case "hosts":
            hosts = picture.with_name("hosts.json")
            both = [{"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}] * 2
            hosts.write_text(json.dumps(both))
            return Case(hosts, (*start, str(picture), "--hosts", str(hosts)))
        case "model":
            model = _model(root)
            argv = ("batch", "-m", str(model), "-Q", "What?", str(picture))
            return Case(model / "config.json", argv)
        case _:
            draft = _model(root, "qvq-tiny-draft")
            return Case(draft / "config.json", (*start, str(picture), "--draft", str(draft)))


def _evaluation(root: Path, read: str) -> Case:
    data = data_sets.mathvision(root / "data")
    start = ("eval", "mathvision", "--data", str(data))
    match read:
        case "data set" | "config" | "card":
            file = next(path for path in sorted(data.rglob("*")) if path.is_file())
            return Case(file, (*start, "-m", "tiny"))
        case "answers":
            made = root / "out" / "report.md"
            made.parent.mkdir()
            made.write_text('{"id": "1", "answer": "B"}\n')
            return Case(made, (*start, "--score", str(made)))
        case "hosts":
            hosts = root / "out" / "report.md"
            hosts.parent.mkdir()
            hosts.write_text(json.dumps([{"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}] * 2))
            return Case(hosts, (*start, "-m", "tiny", "--hosts", str(hosts)))
        case "other evaluation":
            other = root / "other"
            other.mkdir()
            (other / "report.md").write_text("#")
            return Case(other / "report.md", (*start, "-m", "tiny", "--against", str(other)))
        case _:
            model = _model(root)
            return Case(model / "config.json", (*start, "-m", str(model)))


def _saved(world: Build, root: Path, picture: Path, read: str) -> Path:
    """A saved run about a picture, or about one that came through a pipe."""
    is_piped = read == "kept picture"
    w = world(POINTING, stdin=picture.read_bytes() if is_piped else b"")
    assert w.run("ask", "-m", "tiny", "-" if is_piped else str(picture), "Where?") == 0, w.err
    history = root / "qvq" / "history"
    if read in ("picture", *OWN):
        return picture
    (file,) = folder_in(history).iterdir() if is_piped else history.glob("*.jsonl")
    return file


def _own(root: Path, read: str) -> Path:
    """The config file, or a card that a person wrote."""
    home = root / "qvq"
    (home / "models").mkdir(parents=True, exist_ok=True)
    if read == "config":
        (home / "config.toml").write_text("save = true\n")
        return home / "config.toml"
    return Path(shutil.copy(ROOT / "models" / "qvq-tiny.toml", home / "models" / "mine.toml"))


def _model(root: Path, name: str = "qvq-tiny") -> Path:
    return Path(shutil.copytree(ROOT / "models" / name, root / "models" / name))


def _in_the_cache(root: Path) -> Path:
    snapshot = root / ".cache/huggingface/hub/models--org--name" / "snapshots" / ("0" * 40)
    shutil.copytree(ROOT / "models" / "qvq-tiny", snapshot)
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    return snapshot / "config.json"


def _history(root: Path) -> dict[str, bytes]:
    found = (root / "qvq" / "history").rglob("*")
    return {str(path): path.read_bytes() for path in found if path.is_file()}


def _content(read: Path) -> bytes | None:
    return read.read_bytes() if read.is_file() else None


def _parameters() -> Iterator[tuple[str, click.Parameter]]:
    """Every parameter with its command, `log export` for one of a group."""
    waiting = [("", get_command(app_with()))]
    while waiting:
        name, command = waiting.pop()
        if hasattr(command, "commands"):
            waiting += [(f"{name} {one}".strip(), c) for one, c in command.commands.items()]
            continue
        for parameter in command.params:
            yield name, parameter
