"""One machine of two: reads its part of checkpoints and runs the same passes as the other.

MLX_HOSTFILE=... MLX_RANK=0 python -m tests.engine.split_rank FOLDER FAMILY... OUT.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from qvq_mlx.core.errors import UnsupportedModelError
from qvq_mlx.core.setup import Checkpoint as Stored
from qvq_mlx.core.setup import Setup
from qvq_mlx.core.tokens import Control
from qvq_mlx.engine.session import Session, load_session
from qvq_mlx.families import ModelType
from tests.engine.conftest import returned
from tests.engine.families import SEEING, Checkpoint, card_of, greedy, last_logits, started

TOKENS = 100


def case_of(family: ModelType) -> str:
    return "two" if family in SEEING else "text"


def computed(session: Session, family: ModelType) -> tuple[np.ndarray, list[int]]:
    """The logits after a prompt with two pictures, and the likeliest tokens behind it."""
    made = Checkpoint(family, Path(), session, {})
    first = last_logits(started(session, made, case_of(family)))
    return first, list(greedy(started(session, made, case_of(family)), TOKENS))


def nbytes(session: Session) -> tuple[int, int]:
    """Bytes of all weights, and of the layers among them."""
    model = session.parts.model._model
    layers = model.language_model.model.layers
    everything, inner = (
        sum(array.nbytes for _, array in tree_flatten(parameters))
        for parameters in (model.parameters(), [layer.parameters() for layer in layers])
    )
    return everything, inner


def split(folder: Path, family: ModelType, group: mx.distributed.Group) -> Session | None:
    """None where it does not divide."""
    stored = Stored(card_of(family, folder), folder)
    try:
        session = returned(load_session(stored, Setup(), Control(), group))
    except UnsupportedModelError as error:
        print(error, flush=True)
        return None
    assert isinstance(session, Session)
    return session


def main() -> None:
    *pairs, out = sys.argv[1:]
    group = mx.distributed.init(strict=True, backend="ring")
    found: dict[str, np.ndarray] = {}
    for folder, family in zip(pairs[::2], pairs[1::2], strict=True):
        session = split(Path(folder), ModelType(family), group)
        if session is None:
            continue
        logits, tokens = computed(session, ModelType(family))
        name = Path(folder).name
        found |= {
            f"{name} logits": logits,
            f"{name} tokens": np.array(tokens),
            f"{name} bytes": np.array(nbytes(session)),
        }
    np.savez(f"{out}-{group.rank()}.npz", **found)


if __name__ == "__main__":
    main()
