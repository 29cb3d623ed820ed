"""The prompt of the Qwen families as token ids, and where each token stands in M-RoPE.

Law: the ids equal what the checkpoint's own chat template gives for the same messages with the
images before the text (the reference order of Qwen's examples); the positions equal
`get_rope_index` of transformers, which for still pictures is the same in every family
(engine/clips.py says what differs for videos).

Not covered: the default system message of a template (it is on the model card), and tools.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qvq_mlx.core.clip import Visual
from qvq_mlx.core.rounds import Round
from qvq_mlx.core.tokens import Prompt
from qvq_mlx.engine.clips import Block, visual_ids
from qvq_mlx.engine.vocabulary import Vocabulary

Positions = npt.NDArray[np.int32]


def build(
    vocabulary: Vocabulary,
    question: str,
    pictures: Sequence[Visual],
    system: str | None,
    opened: str = "",
    rounds: Sequence[Round] = (),
    timestamps: bool = False,
) -> Prompt:
    """The ids up to and including `<|im_start|>assistant`, its newline, and `opened`.

    `opened` is what the template itself writes into the reply: `<think>` and a newline where the
    thinking style is PREOPENED. It stands before no answer of an earlier round: the templates drop
    the thinking there, tags and all. The first `pictures` are those of the `rounds`. `timestamps`:
    the steps of a clip are told when they are shown.
    """
    ids: list[int] = []
    if system is not None:
        ids += _turn(vocabulary, f"system\n{system}")
    shown = 0
    for past in rounds:
        seen = pictures[shown : shown + past.pictures]
        ids += _asked(vocabulary, past.question, seen, timestamps)
        ids += _turn(vocabulary, f"assistant\n{past.answer}")
        shown += past.pictures
    ids += _asked(vocabulary, question, pictures[shown:], timestamps)
    ids += [vocabulary.special("<|im_start|>"), *vocabulary.encode(f"assistant\n{opened}")]
    return Prompt(ids=tuple(ids), pictures=tuple(pictures))


def positions(
    ids: Sequence[int],
    grids: Sequence[tuple[int, int] | Block],
    *visual_token_ids: int | None,
) -> Positions:
    """M-RoPE positions, (3, tokens): time, height and width of every token.

    `grids` holds (rows, columns) of image tokens per picture, and the blocks of clips, in order;
    `visual_token_ids` are the ids that stand for them. Text counts on in all three; a block that
    begins at p has (p + time, p + row, p + column), and text after it goes on behind the largest
    of these. Source: Qwen2-VL, arXiv 2409.12191, section 2.1.
    """
    out = np.empty((3, len(ids)), dtype=np.int32)
    index, position = 0, 0
    remaining = iter(grids)
    while index < len(ids):
        if ids[index] not in visual_token_ids:
            out[:, index] = position
            index, position = index + 1, position + 1
            continue
        rows, columns, times = Block(*next(remaining))
        count = len(times) * rows * columns
        step, cell = np.divmod(np.arange(count), rows * columns)
        row, column = np.divmod(cell, columns)
        out[:, index : index + count] = position + np.stack([np.array(times)[step], row, column])
        index, position = index + count, position + max(rows, columns, times[-1] + 1)
    return out


def _turn(vocabulary: Vocabulary, text: str) -> list[int]:
    """A message without pictures. No special token stands in it, so it is tokenized as one text."""
    start, end = vocabulary.special("<|im_start|>"), vocabulary.special("<|im_end|>")
    return [start, *vocabulary.encode(text), end, *vocabulary.encode("\n")]


def _asked(
    vocabulary: Vocabulary, question: str, pictures: Sequence[Visual], timestamps: bool
) -> list[int]:
    """A message of the user's."""
    if not pictures:
        return _turn(vocabulary, f"user\n{question}")
    ids = [vocabulary.special("<|im_start|>"), *vocabulary.encode("user\n")]
    for picture in pictures:
        ids += visual_ids(vocabulary, picture, timestamps)
    end = vocabulary.special("<|im_end|>")
    return [*ids, *vocabulary.encode(question), end, *vocabulary.encode("\n")]
