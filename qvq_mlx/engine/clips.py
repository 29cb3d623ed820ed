"""What a clip is to a model: its tokens in the prompt, and where they stand in M-RoPE.

Law: the families differ in time alone. Rows and columns of a step are those of a still picture; a
step of a clip is

    Qwen2-VL    one position after the step before it
    Qwen2.5-VL  floor(step x seconds of a step x tokens_per_second) positions after the first
    Qwen3-VL    a picture of its own, with its time written before it: `<0.3 seconds>`

Source: `get_rope_index` of transformers 5.2 and mlx-vlm 0.7.10; `Qwen3VLProcessor` of transformers
4.57. Text goes on behind the largest position of a clip, as in arXiv 2409.12191, section 2.1;
transformers 5.3 to 5.23 let it go on behind the larger side of a step, which is the same where
a clip spans no more positions in time than on that side.
"""

from __future__ import annotations

from typing import NamedTuple, assert_never

import numpy as np

from qvq_mlx.core.clip import Clip, Visual
from qvq_mlx.core.families import Family, PatchLayout
from qvq_mlx.core.picture import Picture
from qvq_mlx.engine.vocabulary import Vocabulary


class Block(NamedTuple):
    """A run of visual tokens: `rows` x `columns` of them at each of `times`, in positions."""

    rows: int
    columns: int
    times: tuple[int, ...] = (0,)


def visual_ids(
    vocabulary: Vocabulary, visual: Visual, before: str = "", *, timestamps: bool = False
) -> list[int]:
    """The tokens that stand for one picture or clip, its marks and the text before it included.

    `timestamps`: each step of a clip is marked by itself and told when it is shown (Qwen3-VL).
    """
    start, end = vocabulary.special("<|vision_start|>"), vocabulary.special("<|vision_end|>")
    if isinstance(visual, Picture):
        pads = [vocabulary.special("<|image_pad|>")] * visual.tokens
        return [*vocabulary.encode(before), start, *pads, end]
    pad = vocabulary.special("<|video_pad|>")
    if not timestamps:
        return [*vocabulary.encode(before), start, *[pad] * visual.tokens, end]
    step = [start, *[pad] * (visual.tokens // visual.steps), end]
    ids: list[int] = []
    for time_s in visual.step_times_s:
        ids += [*vocabulary.encode(f"{before}<{time_s:.1f} seconds>"), *step]
        before = ""
    return ids


def blocks(
    visual: Visual, layout: PatchLayout, family: Family, tokens_per_s: float = 0.0
) -> list[Block]:
    """The runs of tokens that `visual_ids` writes, in order."""
    rows, columns = layout.token_grid(visual)
    if isinstance(visual, Picture):
        return [Block(rows, columns)]
    match family:
        case Family.QWEN2_VL:
            return [Block(rows, columns, tuple(range(visual.steps)))]
        case Family.QWEN2_5_VL:
            return [Block(rows, columns, _paced(visual, tokens_per_s))]
        case Family.QWEN3_VL:
            return [Block(rows, columns)] * visual.steps
        case Family.QWEN2:
            raise AssertionError("a family that reads text only is given no clip")
        case _:
            assert_never(family)


def _paced(clip: Clip, tokens_per_s: float) -> tuple[int, ...]:
    """In float32, as the reference multiplies: a whole position hangs on the rounding."""
    interval = np.float32(tokens_per_s) * np.float32(clip.step_s)
    steps = np.arange(clip.steps, dtype=np.float32) * interval
    return tuple(int(step) for step in steps)
