"""A clip gives what transformers gives for the same weights, alone and among pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from qvq_mlx.core import setup as drafts_setup
from qvq_mlx.core.clip import Clip, Visual
from qvq_mlx.core.errors import BrokenModelError, UsageError
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Drafting, Setup
from qvq_mlx.core.tokens import Control, Finished, Generation, Prompt
from qvq_mlx.engine import loaded
from qvq_mlx.engine.cache_files import KeptFiles
from qvq_mlx.engine.clips import Block, blocks
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.patches import patches, step_patches
from qvq_mlx.engine.prefill import Reader
from qvq_mlx.engine.prefix import PrefixCache, boundaries
from qvq_mlx.engine.prompt import positions
from qvq_mlx.engine.row import Start
from qvq_mlx.engine.session import Session, _layout
from qvq_mlx.families import ModelType, family_named
from tests.engine.conftest import ids_of, returned
from tests.engine.families import (
    BOUND,
    QUESTION,
    SEEING,
    SYSTEM,
    Checkpoint,
    card_of,
    greedy,
    layout_of,
    stacks,
)
from tools.families import drawn

Load = Callable[[ModelType], Checkpoint]

TOKEN_GRID = (5, 6)
FPS = 3.0
FRAMES = {"clip": 5, "mixed": 5, "long": 20}
CASES = [(family, case) for family in SEEING for case in FRAMES]


def clip_of(family: ModelType, count: int, fps: float = FPS) -> Clip:
    """The frames that were given to transformers (tools/families/goldens.py)."""
    layout = layout_of(family)
    assert layout is not None
    side = layout.factor_px
    rows, columns = TOKEN_GRID
    height, width = rows * side, columns * side
    frames = tuple(drawn.picture(height, width, 10 + n).tobytes() for n in range(count))
    return Clip(
        name="drawn.mp4",
        source_width_px=width,
        source_height_px=height,
        width_px=width,
        height_px=height,
        tokens=-(-count // 2) * rows * columns,
        sha256="",
        frames=frames,
        times_s=tuple(index / fps for index in range(count)),
        fps=fps,
        duration_s=count / fps,
        source_fps=fps,
    )


def visuals(made: Checkpoint, case: str) -> list[Visual]:
    clip = clip_of(made.family, FRAMES[case])
    if case != "mixed":
        return [clip]
    first, second = made.pictures(2)
    return [first, clip, second]


def asked(made: Checkpoint, case: str, question: str = QUESTION) -> Prompt:
    return made.session.prompt(question, visuals(made, case), SYSTEM, labelled=False)


def where(session: Session, prompt: Prompt) -> np.ndarray:
    model, layout = session.parts.model, session.parts.layout
    grids = [
        block
        for visual in prompt.pictures
        for block in blocks(visual, layout, model.family, model.tokens_per_s)
    ]
    return positions(prompt.ids, grids, model.image_token_id, model.video_token_id)


def started(session: Session, prompt: Prompt) -> Start:
    return cast("Start", returned(session.reader.read(prompt, Control())))


def uncached(made: Checkpoint) -> Session:
    return Session(Reader(made.session.parts, PrefixCache(None)), Drafts(Drafting.NONE))


def written(session: Session, prompt: Prompt, tokens: int = 24) -> tuple[list[int], Finished]:
    steps = list(session.generate(prompt, Generation(Sampling(), tokens), Control()))
    last = steps[-1]
    assert isinstance(last, Finished)
    return ids_of(steps), last


@pytest.mark.parametrize(("family", "case"), CASES)
def test_prompt_and_positions_equal_the_reference(
    checkpoint: Load, family: ModelType, case: str
) -> None:
    made = checkpoint(family)
    prompt = asked(made, case)
    assert list(prompt.ids) == made.golden[f"{case}.ids"].tolist()
    assert np.array_equal(where(made.session, prompt), made.golden[f"{case}.positions"])


@pytest.mark.sampled(8)
@pytest.mark.parametrize("chunk_tokens", [7, 32, 512])
@pytest.mark.parametrize(("family", "case"), CASES)
def test_logits_equal_transformers(
    checkpoint: Load, family: ModelType, case: str, chunk_tokens: int
) -> None:
    """After the last token, prefilled in chunks; the row hangs on all that come before it."""
    import mlx.core as mx

    made = checkpoint(family)
    start = started(made.session.in_chunks_of(chunk_tokens), asked(made, case))
    last = mx.array([start.ids[-1:]])
    ours = np.array(start.sequence.forward(last, start.position)[0, -1])
    expected = made.golden[f"{case}.logits"][-1]
    assert expected.std() > 0.5
    assert np.abs(ours - expected).max() <= BOUND


@pytest.mark.parametrize(("family", "case"), CASES)
def test_all_logits_equal_transformers(checkpoint: Load, family: ModelType, case: str) -> None:
    """After every token of the prompt, in one pass: also those of the clip itself."""
    import mlx.core as mx

    made = checkpoint(family)
    model, layout = made.session.parts.model, made.session.parts.layout
    prompt = asked(made, case)
    features = []
    for visual in prompt.pictures:
        if isinstance(visual, Clip):
            parts = [step_patches(visual, layout, step) for step in range(visual.steps)]
        else:
            parts = [patches(visual, layout)]
        features += [model.encode(part, layout.grid(visual)) for part in parts]
    embedded = model.embed(prompt.ids, features)
    arguments: dict[str, Any] = {"position_ids": mx.array(where(made.session, prompt))[:, None]}
    if stacks(family):
        arguments["visual_pos_masks"] = mx.array(embedded.image[None])
        arguments["deepstack_visual_embeds"] = list(embedded.deepstack)
    output = model._language._model(
        mx.array([prompt.ids]), inputs_embeds=embedded.rows, **arguments
    )
    logits = np.array(output.logits[0])
    expected = made.golden[f"{case}.logits"]
    assert np.abs(logits[made.golden[f"{case}.rows"]] - expected).max() <= BOUND
    assert np.array_equal(logits.argmax(-1), made.golden[f"{case}.argmax"])


@pytest.mark.parametrize("family", SEEING)
def test_120_greedy_tokens_equal_transformers(checkpoint: Load, family: ModelType) -> None:
    made = checkpoint(family)
    start = started(made.session, asked(made, "clip"))
    assert list(greedy(start, 120)) == made.golden["clip.greedy"].tolist()


@pytest.mark.parametrize("family", SEEING)
def test_patches_equal_the_processor(checkpoint: Load, family: ModelType) -> None:
    made = checkpoint(family)
    clip, layout = clip_of(family, 5), made.session.parts.layout
    ours = np.concatenate([step_patches(clip, layout, step) for step in range(clip.steps)])
    assert np.abs(ours - made.golden["clip.patches"]).max() < 1e-6


@pytest.mark.parametrize("family", SEEING)
def test_step_by_step_is_the_whole_clip(checkpoint: Load, family: ModelType) -> None:
    """One pass of the vision encoder over all steps gives the rows of a pass for each."""
    import mlx.core as mx

    made = checkpoint(family)
    clip = clip_of(family, 6)
    model, layout = made.session.parts.model, made.session.parts.layout
    parts = [step_patches(clip, layout, step) for step in range(clip.steps)]
    tower = model._model.vision_tower
    grid = mx.array([[clip.steps, *layout.grid(clip)]])
    whole = tower(mx.array(np.concatenate(parts)), grid)
    rows, deepstack = whole if isinstance(whole, tuple) else (whole, ())
    features = [model.encode(part, layout.grid(clip)) for part in parts]
    ours = mx.concatenate([part.rows for part in features])
    assert np.abs(np.array(ours) - np.array(rows)).max() < 1e-5
    for layer, theirs in enumerate(deepstack):
        stacked = mx.concatenate([part.deepstack[layer] for part in features])
        assert np.abs(np.array(stacked) - np.array(theirs)).max() < 1e-5


@pytest.mark.parametrize("family", SEEING)
def test_another_question_about_a_clip_is_read_from_the_cache(
    checkpoint: Load, family: ModelType, tmp_path: Path
) -> None:
    made = checkpoint(family)
    kept = KeptFiles(tmp_path, 2**30)

    def restarted() -> Session:
        return Session(Reader(made.session.parts, PrefixCache(kept)), Drafts(Drafting.NONE))

    written(restarted(), asked(made, "mixed"))
    other = asked(made, "mixed", "And what moves?")
    cold, _ = written(uncached(made), other)
    warm, finished = written(restarted(), other)
    assert warm == cold
    assert finished.cached_tokens > finished.image_tokens > 0


def test_a_key_hangs_on_frames_and_pace(checkpoint: Load) -> None:
    made = checkpoint(ModelType.QWEN2_5_VL)
    model = made.session.parts.model

    def keys(clip: Clip) -> list[str]:
        prompt = made.session.prompt(QUESTION, [clip], SYSTEM)
        ends = boundaries(prompt, model.image_token_id, "model", model.video_token_id)
        return [end.key for end in ends]

    clip = clip_of(ModelType.QWEN2_5_VL, 6)
    turned = replace(clip, frames=clip.frames[::-1])
    renamed = replace(clip, name="other.mp4", sha256="1")
    slower = clip_of(ModelType.QWEN2_5_VL, 6, fps=1.0)
    shorter = replace(clip, frames=clip.frames[:-1])  # as many tokens: the last is shown twice
    assert keys(renamed) == keys(clip)
    different = [keys(other)[0] for other in (clip, turned, slower, shorter)]
    assert len(set(different)) == len(different)


@pytest.mark.parametrize("family", SEEING)
def test_a_clip_ends_once(checkpoint: Load, family: ModelType) -> None:
    """Behind its last mark, also where its steps stand apart."""
    made = checkpoint(family)
    model, vocabulary = made.session.parts.model, made.session.parts.vocabulary
    prompt = asked(made, "mixed")
    ends = list(boundaries(prompt, model.image_token_id, "model", model.video_token_id))
    assert [end.pictures for end in ends] == [1, 2, 3]
    for end in ends:
        assert prompt.ids[end.index - 1] == vocabulary.special("<|vision_end|>")
    between = prompt.ids[ends[0].index : ends[1].index]
    assert between.count(model.video_token_id) == prompt.pictures[1].tokens


@pytest.mark.parametrize("family", SEEING)
def test_a_clip_can_be_stopped_between_two_steps(checkpoint: Load, family: ModelType) -> None:
    made = checkpoint(family)
    control = Control()
    seen: list[int] = []
    reading = uncached(made).reader.read(asked(made, "clip"), control)
    for progress in reading:
        seen.append(progress.done)
        if len(seen) == 2:
            control.stop()
    assert seen == [0, 30]


def test_drafting_does_not_change_what_is_said_of_a_clip(checkpoint: Load) -> None:
    made = checkpoint(ModelType.QWEN2_5_VL)
    prompt = asked(made, "mixed")
    plain, _ = written(made.session, prompt)
    drafts = Drafts(Drafting.MODEL, made.session.reader, always=3)
    assert written(made.session.drafted_by(drafts), prompt)[0] == plain


def test_a_family_that_writes_clips_in_another_way_cannot_draft(checkpoint: Load) -> None:
    """Even where tokenizers and the size of image tokens are equal."""
    made, other = checkpoint(ModelType.QWEN2_VL), checkpoint(ModelType.QWEN3_VL)
    card = card_of(ModelType.QWEN3_VL, other.folder)
    setup = Setup(Drafting.MODEL, drafts_setup.Checkpoint(card, other.folder))
    with pytest.raises(UsageError, match="the time in a clip differently"):
        loaded(card_of(ModelType.QWEN2_VL, made.folder), made.folder, setup)


@pytest.mark.parametrize(
    ("fps", "tokens_per_s", "times"),
    [
        (2.0, 2.0, (0, 2, 4)),
        (2.0, 4.0, (0, 4, 8)),
        (3.0, 4.0, (0, 2, 5)),
        (4.0, 2.0, (0, 1, 2)),
        (8.0, 2.0, (0, 0, 1)),
        (0.5, 2.0, (0, 8, 16)),
    ],
)
def test_positions_of_qwen2_5_follow_the_clock(
    fps: float, tokens_per_s: float, times: Sequence[int]
) -> None:
    layout = layout_of(ModelType.QWEN2_5_VL)
    assert layout is not None
    clip = clip_of(ModelType.QWEN2_5_VL, 6, fps)
    [block] = blocks(clip, layout, family_named(ModelType.QWEN2_5_VL), tokens_per_s)
    assert block == Block(5, 6, tuple(times))


def test_a_model_that_takes_videos_must_have_their_token(checkpoint: Load) -> None:
    made = checkpoint(ModelType.QWEN2_VL)
    card = card_of(ModelType.QWEN2_VL, made.folder)
    card = replace(card, vision=replace(card.vision, video=True))
    model, vocabulary = made.session.parts.model, made.session.parts.vocabulary
    assert _layout(model, vocabulary, card, made.folder) == made.session.parts.layout
    token, model.video_token_id = model.video_token_id, 7
    try:
        with pytest.raises(BrokenModelError, match="video tokens are 7"):
            _layout(model, vocabulary, card, made.folder)
    finally:
        model.video_token_id = token
