"""A prompt that goes on from a sequence of the same run: nothing before it is computed again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import pytest

from qvq_mlx.core.events import Progress, Stage
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Continuation, Control, Finished, Generation, Prompt, Step, Token
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.prefill import Reader, Written
from qvq_mlx.engine.prefix import PrefixCache
from qvq_mlx.engine.prompt import PICTURE
from qvq_mlx.engine.row import Start
from qvq_mlx.engine.session import Session
from qvq_mlx.families import ModelType
from tests.engine.conftest import ids_of, returned
from tests.engine.families import BOUND, QUESTION, SEEING, SYSTEM, Checkpoint, last_logits

Load = Callable[[ModelType], Checkpoint]
ANSWERED = f"<tool_response>\n{PICTURE}\n</tool_response>"


def write(
    session: Session, prompt: Prompt, continuation: Continuation, tokens: int = 9, seed: int = 3
) -> list[Step]:
    generation = Generation(Sampling(0.9, seed=seed), tokens, continuation=continuation)
    return list(session.generate(prompt, generation, Control()))


def looked(
    session: Session, page: Picture, crops: Sequence[Picture], seed: int
) -> tuple[Written, Prompt] | None:
    """A sequence that read `crops` one after the other but the last, and the prompt with all.

    None where the model wrote image tokens, which no prompt holds.
    """
    continuation, prompt = Continuation(), session.prompt(QUESTION, [page], SYSTEM)
    for crop in crops:
        written = ids_of(write(session, prompt, continuation, seed=seed))
        if session.parts.as_text(written) != written:
            return None
        prompt = session.extended(prompt, written, ANSWERED, [crop])
        kept = cast("Written", continuation.kept)
        assert kept.sequence.length == len(kept.ids), "what was not committed is taken back"
        rest = kept.rest_of(prompt)
        assert rest is not None
        assert rest.pictures == (crop,)
    return kept, prompt


def stages(steps: Sequence[Step], stage: Stage) -> list[Progress]:
    return [step for step in steps if isinstance(step, Progress) and step.stage is stage]


@pytest.mark.parametrize("family", SEEING)
def test_logits_after_an_appended_picture_are_those_of_a_fresh_prefill(
    checkpoint: Load, family: ModelType
) -> None:
    made = checkpoint(family)
    page, crop, second = made.pictures(3)
    session = Session(Reader(made.session.parts, PrefixCache(None)), Drafts(Drafting.NONE))
    kept, prompt = next(filter(None, (looked(session, page, (crop, second), n) for n in range(9))))
    appended = cast("Start", returned(session.reader.read(prompt, Control(), kept)))
    fresh = cast("Start", returned(session.reader.read(prompt, Control())))
    assert appended.position == fresh.position
    assert appended.ids == fresh.ids == prompt.ids
    assert np.abs(last_logits(appended) - last_logits(fresh)).max() < BOUND


@pytest.mark.parametrize("family", SEEING)
def test_only_what_is_appended_is_encoded_and_prefilled(
    checkpoint: Load, family: ModelType
) -> None:
    made = checkpoint(family)
    page, crop = made.pictures(2)
    session, continuation = made.session, Continuation()
    prompt = session.prompt(QUESTION, [page], SYSTEM)
    first = write(session, prompt, continuation)
    longer = session.extended(prompt, ids_of(first), ANSWERED, [crop])
    second = write(session, longer, continuation)
    assert [one.total for one in stages(second, Stage.ENCODE)][-1] == crop.tokens
    assert stages(second, Stage.PREFILL)[0].done == len(prompt.ids) + len(ids_of(first))
    last = second[-1]
    assert isinstance(last, Finished)
    assert last.prompt_tokens == len(longer.ids)
    assert last.image_tokens == page.tokens + crop.tokens


@pytest.mark.parametrize("family", [ModelType.QWEN2_VL, ModelType.QWEN3_5])
def test_drafts_and_chunks_change_nothing_after_an_appended_picture(
    checkpoint: Load, family: ModelType
) -> None:
    made = checkpoint(family)
    page, crop = made.pictures(2)

    def both_turns(session: Session) -> list[int]:
        continuation = Continuation()
        prompt = session.prompt(QUESTION, [page], SYSTEM)
        first = ids_of(write(session, prompt, continuation))
        longer = session.extended(prompt, first, ANSWERED, [crop])
        return [*first, *ids_of(write(session, longer, continuation, 14))]

    plain = both_turns(made.session)
    for drafts in (
        Drafts(Drafting.MODEL, made.session.reader, always=3),
        Drafts(Drafting.LOOKUP, always=4),
    ):
        assert both_turns(made.session.drafted_by(drafts)) == plain
    assert both_turns(made.session.in_chunks_of(7)) == plain
    cold = Session(Reader(made.session.parts, PrefixCache(None)), Drafts(Drafting.NONE))
    assert both_turns(cold) == plain


def test_a_prompt_that_does_not_go_on_from_it_is_read_from_its_beginning(
    checkpoint: Load,
) -> None:
    made = checkpoint(ModelType.QWEN2_VL)
    page, crop = made.pictures(2)
    continuation = Continuation()
    prompt = made.session.prompt(QUESTION, [page], SYSTEM)
    written = ids_of(write(made.session, prompt, continuation))
    other = made.session.extended(prompt, written, PICTURE, [crop])
    other = Prompt((other.ids[0] + 1, *other.ids[1:]), other.pictures)
    assert stages(write(made.session, other, continuation), Stage.PREFILL)[0].done == 0
    assert continuation.kept is not None


def test_image_tokens_that_a_model_writes_are_no_pictures(checkpoint: Load) -> None:
    made = checkpoint(ModelType.QWEN2_VL)
    page, crop = made.pictures(2)
    session, pad = made.session, made.session.parts.model.image_token_id
    assert pad is not None
    prompt = session.prompt(QUESTION, [page], SYSTEM)
    longer = session.extended(prompt, [pad, 7], ANSWERED, [crop])
    assert longer.ids.count(pad) == page.tokens + crop.tokens
    assert isinstance(write(session, longer, Continuation())[-1], Finished)


def test_the_message_that_is_appended_is_spelt_as_the_template_spells_it(tiny: Session) -> None:
    prompt = tiny.prompt("What?", [], None)
    longer = tiny.extended(prompt, [5, 6], "Go on <|im_end|> with <picture>.")
    begin, end = (tiny.parts.vocabulary.special(f"<|im_{word}|>") for word in ("start", "end"))
    encode = tiny.parts.vocabulary.encode
    assert longer.ids == (
        *prompt.ids,
        *(5, 6, end, *encode("\n")),
        *(begin, *encode("user\nGo on <|im_end|> with <picture>."), end, *encode("\n")),
        *(begin, *encode("assistant\n")),
    )


def test_tokens_of_a_run_that_was_stopped_are_kept(tiny: Session) -> None:
    continuation, control = Continuation(), Control()
    prompt = tiny.prompt("What?", [], None)
    written = []
    generation = Generation(Sampling(0.9, seed=1), 30, continuation=continuation)
    for step in tiny.generate(prompt, generation, control):
        if isinstance(step, Token):
            written.append(step.id)
        if len(written) == 4:
            control.stop()
    kept = cast("Written", continuation.kept)
    assert kept.ids == (*prompt.ids, *written)
    assert kept.sequence.length == len(kept.ids)
