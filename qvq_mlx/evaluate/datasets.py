"""The data set of each benchmark: where it comes from, its files in a folder, its questions.

Law: a folder is read as it is, offline. Rows come from parquet files as the Hub has them, or from
the JSON files of the benchmarks' own repositories with their folder of pictures. A question's name
is unique within a data set.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.core.errors import InputError
from qvq_mlx.evaluate import parquet
from qvq_mlx.evaluate.gold import Benchmark
from qvq_mlx.evaluate.question import Outline, PromptStyle, Question, Strata
from qvq_mlx.evaluate.questions import mathvision, mathvista, mmmu, olympiadbench
from qvq_mlx.evaluate.rows import Row


@dataclass(frozen=True, slots=True)
class DataSet:
    """Facts of a benchmark's data, known before any of it is here.

    `repo` is the data set on the Hub; `split` the one that published numbers are of. `pattern`
    says which files hold a split, `{split}` standing for it.
    """

    repo: str
    split: str
    pattern: str
    name_of: Callable[[Row, str], str]
    strata: Callable[[Row, str], Strata]
    question: Callable[[Row, str, Path, PromptStyle], Question]

    def holds(self, path: str, split: str) -> bool:
        """Tell whether the file at `path`, relative to the data set's folder, is of a split."""
        return re.search(self.pattern.replace("{split}", re.escape(split)), path) is not None


_SPLIT_FILES = r"(?:^|/){split}(?:-\d+-of-\d+(?:-[0-9a-f]{16})?)?\.(?:parquet|jsonl|json)$"
"""`validation-00000-of-00001.parquet`; older uploads end in a hash: `…-00001-725687bf7a18d64b`."""

DATA_SETS: dict[Benchmark, DataSet] = {
    Benchmark.MMMU: DataSet(
        "MMMU/MMMU", "validation", _SPLIT_FILES, mmmu.name_of, mmmu.strata, mmmu.question
    ),
    Benchmark.MATHVISTA: DataSet(
        "AI4Math/MathVista",
        "testmini",
        _SPLIT_FILES,
        mathvista.name_of,
        mathvista.strata,
        mathvista.question,
    ),
    Benchmark.MATHVISION: DataSet(
        "MathLLMs/MathVision",
        "test",
        _SPLIT_FILES,
        mathvision.name_of,
        mathvision.strata,
        mathvision.question,
    ),
    Benchmark.OLYMPIADBENCH: DataSet(
        "Hothan/OlympiadBench",
        "train",
        olympiadbench.CONFIGURATION.pattern + r"(?:[^/]*/[^/]*|[^/]*)\.(?:parquet|jsonl|json)$",
        olympiadbench.name_of,
        olympiadbench.strata,
        olympiadbench.question,
    ),
}


def files_of(benchmark: Benchmark, folder: Path, split: str) -> list[Path]:
    """Return the files of a split below a folder, by name. Raises InputError without any."""
    known = DATA_SETS[benchmark]
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and known.holds(path.relative_to(folder).as_posix(), split)
    ]
    if not found:
        raise InputError(f"{folder} has no file of {benchmark}'s split {split}")
    best = _best_suffix(found)
    return [path for path in found if path.suffix == best]


def outlines(benchmark: Benchmark, files: list[Path], folder: Path) -> list[Outline]:
    """Return name and strata of every question. Raises InputError for a name that comes twice."""
    known = DATA_SETS[benchmark]
    found = [
        Outline(known.name_of(row, origin), known.strata(row, origin))
        for path, origin in _origins(files, folder)
        for row in _rows(path, pictures=False)
    ]
    twice = [name for name, count in Counter(outline.id for outline in found).items() if count > 1]
    if twice:
        raise InputError(f"{folder}: the question {twice[0]!r} comes more than once")
    return found


def questions(
    benchmark: Benchmark,
    files: list[Path],
    folder: Path,
    wanted: Collection[str],
    style: PromptStyle,
) -> Iterator[Question]:
    """Yield the questions whose names are `wanted`, in the data set's order."""
    known = DATA_SETS[benchmark]
    for path, origin in _origins(files, folder):
        for row in _rows(path, pictures=True):
            if known.name_of(row, origin) in wanted:
                yield known.question(row, origin, _picture_folder(path, folder), style)


def _origins(files: list[Path], folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file with its path below the data set's folder."""
    for path in files:
        yield path, path.relative_to(folder).as_posix()


def _best_suffix(files: list[Path]) -> str:
    """Return the kind of file that is read where a folder has several."""
    suffixes = {path.suffix for path in files}
    return next(kind for kind in (".parquet", ".jsonl", ".json") if kind in suffixes)


def _picture_folder(path: Path, folder: Path) -> Path:
    """Return what relative paths of pictures begin at: the file's own folder, or the data set's."""
    return path.parent if (path.parent / "images").is_dir() else folder


def _rows(path: Path, *, pictures: bool) -> Iterator[Row]:
    """Yield the rows of one file. Raises InputError where it cannot be read."""
    if path.suffix == ".parquet":
        yield from parquet.rows(path, pictures=pictures)
        return
    try:
        content = path.read_text("utf-8")
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in content.split("\n") if line.strip()]
        else:
            rows = _of_document(json.loads(content))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from error
    for row in rows:
        if not isinstance(row, dict):
            raise InputError(f"{path}: holds something else than objects")
        yield row


def _of_document(document: object) -> list[object]:
    """Return the rows of a JSON file: a list, or an object of rows by name."""
    if isinstance(document, dict):
        return [
            {"pid": name, **row} if isinstance(row, dict) else row for name, row in document.items()
        ]
    return list(document) if isinstance(document, list) else [document]
