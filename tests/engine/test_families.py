"""Every family gives what transformers gives for the same weights (tests/data/families)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from qvq_mlx.core.card import ModelCard, Thinking, ThinkingStyle, VisionLimits
from qvq_mlx.core.families import FACTS, Family
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.tokens import Control
from qvq_mlx.engine import loaded
from qvq_mlx.engine.decode import Start
from qvq_mlx.engine.patches import patches, read_layout
from qvq_mlx.engine.prompt import positions
from qvq_mlx.engine.session import Session
from tests.conftest import ROOT
from tests.engine.conftest import returned
from tools.families import drawn

DATA = ROOT / "tests" / "data" / "families"
SYSTEM = "You are a careful reader."
QUESTION = "How many red circles are there, and which bar is the tallest of all?"
TOKEN_GRIDS = ((6, 5), (3, 7), (2, 2))
PICTURES = {"text": 0, "one": 1, "two": 2, "three": 3}
SEEING = [family for family in Family if FACTS[family].layout]
CASES = [(family, case) for family in SEEING for case in PICTURES] + [(Family.QWEN2, "text")]
CHUNKS = (7, 32, 512)
BOUND = 1e-4


@dataclass(frozen=True)
class Checkpoint:
    """A loaded family and what transformers says of it."""

    family: Family
    folder: Path
    session: Session
    golden: Mapping[str, Any]

    def pictures(self, count: int) -> list[Picture]:
        layout = FACTS[self.family].layout
        side = layout.factor_px if layout else 0
        return [
            picture_of(drawn.picture(rows * side, columns * side, number), rows * columns)
            for number, (rows, columns) in enumerate(TOKEN_GRIDS[:count])
        ]


def picture_of(pixels: np.ndarray, tokens: int) -> Picture:
    height, width, _ = pixels.shape
    return Picture("drawn", width, height, width, height, tokens, "", pixels.tobytes())


def card_of(family: Family, folder: Path) -> ModelCard:
    layout = FACTS[family].layout
    opens = family in (Family.QWEN2, Family.QWEN3_VL)
    return ModelCard(
        name=f"drawn-{family}",
        summary="",
        family=family,
        licence="",
        folder=str(folder),
        sees=layout is not None,
        thinking=Thinking(ThinkingStyle.PREOPENED if opens else ThinkingStyle.NONE),
        vision=VisionLimits(layout.factor_px if layout else 28),
    )


def write(family: Family, folder: Path) -> Path:
    """The checkpoint as transformers 5 saves it, its weights drawn."""
    import mlx.core as mx

    shutil.copytree(DATA / family, folder)
    shutil.copy(ROOT / "models" / "qvq-tiny" / "tokenizer.json", folder)
    weights = drawn.weights(json.loads((folder / "weights.json").read_text()))
    mx.save_safetensors(
        str(folder / "model.safetensors"), {name: mx.array(w) for name, w in weights.items()}
    )
    return folder


def opened(folder: Path, family: Family) -> Session:
    return cast("Session", loaded(card_of(family, folder), folder))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Family], Checkpoint]:
    made: dict[Family, Checkpoint] = {}

    def checkpoint_of(family: Family) -> Checkpoint:
        if family not in made:
            folder = write(family, tmp_path_factory.mktemp(family) / "weights")
            golden = np.load(DATA / family / "goldens.npz")
            made[family] = Checkpoint(family, folder, opened(folder, family), golden)
        return made[family]

    return checkpoint_of


def all_logits(checkpoint: Checkpoint, case: str) -> np.ndarray:
    """Logits (tokens, vocab) after every token of a prompt, in one pass."""
    import mlx.core as mx

    session = checkpoint.session
    prompt = session.prompt(QUESTION, checkpoint.pictures(PICTURES[case]), SYSTEM)
    model, layout = session._model, session._layout
    features = [
        model.encode(patches(picture, layout), layout.grid(picture)) for picture in prompt.pictures
    ]
    where = positions(
        prompt.ids, [layout.token_grid(p) for p in prompt.pictures], model.image_token_id
    )
    language = model._language._model
    embedded = model.embed(prompt.ids, features)
    arguments: dict[str, Any] = {}
    if checkpoint.family is not Family.QWEN2:
        arguments["position_ids"] = mx.array(where)[:, None]
    if checkpoint.family is Family.QWEN3_VL and features:
        arguments["visual_pos_masks"] = mx.array(embedded.image[None])
        arguments["deepstack_visual_embeds"] = list(embedded.deepstack)
    output = language(mx.array([prompt.ids]), inputs_embeds=embedded.rows, **arguments)
    return np.array(output.logits[0])


def started(session: Session, checkpoint: Checkpoint, case: str) -> Start:
    prompt = session.prompt(QUESTION, checkpoint.pictures(PICTURES[case]), SYSTEM)
    return cast("Start", returned(session.start(prompt, Control())))


def last_logits(start: Start) -> np.ndarray:
    import mlx.core as mx

    return np.array(start.lane.forward(mx.array([[start.token]]), start.position)[0, -1])


@pytest.mark.parametrize(("family", "case"), CASES)
def test_prompt_and_positions_equal_the_reference(
    checkpoint: Callable[[Family], Checkpoint], family: Family, case: str
) -> None:
    made = checkpoint(family)
    prompt = made.session.prompt(QUESTION, made.pictures(PICTURES[case]), SYSTEM)
    assert list(prompt.ids) == made.golden[f"{case}.ids"].tolist()
    if f"{case}.positions" not in made.golden:
        return
    model, layout = made.session._model, made.session._layout
    grids = [layout.token_grid(picture) for picture in prompt.pictures]
    ours = positions(prompt.ids, grids, model.image_token_id)
    assert np.array_equal(ours, made.golden[f"{case}.positions"])


@pytest.mark.parametrize(("family", "case"), CASES)
def test_logits_equal_transformers(
    checkpoint: Callable[[Family], Checkpoint], family: Family, case: str
) -> None:
    made = checkpoint(family)
    logits = all_logits(made, case)
    expected = made.golden[f"{case}.logits"]
    assert expected.std() > 0.5
    assert np.abs(logits[made.golden[f"{case}.rows"]] - expected).max() <= BOUND
    assert np.array_equal(logits.argmax(-1), made.golden[f"{case}.argmax"])


@pytest.mark.parametrize("chunk_tokens", CHUNKS)
@pytest.mark.parametrize(("family", "case"), CASES)
def test_prefill_in_chunks_equals_transformers(
    checkpoint: Callable[[Family], Checkpoint], family: Family, case: str, chunk_tokens: int
) -> None:
    made = checkpoint(family)
    start = started(made.session.in_chunks_of(chunk_tokens), made, case)
    assert np.abs(last_logits(start) - made.golden[f"{case}.logits"][-1]).max() <= BOUND


@pytest.mark.parametrize("family", list(Family))
def test_120_greedy_tokens_equal_transformers(
    checkpoint: Callable[[Family], Checkpoint], family: Family
) -> None:
    made = checkpoint(family)
    start = started(made.session, made, "one" if family in SEEING else "text")
    assert list(greedy(start, 120)) == made.golden["greedy.ids"].tolist()


def greedy(start: Start, tokens: int) -> Iterator[int]:
    import mlx.core as mx

    token, position = start.token, start.position
    for _ in range(tokens):
        token = int(mx.argmax(start.lane.forward(mx.array([[token]]), position)[0, -1]).item())
        position += 1
        yield token


@pytest.mark.parametrize("family", SEEING)
def test_patches_equal_the_image_processor(
    checkpoint: Callable[[Family], Checkpoint], family: Family
) -> None:
    made = checkpoint(family)
    ours = patches(made.pictures(3)[2], made.session._layout)
    assert np.abs(ours - made.golden["patches.2"]).max() < 1e-6


@pytest.mark.parametrize("family", SEEING)
def test_without_a_processor_file_the_familys_own_values_hold(
    checkpoint: Callable[[Family], Checkpoint], family: Family, tmp_path: Path
) -> None:
    made = checkpoint(family)
    folder = shutil.copytree(made.folder, tmp_path / "bare")
    (folder / "preprocessor_config.json").unlink()
    assert opened(folder, family)._layout == made.session._layout
    assert read_layout(made.folder, replace(made.session._layout, mean=(0, 0, 0)))
