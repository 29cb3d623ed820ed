"""What is put under the clock, by an engine whose every step takes a known time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from qvq_mlx.bench.stages import Bench
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Engine
from qvq_mlx.core.events import Progress, Stage, StopReason
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.setup import Drafting, Setup
from qvq_mlx.core.tokens import (
    Asked,
    Control,
    Effort,
    Finished,
    Generation,
    Prompt,
    Step,
    Token,
)
from qvq_mlx.store import registry

LOAD_S, ENCODE_S, CHUNK_S, TOKEN_S = 5.0, 3.0, 2.0, 0.25
END = Finished(StopReason.LENGTH, "", 0, 0, 0, False, effort=Effort("lookup", off="it lost time"))


@dataclass
class Timed:
    """An engine with a clock of its own. A picture that it saw is not encoded again."""

    now_s: float = 0.0
    setups: list[Setup] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    seen: bool = False

    def clock(self) -> float:
        return self.now_s

    def under(self, setup: Setup) -> Timed:
        self.setups.append(setup)
        self.seen = False
        return self

    def prompt(self, question: str, pictures: Sequence[Picture], system: str | None) -> Prompt:
        del system
        return Prompt(tuple(range(len(question.split()) + 5)), tuple(pictures))

    def generate(self, prompt: Prompt, generation: Generation, control: Control) -> Iterator[Step]:
        del control
        self.prompts.append(prompt)
        self.generations.append(generation)
        self.now_s += LOAD_S  # what is before the first stage is none of it
        if prompt.pictures and not self.seen:
            yield Progress(Stage.ENCODE, 0, 9)
            self.now_s += ENCODE_S
            yield Progress(Stage.ENCODE, 9, 9)
            self.seen = True
        for chunk in range(2):
            yield Progress(Stage.PREFILL, chunk, 2)
            self.now_s += CHUNK_S
        yield Progress(Stage.PREFILL, 2, 2)
        for number in range(generation.max_tokens):
            self.now_s += TOKEN_S
            yield Token(number, "a")
        yield END

    def generate_each(self, asked: Iterator[Asked], most: int) -> Iterator[tuple[int, Step]]:
        """Each begins a pass after the one before."""
        every = list(asked)
        assert len(every) == most
        for one in every:
            self.generations.append(one.generation)
        left = [one.generation.max_tokens for one in every]
        for turn in range(left[0] + most):
            self.now_s += TOKEN_S
            for row in range(min(turn + 1, most)):
                if left[row]:
                    left[row] -= 1
                    yield row, Token(turn, "a", row=row)
        for row in range(most):
            yield row, END


@pytest.fixture
def engine() -> Timed:
    return Timed()


@pytest.fixture
def bench(engine: Timed) -> Bench:
    setup = Setup(Drafting.LOOKUP, cache_folder=Path("somewhere"))
    return Bench(cast("Engine", engine), setup, engine.clock, Control())


def card() -> ModelCard:
    return registry.find("tiny")


def test_the_prefill_is_its_chunks_alone(engine: Timed, bench: Bench) -> None:
    took = bench.prefill(512)
    assert (took.tokens, took.seconds, took.per_s) == (512, 2 * CHUNK_S, 128)
    assert len(engine.prompts[0].ids) == 513  # the last token is run when it is written on
    assert engine.setups == [Setup(Drafting.NONE)]


@pytest.mark.parametrize("depth", [0, 2048])
def test_the_decode_is_what_comes_behind_the_first_token(
    engine: Timed, bench: Bench, depth: int
) -> None:
    took = bench.decode(128, depth)
    assert (took.tokens, took.seconds) == (128, 128 * TOKEN_S)
    assert len(engine.prompts[0].ids) == (depth or 32)
    assert not engine.generations[0].ends
    assert engine.setups == [Setup(Drafting.NONE)]


def test_a_drafter_is_the_one_of_a_question(engine: Timed, bench: Bench) -> None:
    took = bench.drafted(16)
    assert took.note == "lookup, it lost time"
    assert [setup.drafting for setup in engine.setups] == [Drafting.LOOKUP]


@pytest.mark.parametrize("rows", [2, 4, 8])
def test_several_count_while_all_of_them_write(engine: Timed, bench: Bench, rows: int) -> None:
    took = bench.in_flight(rows, 64)
    assert took.per_s == rows / TOKEN_S
    assert took.tokens == rows * (64 - rows)
    assert all(not generation.ends for generation in engine.generations)


def test_a_picture_is_as_large_as_its_tokens_need(engine: Timed, bench: Bench) -> None:
    took = bench.encode(card(), 5)
    assert (took.tokens, took.seconds) == (25, ENCODE_S)
    [picture] = engine.prompts[0].pictures
    assert isinstance(picture, Picture)
    assert picture.width_px == picture.height_px == 5 * card().vision.factor_px
    assert len(picture.rgb) == picture.width_px * picture.height_px * 3
    assert len(set(picture.rgb)) > 100


def test_a_second_question_finds_what_the_first_one_left(engine: Timed, bench: Bench) -> None:
    first, second = bench.second_question(card(), 5)
    assert first == LOAD_S + ENCODE_S + 2 * CHUNK_S + TOKEN_S
    assert second == first - ENCODE_S
    assert engine.prompts[0].ids != engine.prompts[1].ids
    assert engine.prompts[0].pictures == engine.prompts[1].pictures
