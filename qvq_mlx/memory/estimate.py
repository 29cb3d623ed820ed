"""True if a model fits a machine: the memory of one run, as a formula.

    needed = weights + the larger of vision encoder, and KV cache + image prefix + workspace [bytes]

    weights    bytes of the weight files
    KV cache   2 (K, V) x layers x kv_heads x head_dim x b x tokens, tokens rounded up to 256
               tokens = prompt + image + thinking budget + answer
               a layer of linear attention keeps a state instead, of fixed size (`Recurrent`)
    prefix     the KV cache as it was at the end of the last picture, tokens rounded up to 256, and
               a state of each linear layer for each picture
    vision     P = image tokens x merge^2 patches
               P x (16 x hidden x b + 6 x patch^2 x 4 B) + image tokens x model hidden x b
    workspace  512 x (8 x hidden + 3 x intermediate + 4 x channels) x b + vocab x 4 B
               + prompt and image tokens x hidden x b; where it is larger, instead of it 8 states
               of each linear layer

b is the size of an activation, 2 B, or 4 B in a checkpoint of float32; channels are those of a
linear layer's convolution. Quantised to 8 or 4 bits, a key or value has so many, and 64 (or 32)
of them have 2 x b together; until the prompt is read it has b, as the workspace counts. Pictures
are encoded before the prompt is read, so the two never need their memory together. The KV cache
grows by steps of 256 tokens (mlx-vlm's KVCache). The vision
term counts what is live in one block: 8 arrays as wide as the encoder and two of four times that,
next to the pixels in 32 bit. Metal's fused attention (head sizes 64, 72, 80, 128) keeps no scores.

On a backend without it the terms are those that were measured there
(tests/memory/test_measured.py): for a patch the larger of three times its pixels + 8 x hidden, and
16 x hidden + 3 x 256 x heads, since the encoder's attention is cut there by queries
(engine/attention.py); `_unfused_workspace_bytes` has those of the prefill. 512 is the prefill
chunk. All pictures count as one, an upper bound.

The image prefix is what the next question about the same pictures begins with
(engine/prefix.py). It shares the KV cache's memory until that grows. Of a linear layer the states
after each of the 8 tokens that one pass verifies at the most are kept, beside the one before them,
so that a draft that is not taken is taken back (engine/recurrent.py).

A run that an MTP head drafts for keeps the hidden states of the last `TRACE_TOKENS` of the prompt,
and the keys and values of the head.

Of machines that split a model (engine/tensor_parallel.py) the first one is estimated, which needs
most: the embeddings, the head and the vision encoder are whole there, of the layers, the KV cache
and the prefix it has its share, and the workspace is counted whole. Speeds are not known then.

Sparse experts are all in the weights; speed follows from `Shape.active_share`.

    prefill    (2 x weights of the layers x T + 2 x layers x heads x head_dim x T^2
               + depth x (24 x width^2 x P + 4 x width x P^2)) / (flop/s x PREFILL_SHARE)   [s]
               T prompt and image tokens, P patches; an estimate, of a run with nothing cached

The verdict: `no` above the working set, `tight` above 80 % of it, else `yes`; `unknown` where the
working set or the weights are. The remaining fifth is for the allocator's cache, the display and
other programs. Not covered: what other programs hold at this moment, Python itself (about 0.3 GB),
a draft model (qvq_mlx/memory/admission.py adds it).

Law: a verdict never gets better with more tokens and never worse with more memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from qvq_mlx.core.card import ModelCard, Shape
from qvq_mlx.core.plan import CLOSING_TOKENS
from qvq_mlx.core.sizes import size

if TYPE_CHECKING:
    from qvq_mlx.core.machine import Machine

KV_STEP_TOKENS = 256
CHUNK_TOKENS = 512
PROMPT_TOKENS = 128
"""A question, the system message and the chat template, where there is no question yet."""
ANSWER_TOKENS = 1024
"""What is kept for the answer, of the tokens that a run may write."""
TIGHT_SHARE = 0.80
ACHIEVED_SHARE = 0.80
"""Of bandwidth / bytes. Others measured 79 to 86 % on Max chips, 70B models at 4 and 6 bit."""
ULTRA_SHARE = 0.63
"""Others measured 63 to 64 % on Ultra chips."""
PREFILL_SHARE = 0.60
"""Of the chip's 32-bit flop/s. Others measured 77 % with an 8B model on an M1 Max, 512 tokens."""
BLOCK_TOKENS = 8
"""The most that one pass verifies."""
BEFORE_IMAGE_TOKENS = 64
"""The chat template and a system message, in front of the first picture."""
TRACE_TOKENS = 1025
"""The most of a prompt whose hidden states are kept for an MTP head."""
DELTA_CHUNK_TOKENS = 64
"""Tokens that a delta net of mlx-vlm runs at a time where it has no kernel of its own."""
VISION_QUERY_ROWS = 256
"""Queries of the encoder whose scores are there at a time, without fused attention."""


class Verdict(StrEnum):
    """True if it fits."""

    YES = "yes"
    TIGHT = "tight"
    """It fits; little is left for other programs."""
    NO = "no"
    UNKNOWN = "unknown"
    """The machine's memory or the model's size is not known."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The parts of one run, in bytes, and the verdict. A part is None where it is not known."""

    model: str
    verdict: Verdict
    weights_bytes: int | None
    kv_bytes: int | None
    vision_bytes: int | None
    workspace_bytes: int | None
    kv_bytes_per_token: int | None
    tokens: int
    working_set_bytes: int | None
    working_set_source: str
    prefill_s: float | None = None
    tokens_per_s: float | None = None
    prefix_bytes: int | None = None
    machines: int = 1
    """So many split the model; the parts are those of the first."""

    @property
    def needed_bytes(self) -> int:
        """The weights and the larger of the two stages, as far as they are known."""
        reading = sum(filter(None, (self.kv_bytes, self.prefix_bytes, self.workspace_bytes)))
        return (self.weights_bytes or 0) + max(self.vision_bytes or 0, reading)

    @property
    def share(self) -> float | None:
        """Of the working set that is needed; None where that is unknown."""
        return self.needed_bytes / self.working_set_bytes if self.working_set_bytes else None

    def facts(self) -> tuple[tuple[str, str], ...]:
        """For people: name and value of each part, of the sum, and the verdict."""
        rate = self.kv_bytes_per_token
        kv = f" ({self.tokens:,} tokens x {rate / 1024:g} KiB)" if rate else ""
        source = f" ({self.working_set_source})" if self.working_set_source else ""
        return (
            ("weights", _told(self.weights_bytes) + self._whose),
            ("KV cache", _told(self.kv_bytes) + kv),
            *((("image prefix", _told(self.prefix_bytes)),) if self.prefix_bytes else ()),
            ("vision encoder", _told(self.vision_bytes)),
            ("workspace", _told(self.workspace_bytes)),
            *((("prefill", f"about {_seconds(self.prefill_s)}"),) if self.prefill_s else ()),
            *((("speed", f"about {self.tokens_per_s:.1f} tokens/s"),) if self.tokens_per_s else ()),
            ("needed", _told(self.needed_bytes)),
            ("working set", _told(self.working_set_bytes) + source),
            ("verdict", f"{self.verdict}: {self.reason}"),
        )

    @property
    def _whose(self) -> str:
        return f" (the first of {self.machines} machines has most)" if self.machines > 1 else ""

    def lines(self) -> tuple[str, ...]:
        """`facts` as aligned lines."""
        return tuple(f"{name:14}  {value}" for name, value in self.facts())

    @property
    def reason(self) -> str:
        """The verdict's numbers in one line."""
        if self.verdict is Verdict.UNKNOWN:
            if not self.weights_bytes:
                return "the size of the weights is not known"
            return f"{size(self.needed_bytes)} needed; this machine's memory is not known"
        assert self.working_set_bytes is not None
        assert self.share is not None
        needed, limit = size(self.needed_bytes), size(self.working_set_bytes)
        if self.verdict is Verdict.NO:
            return f"{needed} needed, {limit} is what the GPU may use"
        return f"{needed} needed, {self.share * 100:.0f} % of the {limit} that the GPU may use"


@dataclass(frozen=True, slots=True)
class Use:
    """The tokens of one run. `traced`: hidden states are kept for an MTP head. `images` is the
    number of pictures and clips, if there are any image tokens. From the end of the prompt on keys
    and values have `kv_bits` bits; None: those of an activation.
    """

    image_tokens: int
    prompt_tokens: int
    budget_tokens: int
    answer_tokens: int
    traced: bool = False
    images: int = 1
    kv_bits: int | None = None


def typical(card: ModelCard) -> Use:
    """One picture of the largest size, a short question, and the default budget and answer.

    It is what a question without any option writes at the most: the check before a run, the table
    of models and the estimate of one model agree.
    """
    limits = card.vision
    image = limits.max_tokens if card.sees else 0
    answer = min(ANSWER_TOKENS, card.max_tokens)
    budget = card.max_tokens - answer
    if card.thinking.closing:
        budget = min(budget, card.thinking.budget_tokens + CLOSING_TOKENS)
    return Use(image, PROMPT_TOKENS, budget, answer)


def with_budget(card: ModelCard, use: Use, budget_tokens: int) -> Use:
    """`use` with this thinking budget: what a question that names it writes at the most.

    A model that cannot be asked to conclude has no budget.
    """
    if not card.thinking.closing:
        return use
    return replace(use, budget_tokens=budget_tokens + CLOSING_TOKENS)


def estimate(card: ModelCard, machine: Machine, use: Use) -> Estimate:
    """The memory of one run of `card` on `machine`. Pure; token counts are not negative."""
    read = use.prompt_tokens + use.image_tokens
    tokens = read + use.budget_tokens + use.answer_tokens
    weights = card.download_bytes or None
    if machine.sharing > 1:
        from qvq_mlx.memory.sharing import weights_bytes  # few split a model

        weights = weights_bytes(card, machine.sharing) or None
    kv = vision = workspace = per_token = prefix = None
    if card.shape is not None:
        per_token = kv_bytes_per_token(card.shape, use.kv_bits)
        kv = per_token * _in_steps(tokens)
        if card.shape.recurrent is not None:
            kv += card.shape.recurrent.state_bytes(card.shape.float_bytes)
        vision = _vision_bytes(card.shape, use.image_tokens, machine.fused_attention)
        workspace = _workspace_bytes(card.shape, read)
        if not machine.fused_attention:
            workspace = _unfused_workspace_bytes(card.shape, read, traced=use.traced)
        # the prompt is read at full precision
        whole = kv_bytes_per_token(card.shape) * _in_steps(read)
        workspace += max(0, whole - per_token * _in_steps(tokens))
        kv += _trace_bytes(card.shape, read) if use.traced else 0
        if card.shape.recurrent is not None:
            workspace = max(workspace, BLOCK_TOKENS * card.shape.recurrent.recurrent_bytes)
        prefix = _prefix_bytes(card.shape, use) // machine.sharing
        kv, per_token = kv // machine.sharing, per_token // machine.sharing
    found = Estimate(
        model=card.name,
        verdict=Verdict.UNKNOWN,
        weights_bytes=weights,
        kv_bytes=kv,
        vision_bytes=vision,
        workspace_bytes=workspace,
        kv_bytes_per_token=per_token,
        tokens=tokens,
        working_set_bytes=machine.working_set_bytes,
        working_set_source=machine.working_set_source,
        prefill_s=prefill_s(card, machine, use.image_tokens, use.prompt_tokens),
        tokens_per_s=tokens_per_s(card, machine),
        prefix_bytes=prefix,
        machines=machine.sharing,
    )
    needed = found.needed_bytes if weights else None
    return replace(found, verdict=_verdict(needed, machine.working_set_bytes))


def prefill_s(
    card: ModelCard, machine: Machine, image_tokens: int, prompt_tokens: int
) -> float | None:
    """Seconds until the prompt is read, pictures encoded; None where the chip or shape is unknown,
    and of machines that split the model.

    All pictures count as one, which is an upper bound.
    """
    shape = card.shape
    if shape is None or not machine.flops or machine.sharing > 1:
        return None
    tokens = prompt_tokens + image_tokens
    head_width = shape.heads * shape.head_dim
    a_layer = shape.hidden * (2 * head_width + 2 * shape.kv_heads * shape.head_dim)
    a_layer += round(3 * shape.hidden * shape.ffn_width)
    work = 2 * shape.layers * a_layer * tokens
    work += 2 * shape.attention_layers * head_width * tokens**2
    if shape.vision is not None:
        eyes = shape.vision
        patches = image_tokens * eyes.merge**2
        work += eyes.depth * (24 * eyes.hidden**2 * patches + 4 * eyes.hidden * patches**2)
    return work / (machine.flops * PREFILL_SHARE)


def kv_bytes_per_token(shape: Shape, bits: int | None = None) -> int:
    """Keys and values of all layers that keep any, quantised to so many bits; None: they are not.

    A group has a scale and a bias, each of the size of an activation.
    """
    numbers = 2 * shape.attention_layers * shape.kv_heads * shape.head_dim
    if bits is None or not shape.kv_group:
        return numbers * shape.float_bytes
    return numbers * bits // 8 + 2 * numbers // shape.kv_group * shape.float_bytes


def tokens_per_s(card: ModelCard, machine: Machine) -> float | None:
    """Expected decode speed: every token reads its active weights once, at a share of the limit.

    None where the chip or the size is unknown, and of machines that split the model.
    """
    if not machine.bandwidth_bytes_per_s or not card.download_bytes or machine.sharing > 1:
        return None
    return machine.bandwidth_bytes_per_s / read_bytes(card) * achieved_share(machine.chip)


def read_bytes(card: ModelCard) -> int:
    """The bytes of the weights that one token reads; 0 where the size is unknown."""
    return round(card.download_bytes * (card.shape.active_share if card.shape else 1.0))


def achieved_share(chip: str | None) -> float:
    """The share of the limit that is reached."""
    return ULTRA_SHARE if (chip or "").endswith("Ultra") else ACHIEVED_SHARE


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _in_steps(tokens: int) -> int:
    """The tokens that a KV cache has room for where it holds so many."""
    return -(-tokens // KV_STEP_TOKENS) * KV_STEP_TOKENS


def _prefix_bytes(shape: Shape, use: Use) -> int:
    """Count the bytes that stay of the prompt up to its last picture, for the next question."""
    if not use.image_tokens:
        return 0
    before = min(use.prompt_tokens, BEFORE_IMAGE_TOKENS)
    kept = kv_bytes_per_token(shape) * _in_steps(before + use.image_tokens)
    if shape.recurrent is not None:
        kept += use.images * shape.recurrent.state_bytes(shape.float_bytes)
    return kept


def _told(size_bytes: int | None) -> str:
    return "unknown" if size_bytes is None else size(size_bytes)


def _vision_bytes(shape: Shape, image_tokens: int, fused: bool) -> int:
    eyes = shape.vision
    if eyes is None or not image_tokens:
        return 0
    patches = image_tokens * eyes.merge**2
    pixels = 6 * eyes.patch**2  # of two frames, in three colours
    features = image_tokens * shape.hidden * shape.float_bytes
    if fused:
        return patches * (16 * eyes.hidden * shape.float_bytes + pixels * 4) + features
    copies = 3 if shape.float_bytes == 4 else 3.5  # the convolution unfolds them in 32 bit
    reading = copies * pixels * 4 + 8 * eyes.hidden * 4
    scores = 3 * eyes.heads * min(patches, VISION_QUERY_ROWS)
    attending = (16 * eyes.hidden + scores) * shape.float_bytes
    return round(patches * max(reading, attending)) + features


def _workspace_bytes(shape: Shape, prompt_tokens: int) -> int:
    width = 8 * shape.hidden + _mlp_width(shape) + 2 * _spread_width(shape)
    width += 4 * shape.recurrent.channels if shape.recurrent is not None else 0
    chunk = min(CHUNK_TOKENS, prompt_tokens)
    whole = shape.vocab * 4 + prompt_tokens * shape.hidden * shape.float_bytes
    return chunk * width * shape.float_bytes + whole


def _unfused_workspace_bytes(shape: Shape, prompt_tokens: int, *, traced: bool) -> int:
    """The same where attention keeps its scores: the larger of a layer of attention and a linear
    one, which has 6 matrices of 64 x 64 for each 64 tokens and head, and 8 besides.

    Of the last layer only keys and values are computed, if no hidden states are kept.
    """
    chunk = min(CHUNK_TOKENS, prompt_tokens)
    heads_width, linear = shape.heads * shape.head_dim, shape.recurrent
    whole = shape.vocab * 4 + prompt_tokens * shape.hidden * shape.float_bytes
    if shape.layers == 1 and not traced:
        return chunk * (3 * shape.hidden + 2 * heads_width) * shape.float_bytes + whole
    mlp, spread = _mlp_width(shape), _spread_width(shape)
    width, linear_block = 4 * shape.hidden + 5 * heads_width + mlp + spread, 0
    if linear is not None:
        width = 8 * shape.hidden + 7 * heads_width + 4 * linear.channels
        width += mlp if shape.experts is None else 0
        own = 8 * shape.hidden + mlp + 2 * spread + 4 * linear.channels
        padded = -(-chunk // DELTA_CHUNK_TOKENS) * DELTA_CHUNK_TOKENS
        matrices = (6 * padded + 8 * DELTA_CHUNK_TOKENS) * DELTA_CHUNK_TOKENS
        linear_block = chunk * own + matrices * linear.value_heads
    behind = linear is not None and linear.last
    block = linear_block * shape.float_bytes
    if traced or behind or shape.attention_layers > 1:
        scores = _largest_scores(prompt_tokens)
        attending = chunk * width * shape.float_bytes + scores * (4 * shape.heads + 1)
        # a copy of the layer's keys and values, when they grow
        grown = 2 * shape.kv_heads * shape.head_dim * prompt_tokens * shape.float_bytes
        block = max(block, attending + grown)
    return block + whole


def _mlp_width(shape: Shape) -> int:
    return round(3 * max(shape.ffn_width, shape.dense_width))


def _spread_width(shape: Shape) -> int:
    """Return the widths of what all experts of a token read, added up."""
    return shape.experts.active * shape.hidden if shape.experts is not None else 0


def _largest_scores(tokens: int) -> int:
    """Queries x keys of the chunk of a prompt that has the most, for one head."""
    full, rest = divmod(tokens, CHUNK_TOKENS)
    return max(CHUNK_TOKENS * full * CHUNK_TOKENS, rest * tokens)


def _trace_bytes(shape: Shape, prompt_tokens: int) -> int:
    """Hidden states, and the keys and values of a head of one layer."""
    width = shape.hidden + 2 * shape.kv_heads * shape.head_dim
    return min(TRACE_TOKENS, prompt_tokens) * width * shape.float_bytes


def _verdict(needed_bytes: int | None, working_set_bytes: int | None) -> Verdict:
    if needed_bytes is None or not working_set_bytes:
        return Verdict.UNKNOWN
    if needed_bytes > working_set_bytes:
        return Verdict.NO
    return Verdict.TIGHT if needed_bytes > TIGHT_SHARE * working_set_bytes else Verdict.YES
