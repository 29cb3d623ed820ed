"""Packed rows of the second generation: follow-ups, pages and their crops (numpy, `tokenizers`).

Law: as in `tools.tiny.packing`. A page's row has two pictures: the page in the prefix, and the crop
within each branch that is asked about it. A follow-up is a branch with an earlier round before it,
of which only the answer stands there, without its thinking, as our engine keeps earlier rounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from tools.tiny import hub
from tools.tiny.packing import (
    PREFIX,
    Batch,
    Encoder,
    Row,
    empty_batch,
    fill_row,
    prefix_text,
)
from tools.tiny.pictures import BUCKETS, Size
from tools.tiny.replies import CLOSING
from tools.tiny.second.pages import Page, crop_size, draw_page
from tools.tiny.second.pictures import BUCKET_SHARES, grounding, seen, take
from tools.tiny.second.questions import example, following
from tools.tiny.second.replies import TASKS, Example, place
from tools.tiny.second.scenes import LETTERS, Picture, Scene
from tools.tiny.second.wordings import Asker

ROW_TOKENS = 352
FAMILIES = ("shapes", "chart", "expression", "word")
FIRST_LABEL, SECOND_LABEL = "Picture 1: ", "Picture 2: "
# Words of a reply that carry what was seen or decided, besides those of the first generation.
CONTENT = (
    *LETTERS,
    *("yes", "no", "equal", "more", "fewer", "neither", "than", "the"),
    *("left", "right", "above", "below", "upper", "lower"),
)


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the training data; re-read from a JSON file while training goes on."""

    shapes: float = 0.50
    chart: float = 0.18
    expression: float = 0.21
    word: float = 0.11
    page: float = 0.2  # of the rows; the shares above are of the rest
    text_first: float = 0.08
    cut: float = 0.09
    follow: float = 0.08

    @classmethod
    def read(cls, path: Path | None) -> Mix:
        """The file's shares; the defaults where there is no file."""
        if path is None or not path.exists():
            return cls()
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def _weights(self, bucket: Size) -> list[float]:
        shares = (self.shapes, self.chart, self.expression, self.word)
        index = BUCKETS.index(bucket)
        families = zip(shares, FAMILIES, strict=True)
        return [share * BUCKET_SHARES[family][index] for share, family in families]

    def bucket(self, rng: Random) -> Size:
        """The picture size of a whole batch: one shape, one compiled graph."""
        return rng.choices(BUCKETS, weights=[sum(self._weights(b)) for b in BUCKETS])[0]

    def family(self, rng: Random, bucket: Size) -> str:
        """The family of one row. A batch mixes them: single-family batches pull to and fro."""
        return rng.choices(FAMILIES, weights=self._weights(bucket))[0]


def encoder(tokenizer_file: Path) -> Encoder:
    """An encoder that knows this generation's content words."""
    return Encoder(tokenizer_file, CONTENT)


def reply(rng: Random, encode: Encoder, asked: Example, cut_share: float) -> tuple[list[int], int]:
    """Token ids of a reply and where learning begins: at 0, or behind a forced closing."""
    if rng.random() >= cut_share:
        thought = f"{asked.thinking}{CLOSING}" if asked.thinking else ""
        return [*encode(f"{thought}{asked.spoken}"), hub.IM_END], 0
    thinking = encode(asked.thinking)
    forced = thinking[: rng.randint(0, len(thinking))] + encode.fixed(CLOSING)
    return [*forced, *encode(asked.spoken), hub.IM_END], len(forced)


def turn_of(encode: Encoder, other: str) -> list[int]:
    """The end of a turn and the head of the next, which is `other`'s."""
    return [hub.IM_END, *encode.fixed("\n"), hub.IM_START, *encode.fixed(f"{other}\n")]


def earlier_round(rng: Random, encode: Encoder, scene: Scene) -> list[int]:
    """A question about the scene with its answer, up to the head of the next question."""
    asked = example(rng, scene)
    answered = [*turn_of(encode, "assistant"), *encode(asked.spoken)]
    return [*encode(asked.question), *answered, *turn_of(encode, "user")]


def pack_row(rng: Random, encode: Encoder, scene: Scene, bucket: Size, mix: Mix) -> Row:
    """As many different questions about one scene as fit."""
    row = Row((bucket[1] // hub.CELL_PX, bucket[0] // hub.CELL_PX))
    image_last = rng.random() < mix.text_first
    start = row.add_text(prefix_text(rng, encode), 0, PREFIX)
    if not image_last:
        start = row.add_image(start, PREFIX)
    turn = turn_of(encode, "assistant")
    image_tokens = row.grid[0] * row.grid[1] + 2 if image_last else 0
    known: set[str] = set()
    for _ in range(14):
        before: list[int] = []
        asked = example(rng, scene)
        if not image_last and rng.random() < mix.follow:
            before = earlier_round(rng, encode, scene)
            asked = following(rng, scene) or asked
        if asked.question in known:
            continue
        question = before + encode(asked.question)
        answer, learn_from = reply(rng, encode, asked, mix.cut)
        need = len(question) + image_tokens + len(turn) + len(answer)
        if len(row.ids) + need > ROW_TOKENS:
            continue
        known.add(asked.question)
        row.branches += 1
        at = row.add_text(question, start, row.branches)
        if image_last:
            at = row.add_image(at, row.branches)
        at = row.add_text(turn, at, row.branches)
        row.add_text(answer, at, row.branches, learn_from, TASKS.index(asked.task))
        if len(row.ids) > ROW_TOKENS - 55:
            break
    return row


def pack_page(rng: Random, encode: Encoder, page: Page, bucket: Size, mix: Mix) -> Row:
    """Where to look, or what the crop answers, in as many questions as fit.

    Half of the rows are the locating question about the page alone, followed in one branch by the
    crop in a turn of its own; half are page and crop as two labelled pictures of one turn.
    """
    row = Row((bucket[1] // hub.CELL_PX, bucket[0] // hub.CELL_PX))
    width, height = crop_size(page)
    grid = (height // hub.CELL_PX, width // hub.CELL_PX)
    labelled = rng.random() < 0.55
    label = FIRST_LABEL if labelled else ""
    start = row.add_image(row.add_text(prefix_text(rng, encode, label), 0, PREFIX), PREFIX)
    turn = turn_of(encode, "assistant")
    for number in range(6):
        asked = example(rng, page.scene)
        if asked.task == "find":
            continue
        ids = encode(asked.question)
        answer, learn_from = reply(rng, encode, asked, mix.cut)
        where = Example("locate", "", "", "", (place(page.name, page.box),))
        if labelled:
            before = encode.fixed(SECOND_LABEL)
        else:
            words, _ = Asker(rng)("look", q=asked.question)
            pointing, point_from = reply(rng, encode, where, 0.15)
            at_most = len(row.ids) + len(encode(words)) + len(turn) + len(pointing)
            if at_most > ROW_TOKENS:
                break
            row.branches += 1
            at = row.add_text(encode(words), start, row.branches)
            at = row.add_text(turn, at, row.branches)
            at = row.add_text(pointing, at, row.branches, point_from, TASKS.index("locate"))
            if number or rng.random() < 0.4:
                continue
            before = [*encode.fixed("\n"), hub.IM_START, *encode.fixed("user\n")]
        need = len(before) + grid[0] * grid[1] + 2 + len(ids) + len(turn) + len(answer)
        if len(row.ids) + need > ROW_TOKENS:
            continue
        if labelled:
            row.branches += 1
            at = start
        at = row.add_text(before, at, row.branches)
        at = row.add_image(at, row.branches, grid)
        at = row.add_text([*ids, *turn], at, row.branches)
        row.add_text(answer, at, row.branches, learn_from, TASKS.index("crop"))
    return row


def text_batch(
    rng: Random, encode: Encoder, rows: int, mix: Mix, bucket: Size | None = None
) -> Batch:
    """`rows` packed rows of one bucket, families mixed; arrays are (rows, tokens) unless named."""
    bucket = bucket or mix.bucket(rng)
    batch = empty_batch(rows, ROW_TOKENS)
    table = {i: encode.weights(task) for i, task in enumerate(TASKS)}
    images, targets, crops = [], [], []
    pages = round(rows * mix.page)
    for i in range(rows):
        if i < pages:
            page = draw_page(rng, bucket)
            picture = Picture(page.image, page.scene, page.marks, page.crop.background)
            row = pack_page(rng, encode, page, bucket, mix)
            size = crop_size(page)
            crops.append((i, seen(page.crop, size), grounding(page.crop, size)))
        else:
            picture = take(rng, mix.family(rng, bucket), bucket)
            row = pack_row(rng, encode, picture.scene, bucket, mix)
        fill_row(batch, i, row, table)
        images.append(seen(picture, bucket))
        targets.append(grounding(picture, bucket))
    arrays = batch | {"images": np.stack(images), "grounding": np.stack(targets)}
    return Batch(arrays, tuple(crops))


def picture_batch(rng: Random, rows: int, mix: Mix) -> Batch:
    """Pictures and what lies in their cells; for the grounding stage."""
    bucket = mix.bucket(rng)
    pictures = [take(rng, mix.family(rng, bucket), bucket) for _ in range(rows)]
    return Batch(
        {
            "images": np.stack([seen(picture, bucket) for picture in pictures]),
            "grounding": np.stack([grounding(picture, bucket) for picture in pictures]),
        }
    )


def batches(
    seed: int, tokenizer_file: Path, mix_file: Path | None, rows: int, grounding_only: bool = False
) -> Iterator[Batch]:
    """Endless batches; the mix file is looked at before each."""
    rng = Random(seed)
    encode = encoder(tokenizer_file)
    while True:
        mix = Mix.read(mix_file)
        if grounding_only:
            yield picture_batch(rng, rows, mix)
        else:
            yield text_batch(rng, encode, rows, mix)
