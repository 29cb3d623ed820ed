"""Checkpoints of random weights in the layout of the published MLX conversions, at true shapes.

For tests and benchmarks of what does not depend on what the weights say: loading, layouts, speed,
memory, speculation. Nothing here is shipped in the wheel.

    python -m tools.make_checkpoint tiny FOLDER [--bits 4 --vision-bits 4]
    python -m tools.make_checkpoint mid FOLDER [--dtype bfloat16] [--bits 4] [--cycle 16]
    python -m tools.make_checkpoint mid-draft FOLDER
    python -m tools.make_checkpoint qvq-1layer FOLDER [--vision-bits 4] [--vision-layers 2]
    python -m tools.make_checkpoint 2b FOLDER [--layers 1 --vision-layers 1]
    python -m tools.make_checkpoint qwen3.5-4b FOLDER [--layers 2 --vision-layers 1]

A preset that is called like a card has that card's shape; every family has one. These, `tiny` and
`2b` carry the embedded model's tokenizer, the others Qwen's (`tools.make_checkpoint.tokenizer`).
`--cycle N` makes greedy text run in cycles of N tokens, the same in every checkpoint built with
the same N: prompt lookup and `mid-draft` then propose what `mid` says. `qvq-1layer` needs 1.6 GB of
memory in 4 bit, 5.4 GB with `--bits 0`, where the embedding alone is 2.5 GB.
"""

from tools.make_checkpoint.build import Options, make_checkpoint
from tools.make_checkpoint.presets import PRESETS, Preset

__all__ = ["PRESETS", "Options", "Preset", "make_checkpoint"]
