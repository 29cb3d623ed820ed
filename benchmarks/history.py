"""Time the commands that read the history, with a hundred thousand saved runs.

    python -m benchmarks.history [--runs 100000]

The runs are written by `history.record` into a temporary folder: short questions, some 15 KB of
thinking each, from 20,000 words as frequent as those of a language (Zipf) and characters that are
no ASCII, an answer. With 100,000 runs that is 1.5 GB. The first search makes the index. Then the
commands run as a user runs them, each in a process of its own with stdout in a pipe, from start to
exit. The value is the bound over the time, so 1 is just in time; each time is the least of several,
as everything else on the machine only adds to it.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path

from benchmarks.results import Result, report
from qvq_mlx import history
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerSource,
    Done,
    Event,
    Stats,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.request import Sampling
from qvq_mlx.history.index import index_files
from qvq_mlx.records.runs import VERSION, ImageRecord, RequestRecord

_SENTENCE = (
    "Alright there are some shapes here and I need to count the red circles so let me go row by row"
    " × → “so” that makes perhaps π Größe 2 which would be wrong then again"
)
_WORDS = _SENTENCE.split()
_SYLLABLES = ("ba", "der", "fi", "gon", "hu", "kla", "lem", "nor", "pi", "qua", "ri", "sol", "tum")
_VOCABULARY = 20_000
_TEXT_WORDS, _TEXTS = 2_500, 500


_MARK, _FIRST = "the thinking stands here", 99_999


_COMMANDS: tuple[tuple[str, float, tuple[str, ...]], ...] = (
    ("qvq log list", 0.2, ("log", "list")),
    ("qvq log search, a word that is nowhere", 0.5, ("log", "search", "purple")),
    ("qvq log search, two words in one run", 0.5, ("log", "search", "run 4321", "circles")),
    ("qvq log search, inside a word", 0.5, ("log", "search", "derderderen")),
    ("qvq log search, a word with an umlaut", 0.5, ("log", "search", "größer")),
    ("qvq log search, a word that is everywhere", 0.5, ("log", "search", "circles")),
)


def measure(runs: int, rounds: int = 5) -> Iterator[Result]:
    """Start-up with one run, then list and search with `runs` of them."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "history"
        saved_s = _fill(folder, 50, seed=1) / 50
        starts: tuple[tuple[str, ...], ...] = (("last",), ("log", "list"))
        for words in starts:
            least_s, cpu_s = _least_s(home, words, rounds * 3)
            yield Result(
                f"qvq {' '.join(words)}, from start to exit",
                0.15 / least_s,
                1.0,
                f"{least_s * 1000:.0f} ms, {cpu_s * 1000:.0f} of a CPU; "
                f"an empty Python takes {_empty_s() * 1000:.0f}",
            )
        yield Result(
            "saving a run", 0.05 / saved_s, 1.0, f"{saved_s * 1000:.1f} ms, synced to the disk"
        )
        _fill(folder, runs - 50, seed=2, like=history.files(folder)[0].path)
        size_bytes = sum(file.path.stat().st_size for file in history.files(folder))
        detail = f"{runs:,} runs, {size_bytes / 2**20:.0f} MiB"
        index_s, cpu_s = _least_s(home, ("log", "search", "purple"), 1)
        index_bytes = index_files(folder)[0].stat().st_size
        yield Result(
            "qvq log search, the first, a run",
            0.005 * runs / index_s,
            1.0,
            f"{index_s:.0f} s, {cpu_s:.0f} of a CPU; {detail}; index {index_bytes / 2**20:.0f} MiB",
        )
        for name, bound_s, words in _COMMANDS:
            least_s, cpu_s = _least_s(home, words, rounds)
            yield Result(
                name, bound_s / least_s, 1.0, f"{least_s:.2f} s, {cpu_s:.2f} of a CPU; {detail}"
            )


def _fill(folder: Path, count: int, seed: int, *, like: Path | None = None) -> float:
    """Save runs, or write files like a saved one, which is quicker. Returns the seconds it took."""
    draw = random.Random(seed)  # noqa: S311
    texts = [_text(draw) for _ in range(min(count, _TEXTS))]
    model = like.read_text(encoding="utf-8") if like else ""
    began = time.perf_counter()
    for number in range(count):
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=10 * number, seconds=seed)
        if like:
            name = f"{now:%Y%m%d-%H%M%S-%f}-{draw.getrandbits(32):08x}.jsonl"
            text = model.replace(f"run {_FIRST}", f"run {number}").replace(
                _MARK, texts[number % len(texts)]
            )
            (folder / name).write_text(text, encoding="utf-8")
            continue
        events: list[Event] = [
            ThinkingDelta(_MARK, 1400),
            AnswerDelta(f"There are {number} of them, \\boxed{{{number}}}", 12),
            Done(StopReason.END, AnswerSource.MARKER, True, False, Stats(thinking_tokens=1400)),
        ]
        for _ in history.record(events, _request(_FIRST), folder, now):
            pass
    return time.perf_counter() - began


def _text(draw: random.Random) -> str:
    words = [*_WORDS, *(_word(rank) for rank in range(_VOCABULARY))]
    frequencies = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    return " ".join(draw.choices(words, cum_weights=frequencies, k=_TEXT_WORDS))


def _word(rank: int) -> str:
    """The same word for the same rank, of two to five syllables."""
    word, left = _SYLLABLES[rank % len(_SYLLABLES)], rank
    while left := left // len(_SYLLABLES):
        word += _SYLLABLES[left % len(_SYLLABLES)]
    return word + "en"


def _request(number: int) -> RequestRecord:
    image = ImageRecord("shapes.png", 640, 480, 140, 112, 20, f"{number:064x}", None, None)
    question = f"How many red circles are there in run {number}?"
    return RequestRecord(VERSION, "request", question, "tiny", (image,), None, 512, Sampling())


def _least_s(home: str, words: Sequence[str], rounds: int) -> tuple[float, float]:
    """Seconds of the fastest of several processes, and of a CPU the least."""
    command = [sys.executable, "-m", "qvq_mlx", *words]
    found = [_process_s(command, home) for _ in range(rounds)]
    return min(wall for wall, _ in found), min(cpu for _, cpu in found)


def _empty_s() -> float:
    return min(_process_s([sys.executable, "-c", "pass"], "")[0] for _ in range(10))


def _process_s(command: list[str], home: str) -> tuple[float, float]:
    """Seconds from start to exit, and of a CPU."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        command,
        check=False,
        capture_output=True,
        env={**os.environ, "QVQ_HOME": home},
    )
    wall_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=100_000)
    report(measure(parser.parse_args().runs))
