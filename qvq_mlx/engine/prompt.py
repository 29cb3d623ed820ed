"""The prompt of the Qwen families as token ids, and where each token stands in M-RoPE.

Law: the ids equal what the checkpoint's own chat template gives for the same messages with the
images before the text (the reference order of Qwen's examples); the positions equal
`get_rope_index` of transformers, which for still pictures is the same in every family.

Not covered: the default system message of a template (it is on the model card), and tools.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qvq_mlx.core.picture import Picture
from qvq_mlx.core.rounds import Round
from qvq_mlx.core.tokens import Prompt
from qvq_mlx.engine.vocabulary import Vocabulary

Positions = npt.NDArray[np.int32]


def build(
    vocabulary: Vocabulary,
    question: str,
    pictures: Sequence[Picture],
    system: str | None,
    opened: str = "",
    rounds: Sequence[Round] = (),
) -> Prompt:
    """The ids up to and including `<|im_start|>assistant`, its newline, and `opened`.

    `opened` is what the template itself writes into the reply: `<think>` and a newline where the
    thinking style is PREOPENED. It stands before no answer of an earlier round: the templates drop
    the thinking there, tags and all. The first `pictures` are those of the `rounds`.
    """
    ids: list[int] = []
    if system is not None:
        ids += _turn(vocabulary, f"system\n{system}")
    shown = 0
    for past in rounds:
        ids += _asked(vocabulary, past.question, pictures[shown : shown + past.pictures])
        ids += _turn(vocabulary, f"assistant\n{past.answer}")
        shown += past.pictures
    ids += _asked(vocabulary, question, pictures[shown:])
    ids += [vocabulary.special("<|im_start|>"), *vocabulary.encode(f"assistant\n{opened}")]
    return Prompt(ids=tuple(ids), pictures=tuple(pictures))


def positions(
    ids: Sequence[int], grids: Sequence[tuple[int, int]], image_token_id: int | None
) -> Positions:
    """M-RoPE positions, (3, tokens): time, height and width of every token.

    `grids` holds (rows, columns) of image tokens per picture, in order. Text counts on in all
    three; a picture that begins at p has (p, p + row, p + column), and text after it goes on at
    p + max(rows, columns). Source: Qwen2-VL, arXiv 2409.12191, section 2.1.
    """
    out = np.empty((3, len(ids)), dtype=np.int32)
    index, position = 0, 0
    remaining = iter(grids)
    while index < len(ids):
        if ids[index] != image_token_id:
            out[:, index] = position
            index, position = index + 1, position + 1
            continue
        rows, columns = next(remaining)
        count = rows * columns
        row, column = np.divmod(np.arange(count), columns)
        out[:, index : index + count] = position + np.stack([np.zeros_like(row), row, column])
        index, position = index + count, position + max(rows, columns)
    return out


def _turn(vocabulary: Vocabulary, text: str) -> list[int]:
    """A message without pictures. No special token stands in it, so it is tokenized as one text."""
    start, end = vocabulary.special("<|im_start|>"), vocabulary.special("<|im_end|>")
    return [start, *vocabulary.encode(text), end, *vocabulary.encode("\n")]


def _asked(vocabulary: Vocabulary, question: str, pictures: Sequence[Picture]) -> list[int]:
    """A message of the user's."""
    if not pictures:
        return _turn(vocabulary, f"user\n{question}")
    ids = [vocabulary.special("<|im_start|>"), *vocabulary.encode("user\n")]
    for picture in pictures:
        ids.append(vocabulary.special("<|vision_start|>"))
        ids += [vocabulary.special("<|image_pad|>")] * picture.tokens
        ids.append(vocabulary.special("<|vision_end|>"))
    end = vocabulary.special("<|im_end|>")
    return [*ids, *vocabulary.encode(question), end, *vocabulary.encode("\n")]
