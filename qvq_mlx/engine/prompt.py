"""The prompt of the Qwen families as token ids, and where each token stands in M-RoPE.

Law: the ids equal what the checkpoint's own chat template gives for the same messages with the
images before the text (the reference order of Qwen's examples). A message with several of them
labels them, as the templates do with `add_vision_id`; one with a single picture does not, so that
a picture that comes later leaves the prompt before it as it was. The positions equal
`get_rope_index` of transformers, which for still pictures is the same in every family
(engine/clips.py says what differs for videos).

Not covered: the default system message of a template (it is on the model card). A tool is offered
within the system message that is given (store/template_tools.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qvq_mlx.core.clip import Clip, Visual
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.rounds import Round
from qvq_mlx.core.tokens import Prompt
from qvq_mlx.engine.clips import Block, visual_ids
from qvq_mlx.engine.vocabulary import Vocabulary

TURN_BEGIN = "<|im_start|>"
TURN_END = "<|im_end|>"

Positions = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Spelling:
    """Text that the template writes around a message.

    `opened` is what it writes into the reply: `<think>` and a newline where the thinking style is
    PREOPENED. It stands before no answer of an earlier round: the templates drop the thinking
    there, tags and all. `timestamps`: the steps of a clip are told when they are shown.
    `labelled`: several pictures of a message are `Picture 1: `, `Picture 2: `, clips `Video 1: `,
    counted from the first message on. `inline`: the question's pictures stand at its `<image n>`.
    """

    opened: str = ""
    timestamps: bool = False
    labelled: bool = True
    inline: bool = False


_PLAIN = Spelling()
_PLACE = re.compile(r"<image ([1-9]\d{0,2})>", re.ASCII)


def build(
    vocabulary: Vocabulary,
    question: str,
    pictures: Sequence[Visual],
    system: str | None,
    rounds: Sequence[Round] = (),
    spelling: Spelling = _PLAIN,
) -> Prompt:
    """The ids up to and including `<|im_start|>assistant`, its newline, and what is opened.

    The first `pictures` are those of the `rounds`.
    """
    ids: list[int] = []
    if system is not None:
        ids += _turn(vocabulary, f"system\n{system}")
    labels = _labels(pictures)
    shown = 0
    for past in rounds:
        end = shown + past.pictures
        seen = list(zip(pictures[shown:end], labels[shown:end], strict=True))
        ids += _asked(vocabulary, past.question, seen, spelling)
        ids += _turn(vocabulary, f"assistant\n{past.answer}")
        shown = end
    seen = list(zip(pictures[shown:], labels[shown:], strict=True))
    if spelling.inline:
        texts, order = _places(question, len(seen))
        ids += _interleaved(
            vocabulary, texts, [pictures[shown + index] for index in order], spelling
        )
        pictures = (*pictures[:shown], *(pictures[shown + index] for index in order))
    else:
        ids += _asked(vocabulary, question, seen, spelling)
    reply = f"assistant\n{spelling.opened}"
    ids += [vocabulary.special(TURN_BEGIN), *vocabulary.encode(reply)]
    return Prompt(ids=tuple(ids), pictures=tuple(pictures))


PICTURE = "<picture>"
"""The place of a picture in the text of a message that is added to a prompt."""


def extended(
    vocabulary: Vocabulary,
    prompt: Prompt,
    written: Sequence[int],
    text: str,
    pictures: Sequence[Visual],
    spelling: Spelling = _PLAIN,
) -> Prompt:
    """`prompt`, the reply `written` to it, and a next message of the user's up to its reply.

    In `text` the first PICTURE stands for the first of `pictures`, and so on; the rest is text. The
    ids of the prompt and of the reply stay as they are.
    """
    texts = text.split(PICTURE, len(pictures))
    turn = _interleaved(vocabulary, [*texts], pictures, spelling)
    end = [vocabulary.special(TURN_END), *vocabulary.encode("\n")]
    reply = [
        vocabulary.special(TURN_BEGIN),
        *vocabulary.encode(f"assistant\n{spelling.opened}"),
    ]
    ids = (*prompt.ids, *written, *end, *turn, *reply)
    return Prompt(ids, (*prompt.pictures, *pictures))


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


def _places(question: str, count: int) -> tuple[list[str], list[int]]:
    """Split a question at the first `<image n>` of each of `count` pictures.

    Returns the texts before, between and after the pictures, and the pictures' indices from 0 in
    the order in which they stand; those without a place come first.
    """
    placed = {
        int(match[1]) - 1: match
        for match in reversed(list(_PLACE.finditer(question)))
        if 1 <= int(match[1]) <= count
    }
    inside = sorted(placed, key=lambda index: placed[index].start())
    before = [index for index in range(count) if index not in placed]
    texts, end = [""] * len(before), 0
    for index in inside:
        texts.append(question[end : placed[index].start()])
        end = placed[index].end()
    return [*texts, question[end:]], [*before, *inside]


def _interleaved(
    vocabulary: Vocabulary, texts: Sequence[str], pictures: Sequence[Visual], spelling: Spelling
) -> list[int]:
    """A message of the user's with a picture between each two texts."""
    first, *after = [f"user\n{texts[0]}", *texts[1:]]
    ids = [vocabulary.special(TURN_BEGIN)]
    before = first
    for picture, text in zip(pictures, after, strict=True):
        ids += visual_ids(vocabulary, picture, before, timestamps=spelling.timestamps)
        before = text
    end = vocabulary.special(TURN_END)
    return [*ids, *vocabulary.encode(before), end, *vocabulary.encode("\n")]


def _turn(vocabulary: Vocabulary, text: str) -> list[int]:
    """A message without pictures. No special token stands in it, so it is tokenized as one text."""
    start, end = vocabulary.special(TURN_BEGIN), vocabulary.special(TURN_END)
    return [start, *vocabulary.encode(text), end, *vocabulary.encode("\n")]


def _labels(pictures: Sequence[Visual]) -> list[str]:
    """`Picture 1: `, `Video 1: `: each kind is counted by itself."""
    counts = {Picture: 0, Clip: 0}
    labels = []
    for visual in pictures:
        counts[type(visual)] += 1
        word = "Picture" if isinstance(visual, Picture) else "Video"
        labels.append(f"{word} {counts[type(visual)]}: ")
    return labels


def _asked(
    vocabulary: Vocabulary,
    question: str,
    pictures: Sequence[tuple[Visual, str]],
    spelling: Spelling,
) -> list[int]:
    """A message of the user's. What stands before a picture is tokenized as one text."""
    if not pictures:
        return _turn(vocabulary, f"user\n{question}")
    ids, before = [vocabulary.special(TURN_BEGIN)], "user\n"
    for picture, label in pictures:
        before += label if spelling.labelled and len(pictures) > 1 else ""
        ids += visual_ids(vocabulary, picture, before, timestamps=spelling.timestamps)
        before = ""
    end = vocabulary.special(TURN_END)
    return [*ids, *vocabulary.encode(question), end, *vocabulary.encode("\n")]
