"""Packed training rows: one picture, several questions about it (numpy and `tokenizers`).

Law: a row is `[prefix][branch 1][branch 2]...`. Every branch (question, thinking, answer) attends
to the prefix (system prompt, image) and to itself, never to another branch, and its M-RoPE
positions restart at the end of the prefix; so each branch sees what a prompt of its own would show.
Loss falls on replies only, with weights: what was seen counts more than how it is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
from tokenizers import Tokenizer

from tools.tiny import hub
from tools.tiny.pictures import BUCKET_SHARES, BUCKETS, Size, grounding, seen, take
from tools.tiny.questions import example
from tools.tiny.replies import CLOSING, SYSTEM_PROMPTS, TASKS, Example
from tools.tiny.scenes import COLORS, KINDS, Scene

ROW_TOKENS = 320
FAMILIES = ("shapes", "chart", "expression")
PREFIX, PADDING = 0, -1  # segment numbers; branches are 1, 2, ...
IGNORED = -100
SYSTEM_SHARES = (0.7, 0.18, 0.12)
CONTENT_WEIGHT, DIGIT_WEIGHT = 2.0, 3.0
DIGIT_TASKS = ("arithmetic", "find", "locate")


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the training data; re-read from a JSON file while training goes on."""

    shapes: float = 0.46
    chart: float = 0.18
    expression: float = 0.36
    text_first: float = 0.12
    cut: float = 0.06

    @classmethod
    def read(cls, path: Path | None) -> Mix:
        """The file's shares; the defaults where there is no file."""
        if path is None or not path.exists():
            return cls()
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def _weights(self, bucket: Size) -> list[float]:
        shares = (self.shapes, self.chart, self.expression)
        index = BUCKETS.index(bucket)
        families = zip(shares, FAMILIES, strict=True)
        return [share * BUCKET_SHARES[family][index] for share, family in families]

    def bucket(self, rng: Random) -> Size:
        """The picture size of a whole batch: one shape, one compiled graph."""
        return rng.choices(BUCKETS, weights=[sum(self._weights(b)) for b in BUCKETS])[0]

    def family(self, rng: Random, bucket: Size) -> str:
        """The family of one row. A batch mixes them: single-family batches pull to and fro."""
        return rng.choices(FAMILIES, weights=self._weights(bucket))[0]


class Encoder:
    """Text to token ids, and each token's weight in the loss; `content`: more words that count."""

    def __init__(self, tokenizer_file: Path, content: tuple[str, ...] = ()) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self._cache: dict[str, list[int]] = {}
        self.content = np.zeros(hub.VOCAB_SIZE, bool)
        self.digits = np.zeros(hub.VOCAB_SIZE, bool)
        words = [*KINDS, *(f"{kind}s" for kind in KINDS), *COLORS, *"ABCDEF"]
        words += ["Row", "First", "Second", "Third", "Fourth", "Fifth", "Then", *content]
        for word in (*(f" {word}" for word in words), *".,+-*", " (", "),", ").", " +", " -", " *"):
            self.content[self(word)[-1]] = True
        for digit in "0123456789":
            self.digits[self(digit)] = True
        self.content |= self.digits

    def __call__(self, text: str) -> list[int]:
        """Token ids of `text`, without special tokens."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def fixed(self, text: str) -> list[int]:
        """The same, remembered; for the texts that come with every row."""
        if text not in self._cache:
            self._cache[text] = self(text)
        return self._cache[text]

    def weights(self, task: str) -> np.ndarray:
        """Loss weight of every token; misread digits are what costs arithmetic."""
        weights = np.where(self.content, CONTENT_WEIGHT, 1.0).astype(np.float32)
        if task in DIGIT_TASKS:
            weights[self.digits] = DIGIT_WEIGHT
        return weights


@dataclass(slots=True)
class Row:
    """Token columns of one row while it is being written."""

    grid: tuple[int, int]  # rows and columns of image tokens
    ids: list[int] = field(default_factory=list)
    positions: list[tuple[int, int, int]] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)  # index of the image token, -1 for text
    labels: list[int] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    branches: int = 0

    def add_text(
        self,
        ids: list[int],
        start: int,
        segment: int,
        learn_from: int | None = None,
        task: int = -1,
    ) -> int:
        """Append text at position `start`; tokens from `learn_from` on are labels."""
        count = len(ids)
        keep = count if learn_from is None else learn_from
        self.ids += ids
        self.positions += [(p, p, p) for p in range(start, start + count)]
        self.segments += [segment] * count
        self.cells += [-1] * count
        self.labels += [IGNORED] * keep + ids[keep:]
        self.tasks += [task] * count
        return start + count

    def add_image(self, start: int, segment: int, crop: tuple[int, int] | None = None) -> int:
        """Append start mark, image tokens and end mark; return the next position.

        `crop`: the grid of the second picture, whose cells follow those of the first.
        """
        start = self.add_text([hub.VISION_START], start, segment)
        rows, columns = crop or self.grid
        first = self.grid[0] * self.grid[1] if crop else 0
        count = rows * columns
        self.ids += [hub.IMAGE_PAD] * count
        self.positions += [(start, start + i // columns, start + i % columns) for i in range(count)]
        self.segments += [segment] * count
        self.cells += range(first, first + count)
        self.labels += [IGNORED] * count
        self.tasks += [-1] * count
        return self.add_text([hub.VISION_END], start + max(rows, columns), segment)


def reply(rng: Random, encode: Encoder, asked: Example, cut_share: float) -> tuple[list[int], int]:
    """Token ids of a reply and where learning begins: at 0, or behind a forced closing."""
    if rng.random() >= cut_share:
        return [*encode(f"{asked.thinking}{CLOSING}{asked.boxed}"), hub.IM_END], 0
    thinking = encode(asked.thinking)
    forced = thinking[: rng.randint(0, len(thinking))] + encode.fixed(CLOSING)
    return [*forced, *encode(asked.boxed), hub.IM_END], len(forced)


def prefix_text(rng: Random, encode: Encoder, label: str = "") -> list[int]:
    """System turn, if any, and the head of the user's turn with the first picture's label."""
    system = rng.choices(SYSTEM_PROMPTS, weights=SYSTEM_SHARES)[0]
    user = [hub.IM_START, *encode.fixed(f"user\n{label}")]
    if not system:
        return user
    turn = [hub.IM_START, *encode.fixed(f"system\n{system}"), hub.IM_END, *encode.fixed("\n")]
    return turn + user


def pack_row(rng: Random, encode: Encoder, scene: Scene, bucket: Size, mix: Mix) -> Row:
    """As many different questions about one scene as fit."""
    row = Row((bucket[1] // hub.CELL_PX, bucket[0] // hub.CELL_PX))
    image_last = rng.random() < mix.text_first
    start = row.add_text(prefix_text(rng, encode), 0, PREFIX)
    if not image_last:
        start = row.add_image(start, PREFIX)
    turn = [hub.IM_END, *encode.fixed("\n"), hub.IM_START, *encode.fixed("assistant\n")]
    image_tokens = row.grid[0] * row.grid[1] + 2 if image_last else 0
    known: set[str] = set()
    for _ in range(14):
        asked = example(rng, scene)
        if asked.question in known:
            continue
        question = encode(asked.question)
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


Arrays = dict[str, np.ndarray]


def empty_batch(rows: int, tokens: int) -> Arrays:
    """Arrays of `rows` empty rows of `tokens` columns."""
    shape = (rows, tokens)
    return {
        "ids": np.full(shape, hub.END_OF_TEXT),
        "positions": np.zeros((3, *shape), np.int64),
        "segments": np.full(shape, PADDING),
        "cells": np.full(shape, -1),
        "labels": np.full(shape, IGNORED),
        "tasks": np.full(shape, -1),
        "weights": np.zeros(shape, np.float32),
    }


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed rows, and the crops of those that are pages.

    `crops`: the row of each crop, its pixels (height, width, 3), and what lies in its cells.
    """

    arrays: Arrays
    crops: tuple[tuple[int, np.ndarray, np.ndarray], ...] = ()


def fill_row(batch: Arrays, i: int, row: Row, table: Mapping[int, np.ndarray]) -> None:
    """Write `row` into row `i`; `table` holds the tokens' weights by task."""
    used = slice(0, len(row.ids))
    for name in ("ids", "segments", "cells", "labels", "tasks"):
        batch[name][i, used] = getattr(row, name)
    batch["positions"][:, i, used] = np.array(row.positions).T
    for task in set(row.tasks) - {-1}:
        here = batch["tasks"][i] == task
        batch["weights"][i, here] = table[task][batch["ids"][i, here]]


def text_batch(
    rng: Random, encode: Encoder, rows: int, mix: Mix, bucket: Size | None = None
) -> Batch:
    """`rows` packed rows of one bucket, families mixed; arrays are (rows, tokens) unless named."""
    bucket = bucket or mix.bucket(rng)
    batch = empty_batch(rows, ROW_TOKENS)
    table = {i: encode.weights(task) for i, task in enumerate(TASKS)}
    images, targets = [], []
    for i in range(rows):
        picture = take(rng, mix.family(rng, bucket), bucket)
        row = pack_row(rng, encode, picture.scene, bucket, mix)
        fill_row(batch, i, row, table)
        images.append(seen(picture, bucket))
        targets.append(grounding(picture, bucket))
    return Batch(batch | {"images": np.stack(images), "grounding": np.stack(targets)})


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
    encode = Encoder(tokenizer_file)
    while True:
        mix = Mix.read(mix_file)
        if grounding_only:
            yield picture_batch(rng, rows, mix)
        else:
            yield text_batch(rng, encode, rows, mix)
