"""How long a second question about the same image waits, against mlx_vlm.generate.

    python -m benchmarks.second_question [--rounds 3]

Law: each measurement is a new process with the checkpoint loaded and the imports made; the clock
runs from the image's path and the question to the first token. The image has 1,271 tokens.
qvq's prefix cache was filled by a first question in another process; mlx-vlm has nothing of the
kind for this family. The first question is shown as well: the cache costs its writing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from benchmarks.checkpoints import mid
from benchmarks.results import Result, report

WIDTH_PX, HEIGHT_PX = 1148, 868  # 41 x 31 = 1,271 image tokens
FIRST = "What is in this picture?"
SECOND = "Which colour is in the upper left corner?"


def ours(folder: Path, image: str, question: str, cache: Path) -> float:
    """Seconds from path and question to qvq's first token."""
    from qvq_mlx import images
    from qvq_mlx.core.request import Sampling
    from qvq_mlx.core.setup import Checkpoint, Drafting, Setup
    from qvq_mlx.core.tokens import Control, Generation, Token
    from qvq_mlx.engine import loaded
    from qvq_mlx.store import registry

    card, _ = registry.resolve(str(folder), Path("no hub"))
    setup = Setup(Drafting.NONE, cache_folder=cache, cache_max_bytes=2**30)
    engine = loaded(Checkpoint(card, folder).card, folder, setup)
    began = time.perf_counter()
    [picture] = images.read(image, card.vision, images.ImageSources(sys.stdin.buffer))
    prompt = engine.prompt(question, [picture], card.system)
    for step in engine.generate(prompt, Generation(Sampling(), 4), Control()):
        if isinstance(step, Token):
            return time.perf_counter() - began
    raise AssertionError("no token")


def theirs(folder: Path, image: str, question: str, cache: Path) -> float:
    """Seconds from path and question to mlx-vlm's first token."""
    del cache
    from mlx_vlm import load, stream_generate
    from mlx_vlm.prompt_utils import apply_chat_template

    model, processor = load(str(folder))
    began = time.perf_counter()
    prompt = apply_chat_template(processor, model.config, question, num_images=1)
    pixels = WIDTH_PX * HEIGHT_PX
    for _ in stream_generate(
        model, processor, prompt, image=image, max_tokens=4, temperature=0.0, max_pixels=pixels
    ):
        return time.perf_counter() - began
    raise AssertionError("no token")


_SIDES: dict[str, Callable[[Path, str, str, Path], float]] = {"ours": ours, "theirs": theirs}


def _in_new_process(side: str, folder: Path, image: Path, question: str, cache: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.second_question", "--child", side]
    command += [str(folder), str(image), question, str(cache)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return cast("float", json.loads(found.stdout.splitlines()[-1]))


def measure(rounds: int) -> Iterator[Result]:
    """The ratio of the medians, both sides in turns."""
    from PIL import Image

    folder = mid()
    first, again, other = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "image.png"
        gradient = Image.linear_gradient("L").resize((WIDTH_PX, HEIGHT_PX))
        Image.merge("RGB", (gradient, gradient.rotate(180), gradient)).save(image)
        for turn in range(rounds):
            cache = Path(scratch) / f"cache-{turn}"
            first.append(_in_new_process("ours", folder, image, FIRST, cache))
            again.append(_in_new_process("ours", folder, image, SECOND, cache))
            other.append(_in_new_process("theirs", folder, image, SECOND, cache))
    cold, warm, plain = map(statistics.median, (first, again, other))
    seconds = f"{warm:.2f} s against {plain:.2f} s; qvq's first question {cold:.2f} s"
    yield Result("second question, time to first token: mlx-vlm / qvq", plain / warm, 10.0, seconds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        side, folder, image, question, cache = sys.argv[2:]
        print(json.dumps(_SIDES[side](Path(folder), image, question, Path(cache))))
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--rounds", type=int, default=3)
        report(measure(parser.parse_args().rounds))
