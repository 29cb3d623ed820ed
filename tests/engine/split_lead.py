"""The first of two machines: it asks questions of models whose layers it has a part of.

    MLX_HOSTFILE=... MLX_RANK=0 python -m tests.engine.split_lead (FOLDER FAMILY)... OUT.npz FD

FD is the file descriptor of the line to the second machine.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from qvq_mlx.core.errors import UnsupportedModelError
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Checkpoint as Stored
from qvq_mlx.core.setup import Drafting, Setup
from qvq_mlx.core.tokens import Asked, Control, Generation, Prompt, Token
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.led import Others
from qvq_mlx.engine.session import Session, load_session
from qvq_mlx.families import ModelType
from tests.engine.conftest import ids_of, returned
from tests.engine.families import (
    QUESTION,
    SEEING,
    SYSTEM,
    Checkpoint,
    card_of,
    greedy,
    last_logits,
    started,
)

TOKENS = 100
SHORT = 16
WARM = Sampling(0.8, seed=5)


def computed(session: Session, family: ModelType) -> dict[str, np.ndarray]:
    """Logits after a prompt, the likeliest tokens behind it, and texts of every way to ask."""
    made = Checkpoint(family, Path(), session, {})
    case = "two" if family in SEEING else "text"
    found = {
        "logits": last_logits(started(session, made, case)),
        "tokens": np.array(list(greedy(started(session, made, case), TOKENS))),
    }
    prompts = [
        session.prompt(text, made.pictures(2 if family in SEEING else 0), SYSTEM)
        for text in (QUESTION, "And what is in the corner?")  # the second finds a prefix
    ]
    for number, prompt in enumerate(prompts):
        found[f"asked {number}"] = np.array(asked(session, prompt))
    drafted = session.drafted_by(Drafts(Drafting.LOOKUP, always=4))  # most are taken back
    found["drafted"] = np.array(asked(drafted, prompts[0]))
    small = session.generate(prompts[0], Generation(WARM, SHORT, kv_bits=8), Control())
    found["quantised"] = np.array(ids_of(list(small)))
    ways = [(Generation(Sampling(0.9, seed=seed), SHORT), Control()) for seed in range(2)]
    steps = list(session.generate_rows(prompts[0], ways))
    found["rows"] = np.array([[s.row, s.id] for s in steps if isinstance(s, Token)])
    flying = (Asked(prompt, Generation(WARM, SHORT), Control()) for prompt in prompts)
    each = session.generate_each(flying, 2)
    found["each"] = np.array([[n, step.id] for n, step in each if isinstance(step, Token)])
    return found


def asked(session: Session, prompt: Prompt) -> list[int]:
    return ids_of(list(session.generate(prompt, Generation(WARM, SHORT), Control())))


def nbytes(session: Session) -> tuple[int, int]:
    """Bytes of all weights, and of the layers among them."""
    model = session.parts.model._model
    layers = model.language_model.model.layers
    everything, inner = (
        sum(array.nbytes for _, array in tree_flatten(parameters))
        for parameters in (model.parameters(), [layer.parameters() for layer in layers])
    )
    return everything, inner


def main() -> None:
    *pairs, out, line = sys.argv[1:]
    group = mx.distributed.init(strict=True, backend="ring")
    found: dict[str, np.ndarray] = {}
    with os.fdopen(int(line), "wb") as other:
        for folder, family in zip(pairs[::2], pairs[1::2], strict=True):
            others = Others(group, [other])
            stored = Stored(card_of(ModelType(family), Path(folder)), Path(folder))
            try:
                session = returned(load_session(stored, Setup(), Control(), others))
            except UnsupportedModelError:
                continue
            assert isinstance(session, Session)
            name = Path(folder).name
            for what, values in computed(session, ModelType(family)).items():
                found[f"{name} {what}"] = values
            found[f"{name} bytes"] = np.array(nbytes(session))
            others.tell("leave")
    np.savez(out, **found)


if __name__ == "__main__":
    main()
