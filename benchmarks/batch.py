"""Questions per hour over a folder, against a shell loop over mlx_vlm.generate.

    python -m benchmarks.batch [--pictures 50] [--loop 6]

Law: the same checkpoint, pictures, question, picture size and number of tokens on both sides,
greedy; both sides include their start. `qvq batch` asks `--pictures`, the loop the first `--loop`
of them, because each of its turns is a process of its own and takes the same time.

The ratio is (start + load + answer) / answer, so it depends on the model: with the embedded one
the start is nearly all, with `mid` (91 M, fp32, 256 image tokens) a CPU computes for seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.checkpoints import mid
from benchmarks.results import Result, report

QUESTION = "What is in this picture?"
SIDE_PX, TOKENS = 448, 16
EMBEDDED = Path(__file__).parents[1] / "models" / "qvq-tiny"


def _draw(folder: Path, count: int) -> list[Path]:
    """Pictures that differ."""
    from PIL import Image

    gradient = Image.linear_gradient("L").resize((SIDE_PX, SIDE_PX))
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.merge("RGB", (gradient, gradient.rotate(number), gradient)).save(path)
    return paths


def _batch(folder: Path, pictures: list[Path], scratch: Path) -> float:
    """Seconds for each question of one `qvq batch`."""
    out = scratch / "out.jsonl"
    command = [sys.executable, "-m", "qvq_mlx", "batch", "-m", str(folder), "-Q", QUESTION]
    command += ["-o", str(out), "--max-tokens", str(TOKENS), "--lang", "off", "--draft", "none"]
    began = time.perf_counter()
    # an answer that is cut off is none, hence exit code 3
    found = subprocess.run(
        [*command, *map(str, pictures)], check=False, capture_output=True, text=True
    )
    elapsed = time.perf_counter() - began
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert found.returncode in (0, 3), found.stderr
    assert len(records) == len(pictures)
    assert all(record["stats"]["generated_tokens"] == TOKENS for record in records), "equal work"
    return elapsed / len(pictures)


def _loop(folder: Path, pictures: list[Path]) -> float:
    """Seconds for each question of a loop over mlx_vlm.generate."""
    command = [sys.executable, "-m", "mlx_vlm.generate", "--model", str(folder)]
    command += ["--prompt", QUESTION, "--max-tokens", str(TOKENS), "--temperature", "0"]
    began = time.perf_counter()
    for picture in pictures:
        subprocess.run([*command, "--image", str(picture)], capture_output=True, check=True)
    return (time.perf_counter() - began) / len(pictures)


def measure(pictures: int, loop: int) -> Iterator[Result]:
    """The ratio of the rates, with two checkpoints."""
    yield _measured("the embedded model", EMBEDDED, 5.0, pictures, loop)
    yield _measured("mid, 256 image tokens", mid(), 1.0, max(1, pictures // 5), max(1, loop // 2))


def _measured(what: str, folder: Path, wanted: float, pictures: int, loop: int) -> Result:
    with tempfile.TemporaryDirectory() as scratch:
        drawn = _draw(Path(scratch), pictures)
        _loop(folder, drawn[:1])  # files and imports come from the cache on both sides
        _batch(folder, drawn[:1], Path(scratch))
        Path(scratch, "out.jsonl").unlink()
        ours, theirs = _batch(folder, drawn, Path(scratch)), _loop(folder, drawn[:loop])
    detail = f"{what}: {3600 / ours:,.0f} against {3600 / theirs:,.0f} questions per hour"
    return Result("a folder: qvq batch / loop over mlx_vlm", theirs / ours, wanted, detail)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=50)
    parser.add_argument("--loop", type=int, default=6)
    given = parser.parse_args()
    report(measure(given.pictures, given.loop))
