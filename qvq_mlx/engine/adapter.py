"""The one place that builds mlx-vlm's models and runs their vision encoders.

Law: a model is built from checked values (engine/architecture.py) and renamed weights
(engine/weights.py), never from a folder's files as they are; `Model.__call__` is never called (see
engine/language.py). Nothing that mlx-vlm prints or logs reaches the user.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from qvq_mlx.core.errors import BrokenModelError, QvqError, UnsupportedModelError
from qvq_mlx.core.events import Progress, Stage
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.core.tokens import Control
from qvq_mlx.engine.architecture import Architecture, read_architecture
from qvq_mlx.engine.cache_files import KeptFiles
from qvq_mlx.engine.features import Embedded, Features, embedded
from qvq_mlx.engine.language import Language
from qvq_mlx.engine.library import family_package
from qvq_mlx.engine.patches import Patches
from qvq_mlx.engine.prefix import PrefixCache
from qvq_mlx.engine.sequence import KVSequence
from qvq_mlx.engine.soundness import first_unsound
from qvq_mlx.engine.weights import install, read_head, read_weights, tie
from qvq_mlx.families import Family
from qvq_mlx.families.family import PatchLayout, Values

if TYPE_CHECKING:
    from qvq_mlx.engine.led import Others
    from qvq_mlx.engine.mtp import MTPHead

_NO_NUMBERS = "holds values that are no numbers (NaN, infinite, or scales that are all zero)"


class Model:
    """A checkpoint in memory.

    `image_token_id`, `video_token_id` and `layout` are None where it reads text only.
    `tokens_per_s` are the positions to a second of video (engine/clips.py).
    """

    def __init__(self, model: Any, architecture: Architecture, folder: Path) -> None:
        vision = architecture.vision
        self._model = model
        self._folder = folder
        self._architecture = architecture
        self._language = Language(
            model.language_model, architecture.family.call, architecture.caches
        )
        self.family: Family = architecture.family
        self.vocab_size = int(str(architecture.text["vocab_size"]))
        self.eos_ids: frozenset[int] = architecture.eos_ids
        self.image_token_id: int | None = vision.token_ids.image if vision else None
        self.video_token_id: int | None = vision.token_ids.video if vision else None
        self.tokens_per_s: float = vision.tokens_per_s if vision else 0.0
        self.layout: PatchLayout | None = vision.layout if vision else None

    def encode(self, patches: Patches, grid: tuple[int, int]) -> Features:
        """One picture, or one step of a clip, of `grid` rows and columns of patches.

        Not evaluated: see Features.arrays. The steps of a clip do not see each other in any
        family's vision encoder, so that encoding them one by one is encoding the clip.
        """
        tower = self._model.vision_tower
        pixels = mx.array(patches).astype(tower.patch_embed.proj.weight.dtype)
        output = tower(pixels, mx.array([[1, *grid]]))
        vision = self.family.vision
        rows, deepstack = output if vision and vision.returns_deepstack else (output, ())
        return Features(rows, tuple(deepstack))

    def embed(self, ids: Sequence[int], features: Sequence[Features]) -> Embedded:
        """`ids`, a prompt or the end of one, with the features of the pictures within it."""
        visual = (self.image_token_id, self.video_token_id)
        image = np.array([token in visual for token in ids], dtype=np.bool_)
        return embedded(self._language.embed(ids), image, features)

    def sequence(self) -> KVSequence:
        """An empty KV cache on this model."""
        return KVSequence(self._language)

    def prefixes(self, files: KeptFiles | None) -> PrefixCache:
        """Prefixes of this model, on disk too where there are `files`; none yet in memory."""
        return PrefixCache(files)

    def read_head(self) -> MTPHead | None:
        """The MTP head of the checkpoint, read; None where it holds none.

        Raises BrokenModelError where it is not whole.
        """
        architecture = self._architecture
        head = architecture.family.draft_head
        if head is None:
            return None
        from qvq_mlx.engine.mtp import MTPHead, build_head
        from qvq_mlx.families.hybrid import MTP

        with _silence(), _as_broken(self._folder, f"the `{MTP}` weights"):
            weights = read_head(self._folder, architecture.family)
            if not weights:
                return None
            stated = architecture.quantization
            own = {path.partition(MTP)[2]: stated[path] for path in stated if MTP in path}
            package = architecture.family.package
            module = build_head(head, package, architecture.text, weights, {**stated, **own})
            mx.eval(module.parameters())
        if name := first_unsound(_named(module), small_only=True):
            raise _broken(self._folder, f"{MTP}{name} {_NO_NUMBERS}")
        return MTPHead(module, self._language)

    def unsound(self) -> BrokenModelError:
        """The error for logits that are no numbers; reads all weights to name the one at fault."""
        if name := first_unsound(_named(self._model)):
            return _broken(self._folder, f"{name} {_NO_NUMBERS}")
        what = (
            "the weights are numbers, and what they give for this prompt is not; a GPU whose memory"
            " ran out gives such, so try again with other programs closed"
        )
        return _broken(self._folder, what)


def load_model(
    folder: Path, control: Control, others: Others | None = None
) -> Generator[Progress, None, Model | None]:
    """Read the weights, part by part. None where `control` stopped it.

    With `others` their part of the layers is left out (engine/led.py).
    Raises UnsupportedModelError or BrokenModelError.
    """
    architecture = read_architecture(folder)
    model = lazy_model(folder, architecture)
    if others is not None:
        split_layers(model, folder, others.group)
    language = model.language_model.model
    parts = [language.embed_tokens, *language.layers, model]
    if architecture.vision:
        parts = [model.vision_tower, *parts]
    total = _nbytes(model)
    done = 0
    for part in parts:
        if control.stopping:
            return None
        yield Progress(Stage.LOAD, done, total)
        with _as_broken(folder):
            mx.eval(part.parameters())
        done += _nbytes(part)
    if name := first_unsound(_named(model), small_only=True):
        raise _broken(folder, f"{name} {_NO_NUMBERS}")
    yield Progress(Stage.LOAD, total, total)
    if others is None:
        return Model(model, architecture, folder)
    from qvq_mlx.engine.led import LedModel

    return LedModel(model, architecture, folder, others)


def lazy_model(folder: Path, architecture: Architecture) -> Any:
    """The model with its weights mapped, not read. Raises BrokenModelError."""
    with _silence(), _as_broken(folder):
        return _mapped(folder, architecture)


def _mapped(folder: Path, architecture: Architecture) -> Any:
    from qvq_mlx.engine.attention import bound_memory

    if mx.metal.is_available():
        from qvq_mlx.engine.out_of_memory import wire

        wire(mx.device_info(), mx.set_wired_limit)
    weights = read_weights(folder, architecture.family)
    weights, tied = tie(weights, architecture.tied)
    model = bare_model(architecture, {**architecture.text, "tie_word_embeddings": tied})
    install(model, weights, architecture.quantization)
    if architecture.vision and mx.default_device() == mx.Device(mx.cpu):
        bound_memory(model.vision_tower)
    return model


def split_layers(model: Any, folder: Path, group: mx.distributed.Group) -> None:
    """Leave this member's part of the layers. Raises UnsupportedModelError."""
    from qvq_mlx.engine.tensor_parallel import split  # one machine needs none of it

    try:
        split(model.language_model, group)
    except ValueError as error:
        raise UnsupportedModelError(f"{folder}: {error}") from None


def bare_model(architecture: Architecture, text: Values) -> Any:
    """mlx-vlm's model of the family, its weights not yet set."""
    package = family_package(architecture.family.package)
    vision = architecture.vision
    if vision is None:
        return package.Model(package.ModelConfig(**text))
    model_type = str(architecture.family.model_type)
    config = package.ModelConfig(
        text_config=package.TextConfig(**text),
        vision_config=package.VisionConfig(model_type=model_type, **vision.values),
        model_type=model_type,
        image_token_id=vision.token_ids.image,
        video_token_id=vision.token_ids.video,
        vision_start_token_id=vision.token_ids.vision_start,
        vocab_size=text["vocab_size"],
    )
    model = package.Model(config)
    if vision.package != architecture.family.package:
        eyes = family_package(vision.package)
        values = {"model_type": vision.package, **vision.values}
        model.vision_tower = eyes.VisionModel(eyes.VisionConfig(**values))
    return model


def _nbytes(part: Any) -> int:
    """Bytes of all weights of a module; known before they are read."""
    return sum(array.nbytes for _, array in _named(part))


def _named(part: Any) -> list[tuple[str, mx.array]]:
    """All weights of a module with their paths in it."""
    return cast("list[tuple[str, mx.array]]", tree_flatten(part.parameters()))


def _broken(folder: Path, what: str) -> BrokenModelError:
    return BrokenModelError(f"{folder}: {what}", RunProgram(("ls", "-l", str(folder))))


@contextlib.contextmanager
def _as_broken(folder: Path, what: str = "the weights") -> Iterator[None]:
    """Whatever mlx and mlx-vlm raise over a checkpoint, as one line."""
    try:
        yield
    except QvqError:
        raise
    except Exception as error:
        from qvq_mlx.engine.out_of_memory import raise_for_memory

        raise_for_memory(str(folder), error)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BrokenModelError(
            f"{what} in {folder} do not load: {reason[:200]}",
            RunProgram(("ls", "-l", str(folder))),
        ) from error


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
