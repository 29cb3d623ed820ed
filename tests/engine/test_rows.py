"""Several rows from one prefill: each as if it had run alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.events import StopReason
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.tokens import Control, Finished, Generation, Prompt, Step, Token
from qvq_mlx.engine.session import Session
from tests.engine.conftest import goldens, ids_of

Run = Callable[..., list[Step]]
SEEDS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def prompt(tiny: Session, card: ModelCard, picture: Callable[[Path], Picture]) -> Prompt:
    golden = goldens()[0]
    return tiny.prompt(golden.question, [picture(golden.image)], card.system)


@pytest.fixture(scope="module")
def alone(prompt: Prompt, run: Run) -> dict[int, list[int]]:
    return {seed: ids_of(run(prompt, sampling=Sampling(0.9, seed=seed))) for seed in SEEDS}


def rows(
    session: Session,
    prompt: Prompt,
    card: ModelCard,
    on_token: Callable[[Token, list[Control]], None] = lambda _token, _controls: None,
    max_tokens: int = 200,
) -> tuple[dict[int, list[int]], list[Finished]]:
    controls = [Control() for _ in SEEDS]
    ways = [
        (Generation(Sampling(0.9, seed=seed), max_tokens, card.thinking.closing), control)
        for seed, control in zip(SEEDS, controls, strict=True)
    ]
    texts: dict[int, list[int]] = {seed: [] for seed in SEEDS}
    ends: list[Finished] = []
    for step in session.generate_rows(prompt, ways):
        if isinstance(step, Token):
            texts[SEEDS[step.row]].append(step.id)
            on_token(step, controls)
        if isinstance(step, Finished):
            ends.append(step)
    return texts, ends


def test_rows_equal_single_runs(
    tiny: Session, prompt: Prompt, card: ModelCard, alone: dict[int, list[int]]
) -> None:
    texts, ends = rows(tiny, prompt, card)
    assert texts == alone
    assert len({len(text) for text in texts.values()}) > 1  # they end at different times
    assert [end.stop_reason for end in ends] == [StopReason.END] * len(SEEDS)
    assert max(end.effort.passes for end in ends) <= max(map(len, texts.values())) + 1


def test_a_row_that_is_steered_leaves_the_others_alone(
    tiny: Session, prompt: Prompt, card: ModelCard, alone: dict[int, list[int]], run: Run
) -> None:
    def steer(token: Token, controls: list[Control]) -> None:
        if token.row == 1 and not controls[1].concluding:
            controls[1].conclude()
        if token.row == 3:
            controls[3].stop()

    def conclude(index: int, control: Control) -> None:
        if index == 0:
            control.conclude()

    texts, ends = rows(tiny, prompt, card, steer)
    assert texts[1] == alone[1]
    assert texts[3] == alone[3]
    single = run(prompt, sampling=Sampling(0.9, seed=2), on_token=conclude)
    assert texts[2] == ids_of(single)
    assert texts[4] == alone[4][:1]
    assert [end.concluded for end in ends] == [False, True, False, False]
    assert ends[3].stop_reason is StopReason.INTERRUPT


def test_rows_fill_up_together(
    tiny: Session, prompt: Prompt, card: ModelCard, alone: dict[int, list[int]]
) -> None:
    texts, ends = rows(tiny, prompt, card, max_tokens=9)
    assert texts == {seed: text[:9] for seed, text in alone.items()}
    assert {end.stop_reason for end in ends} == {StopReason.LENGTH}
