"""Several questions in flight: each writes what it writes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.events import Progress, StopReason
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.tokens import AnswerConstraint, Asked, Control, Finished, Generation, Step, Token
from qvq_mlx.engine.session import Session
from qvq_mlx.engine.widening import PASSES, Widening
from tests.engine.conftest import goldens

MOST_TOKENS = 44
SCHEMA = '{"type": "object", "properties": {"n": {"type": "integer", "maximum": 99}}}'

Questions = Callable[[Sampling], list[Asked]]


@pytest.fixture(scope="module")
def questions(tiny: Session, card: ModelCard, picture: Callable[[Path], Picture]) -> Questions:
    """Questions about pictures of several sizes, and one without; bounds, penalties, a schema."""
    prompts = [
        tiny.prompt(golden.question, [picture(golden.image)], golden.system)
        for golden in goldens()[:4]
    ]
    prompts.append(tiny.prompt("Say something.", [], None))
    closing = card.thinking.closing
    held = AnswerConstraint(card.thinking, SCHEMA)

    def asked(sampling: Sampling) -> list[Asked]:
        ways = [
            Generation(replace(sampling, seed=number), MOST_TOKENS - 7 * number, closing)
            for number in range(len(prompts))
        ]
        ways[1] = replace(ways[1], sampling=replace(ways[1].sampling, presence_penalty=0.5))
        ways[2] = replace(ways[2], constraint=held)
        return [Asked(*pair, Control()) for pair in zip(prompts, ways, strict=True)]

    return asked


def texts(steps: Iterator[tuple[int, Step]]) -> dict[int, tuple[list[int], Finished]]:
    """Ids and end of each question."""
    ids: dict[int, list[int]] = {}
    ends: dict[int, Finished] = {}
    for number, step in steps:
        match step:
            case Token(id=token_id):
                ids.setdefault(number, []).append(token_id)
            case Finished():
                assert number not in ends
                ends[number] = step
            case Progress():
                assert number not in ids
    return {number: (ids.get(number, []), end) for number, end in ends.items()}


def alone(session: Session, asked: list[Asked]) -> dict[int, tuple[list[int], Finished]]:
    return texts(
        (number, step)
        for number, one in enumerate(asked)
        for step in session.generate(one.prompt, one.generation, one.control)
    )


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_each_writes_what_it_writes_alone(
    tiny: Session, questions: Questions, temperature: float
) -> None:
    sampling = Sampling(temperature)
    single = alone(tiny, questions(sampling))
    for most in (2, 4) if temperature else (8,):
        found = texts(tiny.generate_each(iter(questions(sampling)), most))
        assert {n: ids for n, (ids, _) in found.items()} == {n: i for n, (i, _) in single.items()}
        for number, (_, end) in found.items():
            other = single[number][1]
            assert (end.stop_reason, end.schema_met) == (other.stop_reason, other.schema_met)
            assert (end.prompt_tokens, end.image_tokens) == (
                other.prompt_tokens,
                other.image_tokens,
            )


def test_what_steers_one_leaves_the_others_alone(tiny: Session, questions: Questions) -> None:
    """One is stopped while it is read, one while it writes, one is asked for its answer."""

    def steered(number: int, step: Step, one: Asked) -> None:
        if number == 3 and isinstance(step, Progress):
            one.control.stop()
        if number == 1 and isinstance(step, Token):
            one.control.stop()
        if number == 0 and isinstance(step, Token):
            one.control.conclude()

    def watched(
        steps: Iterator[tuple[int, Step]], asked: list[Asked]
    ) -> Iterator[tuple[int, Step]]:
        for number, step in steps:
            steered(number, step, asked[number])
            yield number, step

    apart = questions(Sampling())
    single = {
        number: found[number]
        for number, one in enumerate(apart)
        for found in [
            texts(
                watched(
                    (
                        (number, step)
                        for step in tiny.generate(one.prompt, one.generation, one.control)
                    ),
                    apart,
                )
            )
        ]
    }
    asked = questions(Sampling())
    found = texts(watched(tiny.generate_each(iter(asked), 3), asked))
    assert {n: ids for n, (ids, _) in found.items()} == {n: ids for n, (ids, _) in single.items()}
    assert found[3][0] == []
    assert len(found[1][0]) == 1
    assert found[0][1].concluded
    assert found[1][1].stop_reason is found[3][1].stop_reason is StopReason.INTERRUPT


def test_places_are_taken_as_they_become_free(tiny: Session, questions: Questions) -> None:
    """A question is pulled only when there is a place for it, and read between passes."""
    asked = questions(Sampling())
    pulled, ended, most = 0, 0, 2

    def pulling() -> Iterator[Asked]:
        nonlocal pulled
        for one in asked:
            assert pulled - ended < most
            pulled += 1
            yield one

    order: list[str] = []
    for number, step in tiny.generate_each(pulling(), most):
        if isinstance(step, Finished):
            ended += 1
        if number in (0, 1) and not isinstance(step, Finished):
            order.append("read" if isinstance(step, Progress) and number else type(step).__name__)
    assert ended == len(asked)
    read = [place for place, what in enumerate(order) if what == "read"]
    between = order[read[0] : read[-1]]
    assert "Token" in between  # the first goes on while the second is read


def settled(widening: Widening, seconds_by_rows: dict[int, float]) -> list[int]:
    """The numbers of rows that are tried, in turn, where a pass takes so long."""
    tried = []
    while not widening.settled:
        tried.append(widening.width)
        for _ in range(PASSES):
            widening.took(widening.width, seconds_by_rows[widening.width])
    return tried


def test_as_many_rows_are_tried_as_make_it_faster() -> None:
    widening = Widening(8, 0.0)
    assert settled(widening, {1: 1.0, 2: 1.1, 4: 1.5, 8: 3.0}) == [1, 2, 4, 8]
    assert (widening.width, widening.pays) == (4, True)
    bound = Widening(2, 0.0)
    assert settled(bound, {1: 1.0, 2: 1.1}) == [1, 2]
    assert (bound.width, bound.pays) == (2, True)


@pytest.mark.parametrize(
    ("seconds", "beyond"),
    [({1: 1.0, 2: 2.0}, 0.0), ({1: 1.0, 2: 1.0, 4: 2.0}, 2.0)],
    ids=["rows cost what they write", "a drafter writes as much"],
)
def test_rows_that_make_nothing_faster_are_given_up(
    seconds: dict[int, float], beyond: float
) -> None:
    widening = Widening(8, beyond)
    settled(widening, seconds)
    assert (widening.width, widening.pays) == (1, False)


def test_a_pass_with_fewer_rows_is_no_measure() -> None:
    widening = Widening(4, 0.0)
    settled_at_one = [widening.took(1, 1.0) for _ in range(PASSES)]
    assert len(settled_at_one) == PASSES
    assert widening.width == 2
    for _ in range(PASSES):
        widening.took(1, 9.0)
    assert widening.width == 2
    assert not widening.settled


def test_no_question_is_taken_once_rows_do_not_pay(tiny: Session, questions: Questions) -> None:
    """Nothing is beyond an infinite speed."""
    asked = questions(Sampling(0.0))
    waiting = iter(asked)
    found = texts(tiny.generate_each(waiting, 1, float("inf")))
    rest = list(waiting)
    assert (len(found), len(rest)) == (1, len(asked) - 1)
    single = alone(tiny, asked[:1])
    assert {n: ids for n, (ids, _) in found.items()} == {n: i for n, (i, _) in single.items()}
