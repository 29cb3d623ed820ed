"""Tiny checkpoints of families with linear attention, and a drawn MTP head in each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import numpy as np

from qvq_mlx.core.setup import Drafting
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.session import Session
from qvq_mlx.families import ModelType
from tests.engine.families import Checkpoint, opened, write
from tools.families import drawn

HYBRID = [ModelType.QWEN3_5, ModelType.QWEN3_5_MOE]
Arrays = dict[str, np.ndarray]
_ATTENTION = "language_model.layers.3."
"""The layer of the model that a head's layer is like."""


def head_weights(folder: Path) -> Arrays:
    """The weights of a head, drawn, as transformers' naming has them: norms about zero."""
    shapes = json.loads((folder / "weights.json").read_text())
    like = {
        f"mtp.layers.0.{name.partition(_ATTENTION)[2]}": shape
        for name, shape in shapes.items()
        if _ATTENTION in name
    }
    width = shapes["model.language_model.norm.weight"][0]
    norms = ["norm", "pre_fc_norm_embedding", "pre_fc_norm_hidden"]
    like |= {f"mtp.{norm}.weight": [width] for norm in norms}
    like["mtp.fc.weight"] = [width, 2 * width]
    return {
        name: array - 1 if array.ndim == 1 else array for name, array in drawn.weights(like).items()
    }


def add(folder: Path, head: Mapping[str, Any]) -> Path:
    """Put the weights of a head into a checkpoint."""
    path = folder / "model.safetensors"
    weights = cast("dict[str, mx.array]", mx.load(str(path)))
    more = {name: mx.array(array) for name, array in head.items()}
    mx.eval(weights)
    mx.save_safetensors(str(path), weights | more)
    return folder


@dataclass(frozen=True)
class Made:
    """A checkpoint with a head, and the head's weights."""

    there: Checkpoint
    head: Arrays

    @property
    def session(self) -> Session:
        """The checkpoint, loaded."""
        return self.there.session

    def drafts(self, always: int) -> Drafts:
        """The head as the drafter of so many tokens each time."""
        head = self.session.parts.model.read_head()
        assert head is not None
        return Drafts(Drafting.MTP, always=always, head=head)


def headed(family: ModelType, folder: Path) -> Made:
    """Written into `folder`, and loaded."""
    write(family, folder)
    head = head_weights(folder)
    add(folder, head)
    return Made(Checkpoint(family, folder, opened(folder, family), {}), head)
