"""The checkpoints that benchmarks run on: built once, kept in build/bench."""

from __future__ import annotations

from pathlib import Path

from tools.make_checkpoint.build import Options, make_checkpoint

FOLDER = Path(__file__).parents[1] / "build" / "bench"


def checkpoint(preset: str, options: Options, label: str) -> Path:
    """The folder of `preset`, built if it is not there yet."""
    folder = FOLDER / f"{preset}-{label}"
    if not (folder / "config.json").is_file():  # written last
        make_checkpoint(preset, folder, options)
    return folder


def mid(dtype: str = "float32", bits: int = 0, cycle: int = 0) -> Path:
    """About 100 M parameters with the real vocabulary. `cycle`: its text repeats."""
    label = f"{dtype}-{bits}bit-cycle{cycle}"
    return checkpoint("mid", Options(dtype=dtype, bits=bits, cycle=cycle), label)


def mid_draft(cycle: int = 0) -> Path:
    """A smaller one with the same tokenizer and other padding."""
    return checkpoint("mid-draft", Options(cycle=cycle), f"cycle{cycle}")
