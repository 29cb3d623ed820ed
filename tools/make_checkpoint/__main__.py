"""The command line: `python -m tools.make_checkpoint PRESET FOLDER`."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

from tools.make_checkpoint.build import Options, make_checkpoint
from tools.make_checkpoint.presets import PRESETS


def main() -> None:
    """Build one checkpoint; say what it cost."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.make_checkpoint",
        description="random weights in the layout of the published MLX conversions",
    )
    parser.add_argument("preset", choices=PRESETS)
    parser.add_argument("folder", type=Path, help="new folder to write")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--bits", type=int, choices=(0, 3, 4, 5, 6, 8), help="0: not quantized")
    parser.add_argument(
        "--vision-bits",
        type=int,
        default=0,
        choices=(0, 3, 4, 5, 6, 8),
        help="quantize the vision tower too; equal to --bits is the layout of December 2024",
    )
    parser.add_argument(
        "--cycle",
        type=int,
        default=0,
        help="greedy text runs in cycles of this many tokens; unties the head",
    )
    parser.add_argument("--layers", type=int)
    parser.add_argument("--vision-layers", type=int)
    parser.add_argument("--ranks", type=Path, help="qwen.tiktoken, if not from the registry")
    given = parser.parse_args()
    if given.folder.exists():
        sys.exit(f"{given.folder} exists already")
    start = time.monotonic()
    folder = make_checkpoint(
        given.preset,
        given.folder,
        Options(
            seed=given.seed,
            dtype=given.dtype,
            bits=given.bits,
            vision_bits=given.vision_bits,
            cycle=given.cycle,
            layers=given.layers,
            vision_layers=given.vision_layers,
            ranks=given.ranks,
        ),
    )
    size = sum(path.stat().st_size for path in folder.iterdir())
    # ru_maxrss: KiB on Linux, bytes on macOS
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    seconds = time.monotonic() - start
    print(f"{folder}: {size / 1e6:,.0f} MB in {seconds:.1f} s, peak {peak / 1e9:.2f} GB")


main()
