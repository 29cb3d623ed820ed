"""Tiny checkpoints of every family, as transformers 5 saves them (tests/data/families).

The weights are drawn by name (tools/families/drawn.py); what transformers computes with them was
recorded by tools/families/goldens.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from qvq_mlx.core.card import ModelCard, Thinking, ThinkingStyle, VisionLimits
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.tokens import Control
from qvq_mlx.engine import loaded
from qvq_mlx.engine.patches import patches
from qvq_mlx.engine.prompt import positions
from qvq_mlx.engine.row import Start
from qvq_mlx.engine.session import Session
from qvq_mlx.families import ModelType, family_named
from qvq_mlx.families.family import PatchLayout
from tests.conftest import ROOT
from tests.engine.conftest import returned
from tools.families import drawn

DATA = ROOT / "tests" / "data" / "families"
SYSTEM = "You are a careful reader."
QUESTION = "How many red circles are there, and which bar is the tallest of all?"
TOKEN_GRIDS = ((6, 5), (3, 7), (2, 2))
PICTURES = {"text": 0, "one": 1, "two": 2, "three": 3}
SEEING = [family for family in ModelType if family_named(family).vision]
CASES = [(family, case) for family in SEEING for case in PICTURES] + [(ModelType.QWEN2, "text")]
CHUNKS = (7, 32, 512)
BOUND = 1e-4
"""To what transformers computes in float64; in float32 it is itself up to 1.1e-4 away from that."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded family and what transformers says of it."""

    family: ModelType
    folder: Path
    session: Session
    golden: Mapping[str, Any]

    def pictures(self, count: int) -> list[Picture]:
        layout = layout_of(self.family)
        side = layout.factor_px if layout else 0
        return [
            picture_of(drawn.picture(rows * side, columns * side, number), rows * columns)
            for number, (rows, columns) in enumerate(TOKEN_GRIDS[:count])
        ]


def stacks(family: ModelType) -> bool:
    """True if rows of the encoder's middle layers are added in the language model."""
    return family_named(family).call.deepstack is not None


def layout_of(family: ModelType) -> PatchLayout | None:
    vision = family_named(family).vision
    return vision.layout if vision else None


def picture_of(pixels: np.ndarray, tokens: int) -> Picture:
    height, width, _ = pixels.shape
    return Picture("drawn", width, height, width, height, tokens, "", pixels.tobytes())


def card_of(family: ModelType, folder: Path) -> ModelCard:
    layout = layout_of(family)
    opens = family not in (ModelType.QWEN2_VL, ModelType.QWEN2_5_VL)
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


def write(family: ModelType, folder: Path, shape: str = "") -> Path:
    """The checkpoint as transformers 5 saves it, its weights drawn."""
    import mlx.core as mx

    shutil.copytree(DATA / f"{family}{shape}", folder)
    shutil.copy(ROOT / "models" / "qvq-tiny" / "tokenizer.json", folder)
    weights = drawn.weights(json.loads((folder / "weights.json").read_text()))
    mx.save_safetensors(
        str(folder / "model.safetensors"), {name: mx.array(w) for name, w in weights.items()}
    )
    return folder


def made(family: ModelType, folder: Path, shape: str = "") -> Checkpoint:
    """Written into `folder`, and loaded. `shape`: one of the family's further ones."""
    write(family, folder, shape)
    with np.load(DATA / f"{family}{shape}" / "goldens.npz") as file:
        golden = dict(file)
    return Checkpoint(family, folder, opened(folder, family), golden)


def opened(folder: Path, family: ModelType) -> Session:
    return cast("Session", loaded(card_of(family, folder), folder))


def all_logits(checkpoint: Checkpoint, case: str) -> np.ndarray:
    """Logits (tokens, vocab) after every token of a prompt, in one pass."""
    import mlx.core as mx

    session = checkpoint.session
    prompt = session.prompt(QUESTION, checkpoint.pictures(PICTURES[case]), SYSTEM, labelled=False)
    model, layout = session.parts.model, session.parts.layout
    features = [
        model.encode(patches(picture, layout), layout.grid(picture)) for picture in prompt.pictures
    ]
    where = positions(
        prompt.ids, [layout.token_grid(p) for p in prompt.pictures], model.image_token_id
    )
    language = model._language._model
    embedded = model.embed(prompt.ids, features)
    arguments: dict[str, Any] = {}
    if checkpoint.family is not ModelType.QWEN2:
        arguments["position_ids"] = mx.array(where)[:, None]
    if stacks(checkpoint.family) and features:
        arguments["visual_pos_masks"] = mx.array(embedded.image[None])
        arguments["deepstack_visual_embeds"] = list(embedded.deepstack)
    output = language(mx.array([prompt.ids]), inputs_embeds=embedded.rows, **arguments)
    return np.array(output.logits[0])


def started(session: Session, checkpoint: Checkpoint, case: str) -> Start:
    prompt = session.prompt(QUESTION, checkpoint.pictures(PICTURES[case]), SYSTEM, labelled=False)
    return cast("Start", returned(session.reader.read(prompt, Control())))


def last_logits(start: Start) -> np.ndarray:
    import mlx.core as mx

    return np.array(start.sequence.forward(mx.array([start.ids[-1:]]), start.position)[0, -1])


def greedy(start: Start, tokens: int) -> Iterator[int]:
    import mlx.core as mx

    token, position = start.ids[-1], start.position
    for _ in range(tokens):
        token = int(mx.argmax(start.sequence.forward(mx.array([[token]]), position)[0, -1]).item())
        position += 1
        yield token
