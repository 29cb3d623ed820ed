"""Questions per hour over a folder, against a Python loop over mlx-vlm that loads the model once.

    python -m benchmarks.batch [--pictures 12] [--rounds 3]

Law: the same checkpoint, pictures, question, picture size and number of tokens on all sides, greedy
and without drafts; every side includes its start and its load, and the sides run in turns. mlx-vlm
runs as its users write it: load, then one `stream_generate` a picture. The embedded model is in
4 bit, `mid` (91 M, real vocabulary, 256 image tokens) in bfloat16.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.checkpoints import mid
from benchmarks.results import Result, report

QUESTION = "What is in this picture?"
SIDE_PX = 448
EMBEDDED = Path(__file__).parents[1] / "models" / "qvq-tiny"
WAYS = ("1", "4", "auto")
"""Of `--parallel`."""


def _draw(folder: Path, count: int) -> list[Path]:
    """Pictures that differ."""
    from PIL import Image

    gradient = Image.linear_gradient("L").resize((SIDE_PX, SIDE_PX))
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.merge("RGB", (gradient, gradient.rotate(number), gradient)).save(path)
    return paths


def _batch(folder: Path, pictures: Sequence[Path], tokens: int, parallel: str) -> float:
    """Seconds of one `qvq batch`, and every record in its file."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out.jsonl"
        command = [sys.executable, "-m", "qvq_mlx", "batch", "-m", str(folder), "-Q", QUESTION]
        command += ["-o", str(out), "--max-tokens", str(tokens), "--lang", "off"]
        command += ["--draft", "none", "--parallel", parallel, *map(str, pictures)]
        began = time.perf_counter()
        # an answer that is cut off is none, hence exit code 3
        found = subprocess.run(command, check=False, capture_output=True, text=True)
        elapsed = time.perf_counter() - began
        records = [json.loads(line) for line in out.read_text().splitlines()]
    assert found.returncode in (0, 3), found.stderr
    assert len(records) == len(pictures)
    return elapsed


def _loop(folder: Path, pictures: Sequence[Path], tokens: int) -> float:
    """Seconds of one Python process that loads once."""
    command = [sys.executable, "-m", "benchmarks.batch", "--child", str(folder), str(tokens)]
    began = time.perf_counter()
    subprocess.run([*command, *map(str, pictures)], capture_output=True, check=True)
    return time.perf_counter() - began


def _answer_all(folder: str, tokens: int, pictures: Sequence[str]) -> None:
    """Load with mlx-vlm, and generate for one picture after the other."""
    from mlx_vlm import load, stream_generate
    from mlx_vlm.prompt_utils import apply_chat_template

    model, processor = load(folder)
    prompt = apply_chat_template(processor, model.config, QUESTION, num_images=1)
    for picture in pictures:
        for _ in stream_generate(
            model, processor, prompt, image=picture, max_tokens=tokens, temperature=0.0
        ):
            pass


def measure(pictures: int, rounds: int) -> Iterator[Result]:
    """The ratios of the medians, with two checkpoints."""
    yield from _measured("the embedded model", EMBEDDED, pictures, 200, rounds)
    yield from _measured("mid, bfloat16", mid("bfloat16"), max(4, pictures // 2), 200, rounds)


def _measured(what: str, folder: Path, pictures: int, tokens: int, rounds: int) -> Iterator[Result]:
    ours: dict[str, list[float]] = {way: [] for way in WAYS}
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        drawn = _draw(Path(scratch), pictures)
        _loop(folder, drawn[:1], 4)  # files and imports come from the cache on all sides
        _batch(folder, drawn[:1], 4, "1")
        for _ in range(rounds):
            for way in WAYS:
                ours[way].append(_batch(folder, drawn, tokens, way))
            theirs.append(_loop(folder, drawn, tokens))
    took = {way: median(seconds) for way, seconds in ours.items()}
    plain = median(theirs)
    seconds = f"{what}, {pictures} pictures, medians of {rounds}"
    yield _ratio("loop over mlx-vlm / batch", plain, took["1"], 1.0, seconds)
    yield _ratio("loop over mlx-vlm / batch, 4 in flight", plain, took["4"], 1.5, seconds)
    yield _ratio("batch, one at a time / 4 in flight", took["1"], took["4"], 1.5, seconds)
    yield _ratio("batch, one at a time / auto", took["1"], took["auto"], 1.0, seconds)


def _ratio(what: str, one_s: float, other_s: float, wanted: float, detail: str) -> Result:
    return Result(what, one_s / other_s, wanted, f"{detail}: {one_s:.1f} s and {other_s:.1f} s")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _answer_all(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--pictures", type=int, default=12)
        parser.add_argument("--rounds", type=int, default=3)
        given = parser.parse_args()
        report(measure(given.pictures, given.rounds))
