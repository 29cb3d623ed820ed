"""Checkpoints of random weights in the layout of the published MLX conversions, at true shapes.

For tests and benchmarks of what does not depend on what the weights say: loading, layouts, speed,
memory, speculation. Nothing here is shipped in the wheel.

    python -m tools.make_checkpoint tiny FOLDER --tokenizer models/qvq-tiny
    python -m tools.make_checkpoint mid FOLDER [--dtype bfloat16] [--bits 4] [--cycle 16]
    python -m tools.make_checkpoint mid-draft FOLDER
    python -m tools.make_checkpoint qvq-1layer FOLDER [--vision-bits 4] [--vision-layers 2]

`mid` and `qvq-1layer` carry the real Qwen tokenizer (`tools.make_checkpoint.tokenizer`).
"""

from tools.make_checkpoint.build import Options, make_checkpoint
from tools.make_checkpoint.presets import PRESETS, Preset

__all__ = ["PRESETS", "Options", "Preset", "make_checkpoint"]
