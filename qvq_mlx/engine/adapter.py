"""The one place that touches mlx-vlm's models: their classes and their weight loading.

Law: every forward pass is given its positions. mlx-vlm keeps the positions of the last prompt on
the model object and reuses them for the next one; `Model.__call__` is therefore never called, and
nothing on the model object is ever read or relied on.

Nothing that mlx-vlm prints or logs reaches the user.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
from mlx.utils import tree_flatten

from qvq_mlx.core.checkpoint import read_json
from qvq_mlx.core.errors import BrokenModelError, UnsupportedModelError
from qvq_mlx.core.events import Progress, Stage
from qvq_mlx.core.tokens import Control
from qvq_mlx.engine.lane import Lane
from qvq_mlx.engine.patches import Patches

FAMILIES = ("qwen2_vl",)


class Model:
    """A checkpoint in memory."""

    def __init__(self, model: Any, config: dict[str, Any]) -> None:
        self._model = model
        self._language = model.language_model
        self.image_token_id = int(config["image_token_id"])
        self.eos_ids = _eos_ids(config)

    def encode(self, patches: Patches, grid: tuple[int, int]) -> mx.array:
        """Image features (image tokens, hidden) of one picture of `grid` rows and columns."""
        tower = self._model.vision_tower
        pixels = mx.array(patches).astype(tower.patch_embed.proj.weight.dtype)
        features: mx.array = tower(pixels, mx.array([[1, *grid]]), output_hidden_states=False)
        return features

    def embed(self, ids: Sequence[int], features: Sequence[mx.array]) -> mx.array:
        """Embeddings (1, tokens, hidden) with the image features at the image tokens, in order."""
        embeddings: mx.array = self._language.model.embed_tokens(mx.array([ids]))
        places = [index for index, token in enumerate(ids) if token == self.image_token_id]
        if places:
            stacked = mx.concatenate(list(features), axis=0).astype(embeddings.dtype)
            embeddings[0, mx.array(places)] = stacked
        return embeddings

    def lane(self) -> Lane:
        """An empty KV cache on this model."""
        return Lane(self._language)


def load_model(folder: Path, control: Control) -> Generator[Progress, None, Model | None]:
    """Read the weights, part by part. None where `control` stopped it."""
    config = read_json(folder / "config.json")
    family = config.get("model_type")
    if family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise UnsupportedModelError(
            f"{folder} is of the architecture {family!r}; this version runs {known}",
            "qvq models",
        )
    with _silence():
        model = _lazy_model(folder)
    parts = [
        model.vision_tower,
        model.language_model.model.embed_tokens,
        *model.language_model.model.layers,
        model,
    ]
    total = _nbytes(model)
    done = 0
    for part in parts:
        if control.stopping:
            return None
        yield Progress(Stage.LOAD, done, total)
        mx.eval(part.parameters())
        done += _nbytes(part)
    yield Progress(Stage.LOAD, total, total)
    generation = read_json(folder / "generation_config.json", missing_ok=True)
    return Model(model, {**config, **generation})


def _lazy_model(folder: Path) -> Any:
    """The model with its weights mapped, not read."""
    from mlx_vlm.utils import load_model as load_lazily

    if mx.metal.is_available():
        # macOS may otherwise page weights out between two tokens
        mx.set_wired_limit(int(mx.device_info()["max_recommended_working_set_size"]))
    try:
        return load_lazily(folder, lazy=True)
    except (ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BrokenModelError(
            f"the weights in {folder} do not load: {reason[:200]}", f"ls -l {folder}"
        ) from error


def _nbytes(part: Any) -> int:
    """Bytes of all weights of a module; known before they are read."""
    leaves = cast("list[tuple[str, mx.array]]", tree_flatten(part.parameters()))
    return sum(array.nbytes for _, array in leaves)


def _eos_ids(config: dict[str, Any]) -> frozenset[int]:
    stated = config.get("eos_token_id")
    if stated is None:
        raise BrokenModelError("the checkpoint's config names no end token (eos_token_id)")
    return frozenset(stated if isinstance(stated, list) else [stated])


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Swallow prints and log records; restore both afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
