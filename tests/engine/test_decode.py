"""One loop: chunks, steering, stopping and seeds never change what is not asked to change."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, cast

import pytest

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import DoesNotFitError
from qvq_mlx.core.events import Progress, Stage, StopReason
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Checkpoint, Setup
from qvq_mlx.core.tokens import Control, Finished, Generation, Prompt, Step, Token
from qvq_mlx.engine import load
from qvq_mlx.engine.session import Session
from qvq_mlx.engine.vocabulary import Vocabulary
from tests.engine.conftest import Golden, goldens, ids_of, returned, text_of

Run = Callable[..., list[Step]]
GOLDENS = goldens()


@pytest.fixture(scope="module")
def prompt(tiny: Session, card: ModelCard, picture: Callable[[Path], Picture]) -> Prompt:
    golden = GOLDENS[0]
    return tiny.prompt(golden.question, [picture(golden.image)], card.system)


@pytest.mark.sampled(7)
@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.image.stem)
def test_greedy_text_equals_transformers(
    golden: Golden, tiny: Session, run: Run, picture: Callable[[Path], Picture]
) -> None:
    prompt = tiny.prompt(golden.question, [picture(golden.image)], golden.system)
    assert len(prompt.ids) == golden.prompt_tokens
    steps = run(prompt, max_tokens=256)
    assert ids_of(steps) == golden.token_ids
    assert text_of(steps) == golden.text


def test_there_are_enough_goldens() -> None:
    assert len(GOLDENS) >= 20


@pytest.fixture(scope="module")
def mlx_vlm_model(folder: Path) -> Any:
    from mlx_vlm.utils import load_model

    return load_model(folder)


def theirs(model: Any, session: Session, prompt: Prompt, max_tokens: int = 256) -> list[int]:
    """What mlx_vlm's own loop writes greedily after the same ids and patches."""
    import mlx.core as mx
    import numpy as np
    from mlx_vlm.generate import generate_step

    from qvq_mlx.engine.patches import patches

    layout = session.parts.layout
    ids: list[int] = []
    for token, _ in generate_step(
        mx.array([prompt.ids]),
        model,
        mx.array(np.concatenate([patches(picture, layout) for picture in prompt.pictures])),
        None,
        image_grid_thw=mx.array([[1, *layout.grid(picture)] for picture in prompt.pictures]),
        max_tokens=max_tokens,
        temperature=0.0,
    ):
        if int(token) in session.parts.stop_ids:
            break
        ids.append(int(token))
    return ids


@pytest.mark.sampled(7)
@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.image.stem)
def test_greedy_text_equals_mlx_vlm(
    golden: Golden,
    mlx_vlm_model: Any,
    tiny: Session,
    run: Run,
    picture: Callable[[Path], Picture],
) -> None:
    prompt = tiny.prompt(golden.question, [picture(golden.image)], golden.system)
    assert ids_of(run(prompt, max_tokens=256)) == theirs(mlx_vlm_model, tiny, prompt)


def test_several_pictures_equal_mlx_vlm(
    mlx_vlm_model: Any, tiny: Session, run: Run, picture: Callable[[Path], Picture]
) -> None:
    # pictures of different sizes, so that a grid in the wrong place would show
    by_size = {len(read.rgb): read for read in (picture(g.image) for g in GOLDENS)}
    pictures = list(by_size.values())[:3]
    assert len(pictures) == 3
    prompt = tiny.prompt("How many circles are there?", pictures, None, labelled=False)
    steps = run(prompt, max_tokens=60)
    assert ids_of(steps) == theirs(mlx_vlm_model, tiny, prompt, 60)
    assert isinstance(steps[-1], Finished)
    assert steps[-1].image_tokens == sum(read.tokens for read in pictures)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("chunk", [1, 7, 32])
def test_chunked_prefill_equals_whole(chunk: int, tiny: Session, run: Run, prompt: Prompt) -> None:
    assert ids_of(run(prompt, session=tiny.in_chunks_of(chunk))) == ids_of(run(prompt))


def test_progress_counts_up_to_the_prompt(tiny: Session, run: Run, prompt: Prompt) -> None:
    steps = run(prompt, session=tiny.in_chunks_of(20), max_tokens=1)
    prefill = [s for s in steps if isinstance(s, Progress) and s.stage is Stage.PREFILL]
    assert [s.done for s in prefill] == sorted(s.done for s in prefill)
    assert prefill[-1] == Progress(Stage.PREFILL, len(prompt.ids), len(prompt.ids))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("sampling", [Sampling(1.0, seed=3), Sampling(0.8, 0.9, 20, 0.02, 7)])
def test_a_seed_repeats_its_text(sampling: Sampling, run: Run, prompt: Prompt) -> None:
    first = run(prompt, sampling=sampling)
    run(prompt, sampling=Sampling(1.3, seed=99))
    assert ids_of(run(prompt, sampling=sampling)) == ids_of(first)


def test_max_tokens_is_exact(run: Run, prompt: Prompt) -> None:
    steps = run(prompt, max_tokens=9)
    assert len(ids_of(steps)) == 9
    assert isinstance(steps[-1], Finished)
    assert steps[-1].stop_reason is StopReason.LENGTH


@pytest.mark.parametrize("after", [0, 1, 5, 20, 40])
def test_forced_text_equals_a_cold_prompt_that_holds_it(
    after: int, run: Run, prompt: Prompt, vocabulary: Vocabulary, card: ModelCard
) -> None:
    def conclude(index: int, control: Control) -> None:
        if index == after:
            control.conclude()

    steered = run(prompt, on_token=conclude)
    tokens = [step for step in steered if isinstance(step, Token)]
    closing = vocabulary.encode(card.thinking.closing)
    forced = [index for index, token in enumerate(tokens) if token.forced]
    assert forced == list(range(after + 1, after + 1 + len(closing)))
    assert [token.id for token in tokens if token.forced] == closing
    end = forced[-1] + 1
    cold = run(Prompt((*prompt.ids, *ids_of(steered)[:end]), prompt.pictures))
    assert ids_of(cold) == ids_of(steered)[end:]
    assert isinstance(steered[-1], Finished)
    assert steered[-1].concluded
    assert steered[-1].stop_reason is StopReason.END


def test_the_closing_text_never_exceeds_max_tokens(run: Run, prompt: Prompt) -> None:
    def conclude(index: int, control: Control) -> None:
        if index == 5:
            control.conclude()

    steps = run(prompt, max_tokens=8, on_token=conclude)
    assert len(ids_of(steps)) == 8


@pytest.mark.sampled(3)
@pytest.mark.parametrize("after", [0, 3, 17])
def test_a_stop_acts_before_the_next_token_and_leaves_nothing_behind(
    after: int, run: Run, prompt: Prompt
) -> None:
    cold = ids_of(run(prompt))

    def stop(index: int, control: Control) -> None:
        if index == after:
            control.stop()

    stopped = run(prompt, on_token=stop)
    assert ids_of(stopped) == cold[: after + 1]
    assert isinstance(stopped[-1], Finished)
    assert stopped[-1].stop_reason is StopReason.INTERRUPT
    assert ids_of(run(prompt)) == cold


@pytest.mark.parametrize("how", ["closed", "raised"])
def test_a_run_that_is_left_alone_leaves_nothing_behind(
    how: str, tiny: Session, run: Run, prompt: Prompt
) -> None:
    cold = ids_of(run(prompt))
    steps = cast("Generator[Step]", tiny.generate(prompt, Generation(Sampling(), 50), Control()))
    while not isinstance(next(steps), Token):
        pass
    if how == "closed":
        steps.close()
    else:
        with pytest.raises(DoesNotFitError):
            steps.throw(MemoryError())
    assert ids_of(run(prompt)) == cold


def test_a_stop_acts_within_the_closing_text_too(run: Run, prompt: Prompt) -> None:
    def conclude_and_stop(index: int, control: Control) -> None:
        if index == 5:
            control.conclude()
        if index == 7:
            control.stop()

    steps = run(prompt, on_token=conclude_and_stop)
    assert [step.forced for step in steps if isinstance(step, Token)] == [False] * 6 + [True] * 2
    assert isinstance(steps[-1], Finished)
    assert steps[-1].stop_reason is StopReason.INTERRUPT


def test_a_stop_within_prefill_acts_at_the_next_chunk(
    tiny: Session, run: Run, prompt: Prompt
) -> None:
    control = Control()
    seen = 0
    session = tiny.in_chunks_of(8)
    for step in session.generate(prompt, Generation(Sampling(), 50), control):
        if isinstance(step, Progress) and step.stage is Stage.PREFILL:
            seen += 1
            if seen == 3:
                control.stop()
        assert not isinstance(step, Token)
    assert isinstance(step, Finished)
    assert step.stop_reason is StopReason.INTERRUPT
    assert seen == 3


def test_a_stop_during_load_ends_it(card: ModelCard, folder: Path) -> None:
    control = Control()
    steps = load(Checkpoint(card, folder), Setup(), control)
    next(steps)
    control.stop()
    assert returned(steps) is None


def test_a_broken_off_run_leaves_nothing_behind(tiny: Session, run: Run, prompt: Prompt) -> None:
    from qvq_mlx.core.tokens import Generation

    cold = ids_of(run(prompt))
    steps = tiny.generate(prompt, Generation(Sampling(), 50), Control())
    for _ in range(12):
        next(steps)
    del steps
    assert ids_of(run(prompt)) == cold
