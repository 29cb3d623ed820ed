"""The questions that the rest of the program asks a model family.

Law: every member of `Family` and `Vision` is abstract. A class that leaves a question open cannot
be instantiated, and mypy names the question. So a new question is a type error in every family, and
a new family is a type error until all questions are answered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from qvq_mlx.core.clip import Clip, Visual
from qvq_mlx.core.places import Coordinates
from qvq_mlx.families.fields import Fields

Values = dict[str, object]
"""Keyword arguments of one of mlx-vlm's config classes."""


class ModelType(StrEnum):
    """The families, by the `model_type` of their config.json."""

    QWEN2_VL = "qwen2_vl"
    """Qwen2-VL, QVQ."""
    QWEN2_5_VL = "qwen2_5_vl"
    QWEN2 = "qwen2"
    """Text only: QwQ."""
    QWEN3_VL = "qwen3_vl"
    QWEN3_5 = "qwen3_5"
    """Qwen3.5, 3.6 and 3.8."""
    QWEN3_5_MOE = "qwen3_5_moe"
    """The same with sparse experts."""
    QWEN3_VL_MOE = "qwen3_vl_moe"
    """Qwen3-VL with sparse experts: 30B-A3B, 235B-A22B."""


class LayerCache(StrEnum):
    """The cache of one layer of a language model."""

    KEYS_VALUES = "keys-values"
    """Keys and values of every token; the last tokens can be taken back."""

    RECURRENT = "recurrent"
    """A state of fixed size that each token changes (linear attention): what it was before a token
    is known only where it was kept (engine/recurrent.py)."""


@dataclass(frozen=True, slots=True)
class PatchLayout:
    """The layout of patches: pixels to patches, and patches to image tokens.

    A patch is `patch_px` x `patch_px` pixels of `temporal` frames, a token `merge` x `merge`
    patches; a channel in 0..1 enters as (value - mean) / std.
    """

    patch_px: int = 14
    merge: int = 2
    temporal: int = 2
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)

    @property
    def factor_px(self) -> int:
        """The side of one image token."""
        return self.patch_px * self.merge

    def grid(self, picture: Visual) -> tuple[int, int]:
        """Rows and columns of patches, of one step where it is a clip."""
        return picture.height_px // self.patch_px, picture.width_px // self.patch_px

    def token_grid(self, picture: Visual) -> tuple[int, int]:
        """Rows and columns of image tokens."""
        rows, columns = self.grid(picture)
        return rows // self.merge, columns // self.merge


@dataclass(frozen=True, slots=True)
class VisualTokens:
    """Token ids: the ones that stand for image and video tokens, and the mark before them."""

    image: int
    video: int
    vision_start: int


@dataclass(frozen=True, slots=True)
class CallNames:
    """Parameter names of mlx-vlm's language model; None where it has no such parameter.

    `embeddings` takes (1, tokens, hidden), `positions` (3, rows, tokens), `image_mask` which tokens
    are image tokens, `deepstack` the rows that are added to these after the first layers.
    """

    embeddings: str
    positions: str | None
    image_mask: str | None
    deepstack: str | None


@dataclass(frozen=True, slots=True)
class Placement:
    """One weight of mlx-vlm's model: the stored weights it is made of, and how.

    `axes` is the order of the stored axes; empty leaves them. `part` (n, of) is the n-th of so
    many equal parts of the rows, the axis before the last, in that order. Several `sources` are
    stacked on a new first axis. `added` is added to every number: norms that are stored about zero
    scale by 1 more.
    """

    name: str
    sources: tuple[str, ...]
    axes: tuple[int, ...] = ()
    part: tuple[int, int] = (0, 1)
    added: float = 0.0


@dataclass(frozen=True, slots=True)
class DraftHead:
    """A head that guesses the token after the next one, stored beside the model as `mtp.*`.

    `layer` is the class of its layers in mlx-vlm's `language` module of the family; `place` gives
    its weights under their names in it, from names and shapes of all stored weights.
    """

    layer: str
    place: Callable[[Mapping[str, tuple[int, ...]]], Iterable[Placement]]


class Vision(ABC):
    """The questions about the pictures and clips of a family.

    Values of published checkpoints; what a checkpoint states itself comes first.
    """

    @property
    @abstractmethod
    def package(self) -> str:
        """The module of `mlx_vlm.models` with the encoder's VisionConfig and VisionModel."""

    @property
    @abstractmethod
    def layout(self) -> PatchLayout:
        """Return the layout of patches."""

    @property
    @abstractmethod
    def min_pixels(self) -> int:
        """The smallest area of a picture."""

    @property
    @abstractmethod
    def boxes(self) -> Coordinates:
        """Return the units of a box's numbers in an answer."""

    @property
    @abstractmethod
    def token_ids(self) -> VisualTokens:
        """The ids where config.json states none."""

    @property
    @abstractmethod
    def returns_deepstack(self) -> bool:
        """True if the encoder returns (rows, deepstack layers), False if it returns rows."""

    @property
    @abstractmethod
    def timestamps(self) -> bool:
        """True if each step of a clip stands alone in the prompt, behind its time in seconds."""

    @abstractmethod
    def clip_times(self, clip: Clip, tokens_per_s: float) -> list[tuple[int, ...]]:
        """M-RoPE positions in time, from 0 on, of the steps of each run of a clip's tokens.

        One run per clip, or with `timestamps` one run per step.
        """

    @abstractmethod
    def tokens_per_s(self, eyes: Fields) -> float:
        """M-RoPE positions per second of video; 0.0 where positions follow no clock."""

    @abstractmethod
    def encoder_values(self, eyes: Fields, layout: PatchLayout, hidden: int) -> Values:
        """The values of mlx-vlm's VisionConfig, less `model_type`.

        `eyes` is `vision_config`, `hidden` the width of the language model. Raises
        BrokenModelError where values are missing, of a wrong type, or contradict each other.
        """


class Family(ABC):
    """The questions about a model family."""

    @property
    @abstractmethod
    def model_type(self) -> ModelType:
        """Its member of the closed list."""

    @property
    @abstractmethod
    def package(self) -> str:
        """The module of `mlx_vlm.models` with its classes."""

    @property
    @abstractmethod
    def vision(self) -> Vision | None:
        """The answers about pictures; None where the family reads text only."""

    @property
    @abstractmethod
    def system(self) -> str | None:
        """The system message that the chat template adds where none is given.

        None: it adds none, or the checkpoints of the family differ.
        """

    @property
    @abstractmethod
    def nested_config(self) -> bool:
        """True if mlx-vlm's loader wants the text values in `text_config`, False: at the top."""

    @property
    @abstractmethod
    def call(self) -> CallNames:
        """The parameters of the language model."""

    @property
    @abstractmethod
    def draft_head(self) -> DraftHead | None:
        """The head that checkpoints of the family may hold; None where there is no such thing."""

    @abstractmethod
    def text_values(self, text: Fields) -> Values:
        """The values of mlx-vlm's TextConfig, less `model_type` and `tie_word_embeddings`.

        Raises BrokenModelError where values are missing, of a wrong type, or contradict each other,
        and UnsupportedModelError where they ask for what is not run.
        """

    @abstractmethod
    def layer_caches(self, text: Fields) -> tuple[LayerCache, ...]:
        """The cache of each layer of the language model."""

    @abstractmethod
    def placements(self, shapes: Mapping[str, tuple[int, ...]]) -> Iterable[Placement]:
        """The weights of mlx-vlm's model, from names and shapes of all stored weights.

        A stored weight that the model does not have is left out.
        """

    @abstractmethod
    def module_path(self, path: str) -> str:
        """The path in mlx-vlm's model of a module that `quantization` names."""

    @abstractmethod
    def least_bits(self, path: str) -> int:
        """The fewest bits that a conversion gives the module at `path`; 0 where any will do."""
