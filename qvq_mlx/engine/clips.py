"""Tokens and M-RoPE positions of clips.

Law: the families differ in time alone (`Vision.clip_times`, `Vision.timestamps`). Rows and columns
of a step are those of a still picture.

Source: `get_rope_index` of transformers 5.2 and mlx-vlm 0.7.10; `Qwen3VLProcessor` of transformers
4.57. Text goes on behind the largest position of a clip, as in arXiv 2409.12191, section 2.1;
transformers 5.3 to 5.23 let it go on behind the larger side of a step, which is the same where
a clip spans no more positions in time than on that side.
"""

from __future__ import annotations

from typing import NamedTuple

from qvq_mlx.core.clip import Visual
from qvq_mlx.core.picture import Picture
from qvq_mlx.engine.vocabulary import Vocabulary
from qvq_mlx.families import Family
from qvq_mlx.families.family import PatchLayout


class Block(NamedTuple):
    """A run of visual tokens: `rows` x `columns` of them at each of `times`, in positions."""

    rows: int
    columns: int
    times: tuple[int, ...] = (0,)


def visual_ids(
    vocabulary: Vocabulary, visual: Visual, before: str = "", *, timestamps: bool = False
) -> list[int]:
    """The tokens that stand for one picture or clip, its marks and the text before it included.

    `timestamps`: each step of a clip is marked by itself, behind its time in seconds.
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
    assert family.vision is not None  # a family that reads text only is given no clip
    runs = family.vision.clip_times(visual, tokens_per_s)
    return [Block(rows, columns, times) for times in runs]
