"""From a JPEG's bytes to model-ready pixels: time and peak memory against Pillow alone.

    python -m benchmarks.pixels [--rounds 9]

A photo of 12 MP (4032 x 3024, made here: smooth areas, edges, noise) is read as `qvq ask` reads it
at `--detail auto`, and by the shortest Pillow program that gives a picture of the same size:
open, convert to RGB, resize with the bicubic filter, bytes. Both run in one thread, in turns, and
time is the processor's, so that what else the machine does counts less; the ratio is of the
medians. Peak memory is what a child process grows by while it reads the photo, as the
system counts it, over width x height x 3 bytes. Turned photos (EXIF) and Display P3 are measured
like plain ones, against Pillow on the same file, which applies neither.
"""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from benchmarks.results import Result, report
from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits

WIDTH, HEIGHT = 4032, 3024
DECODED_BYTES = WIDTH * HEIGHT * 3
LIMITS = VisionLimits()
_CHILD = """
import io, resource, sys
from pathlib import Path
from PIL import Image, ImageCms, ImageChops, ImageColor, JpegImagePlugin
from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits
small = io.BytesIO()
Image.new("RGB", (64, 64)).save(small, "JPEG")
images.read("-", VisionLimits(), images.ImageSources(io.BytesIO(small.getvalue())))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
images.read(sys.argv[1], VisionLimits(), images.ImageSources(io.BytesIO()))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def photo(orientation: int = 1, profile: bytes = b"") -> bytes:
    """A JPEG as a phone writes it: 4:2:0, quality 92."""
    dice = np.random.default_rng(5)
    rough = dice.integers(0, 256, (HEIGHT // 48, WIDTH // 48, 3), np.uint8)
    image = Image.fromarray(rough).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    pixels = np.asarray(image).astype(np.int16)
    pixels += dice.integers(-6, 7, (HEIGHT, WIDTH, 1), np.int16)
    pixels[:: HEIGHT // 12] = 20
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92, exif=exif, icc_profile=profile)
    return out.getvalue()


def other_profile() -> bytes:
    """RGB that is not sRGB: LittleCMS's sRGB with red and green changed places."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = data.index(b"rXYZ"), data.index(b"gXYZ")
    data[red : red + 4], data[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(data)


def by_qvq(data: bytes) -> tuple[int, int]:
    """Width and height of what the model sees."""
    picture = images.read("-", LIMITS, images.ImageSources(io.BytesIO(data)))[0]
    return picture.width_px, picture.height_px


def by_pillow(data: bytes, size: tuple[int, int]) -> bytes:
    """The same size, nothing else."""
    with Image.open(io.BytesIO(data)) as image:
        colours = image if image.mode == "RGB" else image.convert("RGB")
        return colours.resize(size, Image.Resampling.BICUBIC).tobytes()


def measure(rounds: int) -> Iterator[Result]:
    """Time for each kind of photo, then memory."""
    kinds = {
        "plain": photo(),
        "turned": photo(orientation=6),
        "with a profile": photo(profile=other_profile()),
    }
    for kind, data in kinds.items():
        size = by_qvq(data)
        ours, theirs = _medians_s(partial(by_qvq, data), partial(by_pillow, data, size), rounds)
        yield Result(
            f"12 MP JPEG to pixels, {kind}: Pillow / qvq",
            theirs / ours,
            1 / 1.5,
            f"{ours * 1000:.0f} ms against {theirs * 1000:.0f} ms, {ours / theirs:.2f} times",
        )
        grown = peak_bytes(data)
        yield Result(
            f"12 MP JPEG, {kind}: decoded size / peak memory",
            DECODED_BYTES / grown,
            1 / 3,
            f"{grown / 1e6:.0f} MB for {DECODED_BYTES / 1e6:.0f} MB of pixels,"
            f" {grown / DECODED_BYTES:.2f} times",
        )


def peak_bytes(data: bytes) -> int:
    """What a fresh process grows by while it reads the photo."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        path.write_bytes(data)
        # a shell between: a process counts what its parent held when it was started
        shell = ["/bin/sh", "-c", '"$@"; exit $?', "sh"]
        argv = [*shell, sys.executable, "-c", _CHILD, str(path)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024  # what ru_maxrss counts in
    return int(done.stdout) * unit


def _medians_s(
    first: Callable[[], object], second: Callable[[], object], rounds: int
) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, taken in zip((first, second), times, strict=True):
            began = time.process_time()
            run()
            taken.append(time.process_time() - began)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    report(measure(parser.parse_args().rounds))
