"""Writes what the code already says into the documents: commands, exit codes, JSON.

    python -m tools.docs            rewrite
    python -m tools.docs --check    exit 1, naming the file, where a document is out of date

Law: nothing that is generated here is ever edited by hand. Blocks in other documents stand
between `<!-- name:begin -->` and `<!-- name:end -->`.
"""

from __future__ import annotations

import dataclasses
import inspect
import io
import json
import os
import sys
import types
import typing
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from qvq_mlx import __version__
from qvq_mlx.batch.items import Item
from qvq_mlx.batch.record import BatchEnd, BatchRecord, ErrorRecord, answered
from qvq_mlx.cli.app import COMMANDS, app_with
from qvq_mlx.cli.main import main
from qvq_mlx.cli.spelling import CommandLine
from qvq_mlx.cli.world import real_env
from qvq_mlx.core import network, places
from qvq_mlx.core.card import ModelCard, Shape, Thinking, VisionLimits, VisionShape
from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    DoubleCheck,
    Event,
    Looked,
    Notice,
    Progress,
    Stage,
    Stats,
    StopReason,
    Tally,
    ThinkingDelta,
    Vote,
    fold,
)
from qvq_mlx.core.image_options import Crop, Frames, ImageOptions, Pages
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.plan import Plan, Resolved
from qvq_mlx.core.request import Budget, Request, Sampling, SamplingOverrides
from qvq_mlx.core.rounds import Round, Source
from qvq_mlx.images.folders import LeftOut
from qvq_mlx.memory.estimate import Estimate, Use
from qvq_mlx.records import bench, servers
from qvq_mlx.records import doctor as report
from qvq_mlx.records import models as catalogue
from qvq_mlx.records import runs as records
from qvq_mlx.store.licence import Licence
from tools import man, memory, screens
from tools.api import api_page

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "docs" / "schema"
EVENTS: tuple[type[Event], ...] = (
    Progress,
    ThinkingDelta,
    AnswerDelta,
    AnswerRetracted,
    Looked,
    Notice,
    Done,
)

REQUEST: tuple[type[Any], ...] = (
    *(records.Given, SamplingOverrides, Budget),
    *(Source, ImageOptions, Crop, Pages, Frames, records.VideoRecord, Round),
)

CATALOGUE: tuple[type[Any], ...] = (
    *(catalogue.ModelsRecord, catalogue.ModelEntry, Machine),
    *(catalogue.ListRecord, catalogue.DiskEntry),
    *(catalogue.ShowRecord, ModelCard, Thinking, Sampling, VisionLimits, Shape, VisionShape),
    *(catalogue.LicenceRecord, Licence),
    *(catalogue.FitRecord, Use, Estimate, catalogue.Instead),
    *(catalogue.PullRecord, catalogue.PulledFile),
    *(catalogue.ConfigRecord, catalogue.Setting),
    *(servers.ServersRecord, servers.ServerEntry),
    *(bench.BenchRecord, bench.Speed),
)

BATCH = (BatchRecord, ErrorRecord, BatchEnd, LeftOut)
BOXES: tuple[type[Any], ...] = (
    *(records.BoxesRecord, places.PointedImage),
    *(places.Box, places.Point, places.Problem),
)

DOCTOR: tuple[type[Any], ...] = (
    *(report.DoctorRecord, report.Check, report.Facts, report.Device, report.Versions),
    *(report.Library, report.Models, report.HeldModel, report.Place, report.Kept, report.Saved),
    *(report.Configuration, report.Fault, report.Terminal, report.Trial, report.DraftCosts),
    network.Network,
)

Json = dict[str, Any]

_JSON_INTRODUCTION = """\
Generated from the dataclasses by `make fix`. The object of `--json`, the first line of
`--jsonl` and every other object carry `version` (now {version}). It grows when a field changes
its meaning or goes; a reader should ignore fields that it does not know. Version 2 calls the
second look `double_check` (version 1: `verify`, `verification`, `verify_s`), and how an image of
`sources` is read `options` (`look`). qvq reads its files of version 1.

An error before the run begins (a model that is not there, an image that cannot be read) writes
nothing to stdout: it is a line on stderr, `error[code]: ...`, and the exit code. A run that
ended without an answer, was interrupted or failed its schema writes its object or its `done`,
and the exit code says the rest.

The schemas are shipped: `qvq schema result` and `qvq schema events` print them.
"""


def documents() -> dict[Path, str]:
    """Every generated file with what it must hold."""
    readme = ROOT / "README.md"
    terminal = ROOT / "docs" / "terminal.md"
    scripts = ROOT / "docs" / "scripts.md"
    models = ROOT / "docs" / "models.md"
    return {
        readme: _with_block(readme, "by-mac", memory.by_mac_table()),
        scripts: _with_block(scripts, "exit-codes", exit_codes_table()),
        models: _with_block(models, "models", memory.models_table()),
        ROOT / "docs" / "api.md": api_page(),
        ROOT / "docs" / "commands.md": commands_page(),
        ROOT / "docs" / "json.md": json_page(),
        ROOT / "man" / "qvq.1": man.page(__version__, _commands()),
        ROOT / "docs" / "memory.md": memory.memory_page(),
        terminal: _with_block(terminal, "screens", screens.document()),
        SCHEMAS / "result.schema.json": _pretty(result_schema()),
        SCHEMAS / "events.schema.json": _pretty(events_schema()),
        SCHEMAS / "doctor.schema.json": _pretty(doctor_schema()),
        SCHEMAS / "boxes.schema.json": _pretty(boxes_schema()),
        SCHEMAS / "batch.schema.json": _pretty(batch_schema()),
    }


def commands_table() -> str:
    """The commands with their first line of help."""
    rows = [(f"`qvq {name}`", _summary(command)) for name, command in _commands().items()]
    return _table(("command", "what it does"), rows)


def exit_codes_table() -> str:
    """The exit codes from the enum that the program returns."""
    return _table(
        ("code", "meaning"),
        [(str(int(code)), CommandLine().sentence(code.meaning)) for code in ExitCode],
    )


def commands_page() -> str:
    """The --help of every command."""
    parts = ["# Commands", "", "Generated from the program by `make fix`.", ""]
    parts += [commands_table(), ""]
    for command in ("", *_commands()):
        words = [*command.split(), "--help"]
        parts += [f"## qvq {command}".rstrip(), "", "```text", _help(words), "```", ""]
    return "\n".join(parts)


def json_page() -> str:
    """What `--json` and `--jsonl` print: fields, types, one example of each."""
    request, events = _example()
    done = events[-1]
    assert isinstance(done, Done)
    notices = tuple(event for event in events if isinstance(event, Notice))
    result = records.result_record(request, fold(events), notices, done)
    lines = [dataclasses.asdict(request), *(records.event_to_json(event) for event in events)]
    return "\n".join(
        [
            "# JSON",
            "",
            _JSON_INTRODUCTION.format(version=records.VERSION),
            "## `--json`: one object at the end",
            "",
            "JSON Schema: [`schema/result.schema.json`](schema/result.schema.json).",
            "",
            _described(records.ResultRecord),
            "",
            _fenced(_pretty(dataclasses.asdict(result))),
            "",
            "## `--jsonl`: one object per line, as it happens",
            "",
            "JSON Schema of a line: [`schema/events.schema.json`](schema/events.schema.json).",
            "The first line is the request; then",
            "`progress* (thinking | answer | answer_retracted | notice | progress)* done`,",
            "with exactly one `done`, last, also after Ctrl-C.",
            "",
            _described(records.RequestRecord),
            "",
            *(part for cls in REQUEST for part in (_described(cls), "")),
            *(part for cls in EVENTS for part in (_described(cls), "", *_line(cls), "")),
            *(part for cls in (Stats, Vote, Tally, DoubleCheck) for part in (_described(cls), "")),
            "A whole run:",
            "",
            _fenced("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)),
            "",
            "## `--boxes`: what the answer points at",
            "",
            "JSON Schema: [`schema/boxes.schema.json`](schema/boxes.schema.json); explained in",
            "[boxes.md](boxes.md).",
            "",
            *(part for cls in BOXES for part in (_described(cls), "")),
            _fenced(_pretty(dataclasses.asdict(_example_boxes(request, done)))),
            "",
            "## `qvq batch`: a record per line",
            "",
            "JSON Schema of a line: [`schema/batch.schema.json`](schema/batch.schema.json);",
            "explained in [batch.md](batch.md).",
            "",
            *(part for cls in BATCH for part in (_described(cls), "")),
            _fenced(json.dumps(dataclasses.asdict(_example_item(request, events)))),
            "",
            "## `models`, `list`, `show`, `licence`, `fit`, `pull` and `config list` with `--json`",
            "",
            *(part for cls in CATALOGUE for part in (_described(cls), "")),
            "## `doctor --json`",
            "",
            "JSON Schema: [`schema/doctor.schema.json`](schema/doctor.schema.json). `Machine` and",
            "`Setting` are described above.",
            "",
            *(part for cls in DOCTOR for part in (_described(cls), "")),
        ]
    )


def result_schema() -> Json:
    """JSON Schema of the object of `--json`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "qvq ask --json",
        **_schema(records.ResultRecord),
    }


def events_schema() -> Json:
    """JSON Schema of one line of `--jsonl`."""
    request = _schema(records.RequestRecord)
    request["properties"]["type"] = {"const": "request"}
    lines = [request]
    for cls in EVENTS:
        schema = _schema(cls)
        schema["properties"] = {"type": {"const": records.type_name(cls)}, **schema["properties"]}
        schema["required"] = ["type", *schema["required"]]
        lines.append(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "qvq ask --jsonl, one line",
        "oneOf": lines,
    }


def doctor_schema() -> Json:
    """JSON Schema of the object of `qvq doctor --json`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "qvq doctor --json",
        **_schema(report.DoctorRecord),
    }


def boxes_schema() -> Json:
    """JSON Schema of the object of `--boxes`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "qvq ask --boxes",
        **_schema(records.BoxesRecord),
    }


def batch_schema() -> Json:
    """JSON Schema of one line of `qvq batch`."""
    schema = _schema(BatchRecord)
    schema["properties"]["type"] = {"const": "item"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "qvq batch, one line",
        **schema,
    }


def _schema(kind: Any) -> Json:
    """JSON Schema of an annotation: scalars, enums, unions, tuples, dataclasses."""
    scalars = {str: "string", int: "integer", float: "number", bool: "boolean"}
    if kind in scalars:
        return {"type": scalars[kind]}
    if kind is types.NoneType:
        return {"type": "null"}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"enum": [member.value for member in kind]}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind)]
        return {
            "type": "object",
            "properties": {name: _property(name, hints[name]) for name in names},
            "required": names,
        }
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and Ellipsis not in arguments:
        return {"type": "array", "prefixItems": [_schema(part) for part in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [_schema(argument) for argument in arguments]}
    raise TypeError(f"no schema for {kind!r}")


def _property(name: str, kind: Any) -> Json:
    """A schema speaks of one version of the format."""
    return {"const": records.VERSION} if name == "version" and kind is int else _schema(kind)


def _described(cls: type[Any]) -> str:
    """A dataclass: its docstring, then its fields."""
    hints = typing.get_type_hints(cls)
    rows = [(f"`{field.name}`", _type_name(hints[field.name])) for field in dataclasses.fields(cls)]
    name = f"`{records.type_name(cls)}`" if cls in EVENTS else cls.__name__
    return f"**{name}**: {inspect.getdoc(cls)}\n\n" + _table(("field", "type"), rows)


def _type_name(kind: Any) -> str:
    schema = _schema(kind)
    if "enum" in schema:
        return " \\| ".join(f'`"{value}"`' for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type_name(argument) for argument in typing.get_args(kind))
    if "prefixItems" in schema:
        return f"[{', '.join(_type_name(part) for part in typing.get_args(kind))}]"
    if schema["type"] == "array":
        return f"list of {_type_name(typing.get_args(kind)[0])}"
    if schema["type"] == "object":
        return str(kind.__name__)
    return str(schema["type"])


def _example() -> tuple[records.RequestRecord, list[Event]]:
    """A short run, made up for the page."""
    picture = Picture("shapes.png", 640, 480, 140, 112, 20, "9f86d081" + "0" * 56, b"")
    card = ModelCard(name="qvq-tiny", summary="", family="qwen2_vl", licence="MIT")
    request = Request("How many red circles are there?", ("shapes.png",), "tiny")
    plan = Plan(request, Resolved(card, ROOT, None, Sampling(), 512), (picture,))
    stats = Stats(63, 20, 28, 20, 8, 0.31, 0.02, 0.03, 0.36, 0.1, 0.14, 9_437_184)
    events: list[Event] = [
        Progress(Stage.LOAD, 0, 6_586_624),
        Progress(Stage.PREFILL, 63, 63),
        ThinkingDelta("First row: a red circle (1), a blue star.", 20),
        AnswerDelta("\\boxed{1}", 8),
        Done(StopReason.END, AnswerSource.MARKER, True, False, stats),
    ]
    return records.request_record(plan), events


def _example_boxes(request: records.RequestRecord, done: Done) -> records.BoxesRecord:
    """What `--boxes` makes of an answer in Qwen2-VL's way."""
    answer = (
        "<|object_ref_start|>red circle<|object_ref_end|>"
        "<|box_start|>(125,125),(375,375)<|box_end|>"
    )
    return records.boxes_record(request, answer, complete=done.complete)


def _example_item(request: records.RequestRecord, events: list[Event]) -> BatchRecord:
    """The same run as an item of a batch."""
    done = events[-1]
    assert isinstance(done, Done)
    result = records.result_record(request, fold(events), (), done)
    item = Item(tuple(image.path for image in request.images), request.question, "q1")
    return answered("5a8f0c1e9d7b4a3f8e6d5c4b3a291807", item, result)


def _line(cls: type[Event]) -> tuple[str, ...]:
    """The line of `--jsonl` for one event of a kind."""
    stats = Stats(63, 20, 28, 20, 8, 0.31, 0.02, 0.03, 0.36, 0.1, 0.14, 9_437_184)
    vote = Vote(3, (Tally("3", 2, (0, 2)), Tally("4", 1, (1,))), 0, 0, 2 / 3)
    second = DoubleCheck(True, "3", "Again: three.", StopReason.END, 90, 60, 12, 8)
    examples: tuple[Event, ...] = (
        Progress(Stage.PREFILL, 812, 1310),
        ThinkingDelta("Row 1: a red circle", 5),
        AnswerDelta("\\boxed{3}", 4),
        AnswerRetracted("\\boxed{3}\n\nWait, let me look again."),
        Looked(0, 1200, 300, 1460, 560, 868, 868, 961, "the sign"),
        Notice("budget", "4,096 tokens of thinking are spent: asked for the answer"),
        Done(StopReason.END, AnswerSource.MARKER, True, False, stats, vote, second),
    )
    example = next(event for event in examples if type(event) is cls)
    return (_fenced(json.dumps(records.event_to_json(example), ensure_ascii=False)),)


def _commands() -> dict[str, TyperCommand | TyperGroup]:
    """Every command by its words; a group's own come behind it."""
    found: dict[str, TyperCommand | TyperGroup] = {}
    root = get_command(app_with())
    assert isinstance(root, TyperGroup)
    for name in COMMANDS:
        command = root.commands[name]
        assert isinstance(command, TyperCommand | TyperGroup)
        found[name] = command
        if isinstance(command, TyperGroup):
            for word, inner in command.commands.items():
                assert isinstance(inner, TyperCommand)
                found[f"{name} {word}"] = inner
    return found


def _summary(command: TyperCommand | TyperGroup) -> str:
    return (command.help or "").strip().splitlines()[0]


def _help(words: list[str]) -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    code = main(words, dataclasses.replace(real_env(), stdout=out))
    assert code == ExitCode.OK, f"qvq {' '.join(words)} exited with {code}"
    out.seek(0)
    return "\n".join(line.rstrip() for line in out.read().splitlines()).strip()


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _pretty(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _fenced(text: str) -> str:
    return f"```json\n{text.rstrip()}\n```"


def _with_block(path: Path, name: str, block: str) -> str:
    """The file's text with this block in its place. Raises AssertionError where it has none."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    assert found, f"{path.name} lacks {begin} or {end}"
    return f"{before}{begin}\n{block}\n{end}{after}"


def run(check: bool) -> int:
    """Write the documents, or compare them. Returns an exit status."""
    stale = []
    for path, text in documents().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{'out of date' if check else 'written'}: {path.relative_to(ROOT)}")
    if check and stale:
        print("run: make fix")
    return int(check and bool(stale))


if __name__ == "__main__":
    os.environ["COLUMNS"] = "88"  # help is wrapped at the terminal's width
    sys.exit(run(check="--check" in sys.argv[1:]))
