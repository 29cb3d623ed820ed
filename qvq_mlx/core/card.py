"""Facts about a model, known before its weights are read: name, repository, thinking, limits.

Law: everything that differs between models of one architecture is a fact on a card, not a branch
in the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from qvq_mlx.core.places import Coordinates
from qvq_mlx.core.request import Sampling

KV_GROUPS = (64, 32)
"""Sizes of a group of keys or values that share a scale: the larger that divides is taken."""


class ThinkingStyle(StrEnum):
    """The ways in which a model marks its thinking."""

    MARKER = "marker"
    """Free text, then a line such as `**Final Answer**` (QVQ, QwQ-Preview)."""
    TAG = "tag"
    """`<think>` ... `</think>`, both written by the model."""
    PREOPENED = "preopened"
    """The chat template opened the tag: only `</think>` is written (QwQ, Qwen3-VL-Thinking)."""
    NONE = "none"
    """It answers at once."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """The voice of a model: how its text splits, and what makes it conclude.

    `markers` (style MARKER) or `open_tag` and `close_tag` (styles TAG, PREOPENED) tell the answer
    from the thinking. Those of the markers that are `labels` also begin an answer where a colon
    and prose follow on their line. `answer_tags` wrap the answer and are dropped from it.
    `closing` is forced when the answer is wanted now; `budget_tokens` of thinking are the default
    budget. `unasked` is what the chat template writes into a reply that is asked for without
    thinking, '' where it cannot be asked so; `on_request`: that is the template's default.
    """

    style: ThinkingStyle = ThinkingStyle.NONE
    markers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    open_tag: str = "<think>"
    close_tag: str = "</think>"
    answer_tags: tuple[str, ...] = ()
    closing: str = ""
    budget_tokens: int = 4096
    unasked: str = ""
    on_request: bool = False

    @property
    def opened(self) -> str:
        """The text that the chat template writes at the start of a reply."""
        if self.style is ThinkingStyle.NONE:
            return self.unasked
        return f"{self.open_tag}\n" if self.style is ThinkingStyle.PREOPENED else ""

    @property
    def switched_off(self) -> Thinking:
        """The voice of the same model where it is asked not to think: it answers at once."""
        return Thinking(unasked=self.unasked)


OWN_MAX_TOKENS = 16_384
"""What the published checkpoints of all families allow a picture."""


@dataclass(frozen=True, slots=True)
class VisionLimits:
    """Limits for the image processor.

    A side becomes a multiple of `factor_px` (patch size x merge size); the area lands between
    `min_pixels` and `max_pixels`; the longer side may be `max_aspect` times the shorter.
    `own_max_pixels` is what the checkpoint itself allows; 0: not known, so OWN_MAX_TOKENS.
    `video`: it takes videos too.
    """

    factor_px: int = 28
    min_pixels: int = 4 * 28 * 28
    max_pixels: int = 1280 * 28 * 28
    max_aspect: int = 200
    own_max_pixels: int = 0
    video: bool = False

    @property
    def max_tokens(self) -> int:
        """Image tokens of a picture of the largest size."""
        return self.max_pixels // self.factor_px**2

    @property
    def min_tokens(self) -> int:
        """Image tokens that even the smallest picture gets."""
        return -(-self.min_pixels // self.factor_px**2)

    @property
    def own_max_tokens(self) -> int:
        """The most image tokens that the checkpoint allows a picture."""
        own = self.own_max_pixels // self.factor_px**2 or OWN_MAX_TOKENS
        return max(own, self.max_tokens)


@dataclass(frozen=True, slots=True)
class VisionShape:
    """The vision encoder. `patch` is in pixels; `merge` x `merge` patches are one image token.

    `parameters` are those that a quantization leaves in 16 bit; 0: none, or nobody said.
    """

    depth: int
    hidden: int
    heads: int
    patch: int = 14
    merge: int = 2
    parameters: int = 0


@dataclass(frozen=True, slots=True)
class Experts:
    """Sparse experts: `count` in a layer, `active` of them for each token, `intermediate` wide.

    All of them are in memory. `layers` have experts, the others of the model are dense.
    `shared_intermediate` is the width of the expert that every token goes through; 0: none.
    """

    count: int
    active: int
    intermediate: int
    layers: int
    shared_intermediate: int = 0


@dataclass(frozen=True, slots=True)
class Recurrent:
    """Layers of linear attention: `layers` of the model keep a state of fixed size, and no keys
    and values. `window` are the inputs that their convolution looks back on. `last`: the last layer
    of the model is one of them.
    """

    layers: int
    key_heads: int
    value_heads: int
    key_dim: int = 128
    value_dim: int = 128
    window: int = 3
    last: bool = False

    @property
    def channels(self) -> int:
        """Channels of the convolution: queries, keys and values side by side."""
        return 2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim

    @property
    def recurrent_bytes(self) -> int:
        """The recurrent states of all layers, whatever the number of tokens; they are 32-bit."""
        return self.layers * self.value_heads * self.value_dim * self.key_dim * 4

    def state_bytes(self, float_bytes: int) -> int:
        """All that the layers keep: the recurrent states and the inputs of the convolutions."""
        windows = self.layers * self.window * self.channels * float_bytes
        return self.recurrent_bytes + windows


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers that memory and speed follow from. `vision` None: it reads text only.

    `experts` None: every token is computed with all weights. `recurrent` None: all layers keep keys
    and values. `float_bytes` is the size of an activation.

    `tied`: input and output embeddings are one matrix. `parameters` counts the vision encoder;
    0 where nobody said. Source: the checkpoint's config.json.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool = False
    parameters: int = 0
    context_tokens: int = 0
    vision: VisionShape | None = None
    experts: Experts | None = None
    recurrent: Recurrent | None = None
    float_bytes: int = 2

    @property
    def kv_group(self) -> int:
        """The size of a group of keys or values that share a scale; 0: they cannot be quantised."""
        return next((size for size in KV_GROUPS if self.head_dim % size == 0), 0)

    @property
    def attention_layers(self) -> int:
        """Layers that keep keys and values."""
        return self.layers - (self.recurrent.layers if self.recurrent else 0)

    @property
    def active_share(self) -> float:
        """The share of the weights that one token is computed with, were all of equal bits."""
        if self.experts is None or not self.parameters:
            return 1.0
        one = 3 * self.hidden * self.experts.intermediate * self.experts.layers
        idle = one * (self.experts.count - self.experts.active)
        return max(1 - idle / self.parameters, self.experts.active / self.experts.count)

    @property
    def dense_width(self) -> int:
        """The width of the dense layers; 0 where all have experts."""
        sparse = self.experts is not None and self.experts.layers == self.layers
        return 0 if sparse else self.intermediate

    @property
    def ffn_width(self) -> float:
        """The width of what a token goes through behind attention, on average over the layers."""
        if self.experts is None:
            return self.intermediate
        sparse = self.experts.active * self.experts.intermediate + self.experts.shared_intermediate
        dense = self.layers - self.experts.layers
        return (sparse * self.experts.layers + self.intermediate * dense) / self.layers


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model in one quantization.

    `repo` is a Hugging Face repository id, `folder` a path relative to the cards. Exactly one of
    the two is set for a card that is shipped; a card derived from a folder of the user's has an
    absolute `folder`. `revision` is the branch, tag or commit of `repo`, empty for main, or for the
    only one that is on the disk. `base` names the model that this is a quantization of, at `bits`
    per weight (0: nobody said). `direct_sampling` holds where the model is asked not to think;
    None: `sampling` does. `download_bytes` is the size of the weights. `rank` orders the defaults,
    highest first; 0 is never picked by itself. `mmmu` is the accuracy in percent on MMMU that one
    of `sources` publishes, of the whole weights; 0: none does. `draft` names the card of a smaller
    model with the same tokenizer, which drafts for this one where it is on the disk. `boxes` says
    what the numbers mean with which it points at a place; `points` False: it finds too little to be
    asked by default where to look closer. `rounds` False: it answers one question and knows no
    conversation; a follow-up is retold to it.
    `unconfirmed` lists the fields, as dotted paths, that no source confirms. `named_after` is the
    card that lends what the checkpoint does not state, found by the name alone. `remarks` are what
    a user has to know of the checkpoint, one line each: each run says them.
    """

    name: str
    summary: str
    family: str
    licence: str
    aliases: tuple[str, ...] = ()
    repo: str = ""
    revision: str = ""
    folder: str = ""
    download_bytes: int = 0
    sees: bool = True
    thinking: Thinking = Thinking()
    system: str | None = None
    max_tokens: int = 8192
    sampling: Sampling = Sampling()
    direct_sampling: Sampling | None = None
    vision: VisionLimits = VisionLimits()
    base: str = ""
    bits: float = 0.0
    shape: Shape | None = None
    rank: int = 0
    mmmu: float = 0.0
    draft: str = ""
    rounds: bool = True
    boxes: Coordinates = Coordinates.RELATIVE_1000
    points: bool = True
    sources: tuple[str, ...] = ()
    unconfirmed: tuple[str, ...] = ()
    named_after: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The repository as a pull takes it, with `@` and the revision where there is one."""
        return f"{self.repo}@{self.revision}" if self.revision else self.repo

    @property
    def thinks(self) -> bool:
        """True if it thinks before it answers."""
        return self.thinking.style is not ThinkingStyle.NONE

    def sampling_for(self, *, thinks: bool) -> Sampling:
        """The sampling where the user sets nothing; `thinks` False: it is asked not to think."""
        return self.sampling if thinks or self.direct_sampling is None else self.direct_sampling

    def answers_to(self, name: str) -> bool:
        """True if `name` means this card; case does not matter."""
        wanted = name.casefold()
        return wanted in {n.casefold() for n in (self.name, *self.aliases, self.repo) if n}
