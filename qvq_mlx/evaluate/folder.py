"""The folder of an evaluation: its setting, its pictures, its answers and its results.

    run.json          what was asked, of which model, with which versions, on which machine
    pictures/         the pictures of the questions, named by their contents
    answers.jsonl     a batch's records, one line per question, in the order in which they came
    scores.jsonl      the results, in the data set's order
    report.md, report.json, curve.png

Law: a folder holds one evaluation. Whoever opens it with another setting is refused, since half of
one run and half of another would look like a whole one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from qvq_mlx.core.errors import InputError, OutputError, UsageError
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.remedies import Field
from qvq_mlx.evaluate.gold import Benchmark
from qvq_mlx.evaluate.question import PromptStyle, Question
from qvq_mlx.evaluate.result import Result, from_line, line
from qvq_mlx.records.typed import typed
from qvq_mlx.system.files import write_shared

_SUFFIXES = ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"GIF8", ".gif"), (b"RIFF", ".webp"))


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as it was asked: its name, and the sha256 of its prompt and its pictures."""

    id: str
    prompt: str
    pictures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """All that the results depend on: equal settings give equal results.

    `sample` is how many questions were drawn with `seed`, null for all of them. `files` are the
    data set's, with their sha256. `request` is the rest of the request as JSON, `model_identity` a
    hash of the weights and of what the card says of them.
    """

    benchmark: Benchmark
    split: str
    prompts: PromptStyle
    sample: int | None
    seed: int
    budgets: tuple[int | None, ...]
    files: tuple[tuple[str, str], ...]
    questions: tuple[Asked, ...]
    model: str
    model_identity: str
    request: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What `run.json` holds: the setting, and what it was run with at first."""

    version: int
    setting: Setting
    versions: tuple[tuple[str, str], ...]
    machine: Machine
    began: str


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of an evaluation. Nothing need exist."""

    root: Path

    @property
    def report(self) -> Path:
        """Return the path of the report as Markdown."""
        return self.root / "report.md"

    @property
    def report_json(self) -> Path:
        """Return the path of the report as JSON."""
        return self.root / "report.json"

    @property
    def curve(self) -> Path:
        """Return the path of the plot."""
        return self.root / "curve.png"

    def answers(self, budget_tokens: int | None, *, several: bool) -> Path:
        """Return the path of the answers; with `several` budgets each has its own file."""
        return self.root / f"answers{_suffix(budget_tokens) if several else ''}.jsonl"

    def scores(self, budget_tokens: int | None, *, several: bool) -> Path:
        """Return the path of the results."""
        return self.root / f"scores{_suffix(budget_tokens) if several else ''}.jsonl"

    def written(self, *, scored_only: bool) -> list[Path]:
        """Return what an evaluation writes; one of answers made elsewhere writes no answers."""
        fixed = [self.root / "run.json", self.report, self.report_json, self.curve]
        kinds = ("scores",) if scored_only else ("answers", "scores")
        found = [path for kind in kinds for path in self.root.glob(f"{kind}*.jsonl")]
        several = [self.root / f"{kind}.jsonl" for kind in kinds]
        return list(dict.fromkeys((*fixed, *several, *found)))

    def claim(self, record: RunRecord) -> None:
        """Make the folder this evaluation's. Raises UsageError where it is another's."""
        path = self.root / "run.json"
        if path.exists():
            if self.record().setting != record.setting:
                raise UsageError(
                    (
                        Field.OUTPUT,
                        f" {self.root} holds another evaluation; its run.json says which",
                    )
                )
            return
        self._write(path, json.dumps(asdict(record), ensure_ascii=False, indent=2) + "\n")

    def record(self) -> RunRecord:
        """Return what `run.json` says. Raises InputError."""
        path = self.root / "run.json"
        try:
            return typed(RunRecord, json.loads(path.read_text("utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is no record of an evaluation ({error})") from error

    def keep_pictures(self, question: Question) -> tuple[str, ...]:
        """Write a question's pictures where they are missing; return their paths."""
        paths = []
        for content in question.pictures:
            name = hashlib.sha256(content).hexdigest()[:32] + _picture_suffix(content)
            path = self.root / "pictures" / name
            if not path.exists():
                self._write(path, content)
            paths.append(str(path))
        return tuple(paths)

    def write_results(self, path: Path, results: Iterable[Result]) -> None:
        """Write all results, whole or not at all."""
        self._write(path, "".join(map(line, results)))

    def results(self, path: Path) -> list[Result]:
        """Return the results in a file. Raises InputError."""
        try:
            lines = path.read_text("utf-8").split("\n")
            return [from_line(text) for text in lines if text]
        except (OSError, ValueError) as error:
            raise InputError(f"{path} holds no results of an evaluation ({error})") from error

    def write(self, path: Path, content: str | bytes) -> None:
        """Write a report or a plot, whole or not at all. Raises OutputError."""
        self._write(path, content)

    def _write(self, path: Path, content: str | bytes) -> None:
        if isinstance(content, str):
            content = content.encode("utf-8", "backslashreplace")
        try:
            write_shared(path, content)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def file_hashes(files: Iterable[Path], folder: Path) -> tuple[tuple[str, str], ...]:
    """Return each file's path below `folder` and the sha256 of its bytes."""
    found = []
    for path in files:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found.append((path.relative_to(folder).as_posix(), digest))
    return tuple(found)


def asked(question: Question) -> Asked:
    """Return a question's name and hashes."""
    hashes = tuple(hashlib.sha256(content).hexdigest() for content in question.pictures)
    return Asked(question.id, hashlib.sha256(question.prompt.encode()).hexdigest(), hashes)


def _suffix(budget_tokens: int | None) -> str:
    return f"-{'none' if budget_tokens is None else budget_tokens}"


def _picture_suffix(content: bytes) -> str:
    """Return a suffix for people and viewers; qvq itself goes by the content."""
    return next((suffix for start, suffix in _SUFFIXES if content.startswith(start)), ".img")
