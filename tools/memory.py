"""Writes docs/memory.md and two tables of models: every number comes out of `memory.estimate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qvq_mlx.core.card import ModelCard, ThinkingStyle
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.sizes import size
from qvq_mlx.images.resize import smart_resize
from qvq_mlx.memory.chips import USUAL_CHIPS, bandwidth_of
from qvq_mlx.memory.choice import best
from qvq_mlx.memory.estimate import (
    ACHIEVED_SHARE,
    BEFORE_IMAGE_TOKENS,
    BLOCK_TOKENS,
    TIGHT_SHARE,
    TRACE_TOKENS,
    ULTRA_SHARE,
    Use,
    Verdict,
    estimate,
    kv_bytes_per_token,
    tokens_per_s,
    typical,
)
from qvq_mlx.memory.machine import hypothetical
from qvq_mlx.memory.working_set import SOURCES, highest_wired_limit_bytes
from qvq_mlx.store import registry

MEMORIES_GIB = (16, 24, 32, 36, 48, 64, 96, 128)
SOLD_GIB = (8, 16, 18, 24, 32, 36, 48, 64, 96, 128, 192, 256, 512)
"""The memories that Macs with Apple silicon are sold with."""
PHOTO_PX = (4032, 3024)
"""A picture of 12 megapixels, width and height."""
MACS = tuple((memory, *USUAL_CHIPS[memory]) for memory in (16, 24, 36, 48, 64, 128))
"""Memory, chip and GPU cores of Macs as they are sold."""
BUDGETS = (4096, 32768)
CHIPS = (
    ("M1", 8),
    ("M2", 10),
    ("M3", 10),
    ("M4", 10),
    ("M5", 10),
    ("M1 Pro", 16),
    ("M2 Pro", 19),
    ("M3 Pro", 18),
    ("M4 Pro", 20),
    ("M5 Pro", 20),
    ("M1 Max", 32),
    ("M2 Max", 38),
    ("M3 Max", 30),
    ("M3 Max", 40),
    ("M4 Max", 32),
    ("M4 Max", 40),
    ("M5 Max", 32),
    ("M5 Max", 40),
    ("M1 Ultra", 64),
    ("M2 Ultra", 76),
    ("M3 Ultra", 80),
)


def photo_tokens(card: ModelCard) -> int:
    """The image tokens of the photo."""
    height, width = smart_resize(PHOTO_PX[1], PHOTO_PX[0], card.vision)
    return (height // card.vision.factor_px) * (width // card.vision.factor_px)


def photo_use(card: ModelCard, budget_tokens: int) -> Use:
    """What `qvq fit MODEL --image PHOTO --budget N` counts."""
    use = typical(card)
    return Use(photo_tokens(card), use.prompt_tokens, budget_tokens, use.answer_tokens)


def by_mac_table() -> str:
    """README: the model that is taken on each Mac, its download, and the minutes that the default
    budget of thinking takes at the speed that is forecast.
    """
    rows = []
    for memory_gb, chip, cores in MACS:
        machine = hypothetical(memory_gb * 2**30, chip=chip, gpu_cores=cores)
        card = best(registry.cards(), machine)
        assert card is not None
        speed = tokens_per_s(card, machine)
        assert speed is not None
        thinks = card.thinking.style is not ThinkingStyle.NONE
        minutes = card.thinking.budget_tokens / speed / 60
        rows.append(
            (
                f"{memory_gb} GB, {chip}",
                f"`{card.name}`",
                f"{card.download_bytes / 1e9:.1f} GB",
                "yes" if thinks else "no: answers at once",
                f"{minutes:.1f} min" if thinks else "",
            )
        )
    head = ("Mac", "model", "download", "thinks", "default budget is spent after about")
    return _table(head, rows)


def models_table() -> str:
    """docs/models.md: one row per model in its first quantization."""
    rows = []
    for card in registry.cards():
        if (card.base and card.name != card.base) or not card.repo:
            continue
        least = next((m for m in MEMORIES_GIB if _verdict(card, m) is not Verdict.NO), None)
        mark = "~" if "download_bytes" in card.unconfirmed else ""
        rows.append(
            (
                f"`{card.name}`" + (" (?)" if "repo" in card.unconfirmed else ""),
                card.summary,
                f"{card.bits:g}",
                mark + size(card.download_bytes),
                f"{least} GiB" if least else "over 128 GiB",
                f"{card.mmmu:.1f}" if card.mmmu else "",
                card.licence,
            )
        )
    head = ("model", "what it does", "bits", "size", "smallest Mac", "MMMU", "licence")
    return _table(head, rows)


def memory_page() -> str:
    """docs/memory.md."""
    card = registry.find("qvq")
    shape = card.shape
    assert shape is not None
    assert shape.vision is not None
    machine = hypothetical(64 * 2**30)
    use = photo_use(card, BUDGETS[0])
    found = estimate(card, machine, use)
    kv = kv_bytes_per_token(shape)
    eyes = shape.vision
    patches = use.image_tokens * eyes.merge**2
    width, height = PHOTO_PX
    return f"""# Memory

Generated from `qvq_mlx/memory/estimate.py` by `make fix`; the numbers are computed, and none of them was
measured on a Mac. `qvq fit MODEL` prints the same for one model and one machine, and `qvq ask` uses
it before it loads anything.

## The formula

    needed     = weights + the larger of (vision encoder)                               [bytes]
                                     and (KV cache + image prefix + workspace)

    weights    = size of the weight files; parameters x (bits + 0.5) / 8 where they are not here
    KV cache   = 2 x layers x kv_heads x head_dim x 2 B x tokens, tokens rounded up to 256
                 + the states of linear layers: heads x width x width x 4 B, whatever the tokens
    tokens     = prompt + image + thinking budget + answer
    prefix     = the KV cache at the end of the last picture: {BEFORE_IMAGE_TOKENS} + image tokens, rounded up to 256
                 + the states of linear layers, once for each picture
    vision     = patches x (16 x width x 2 B + 6 x patch_px^2 x 4 B) + image tokens x hidden x 2 B
    patches    = image tokens x merge^2
    workspace  = 512 x (8 x hidden + 3 x intermediate) x 2 B + vocabulary x 4 B
                 + (prompt + image) x hidden x 2 B
                 + 512 x 2 x experts of a token x hidden x 2 B
                 + 512 x 4 x channels of a linear layer x 2 B;
                 or {BLOCK_TOKENS} states of each linear layer, where they are more

- (bits + 0.5): MLX stores a 16-bit scale and bias for every group of 64 weights.
- The KV cache holds keys (K) and values (V) in 16 bit and grows by 256 tokens at a time.
- `--kv-bits 8` or `4` quantises keys and values when the prompt is read, and every one that comes after: so
  many bits, and a 16-bit scale and bias for each 64 of them; see "A smaller cache" below.
- The vision encoder's attention is fused on Metal, so its memory grows with the patches, not with
  their square: 8 arrays of its width and two of four times that, in 16 bit, and the pixels of two
  frames in 32 bit. Several pictures count as one of their size together, an upper bound.
- 512 tokens are prefilled at a time; one layer's arrays are live.
- Pictures are encoded before the prompt is read: the two stages never need their memory together, so the
  larger one counts.
- Hybrid models (Qwen3.5 and later) keep keys and values in every fourth layer only; `layers` above are those.
  The others keep a state of fixed size, 2 MiB for 32 heads of 128: a long context costs a quarter.
- The image prefix is what the next question about the same pictures begins with. It shares the KV cache's memory until
  that grows. States cannot be cut like keys and values, so there is a set of them for each picture, in memory and on disk.
- Of linear layers the state after each token that one pass verifies is kept, {BLOCK_TOKENS} at the most, so that a draft that is
  not taken can be taken back.
- Where the weights hold an MTP head, which drafts by itself (`--draft auto`), the hidden states of up to {TRACE_TOKENS:,} tokens of
  the prompt count, and the head's keys and values; its weights are in the files. `qvq fit` looks into the files for it.
- A backend without fused attention (Linux, CPU) keeps scores. What it needs was measured
  with tiny checkpoints of every family, and the formula is held to within 10 % of that by
  `tests/memory/test_measured.py`; its terms stand in `qvq_mlx/memory/estimate.py`.
- Sparse experts are all in memory, whichever a token is sent to; `intermediate` is then the width of those
  that one token goes through.
- A vision encoder that a conversion leaves in 16 bit counts 2 B for each of its parameters.

Not in it: Python itself, the allocator's cache of freed buffers, a drafting model, other programs.

## The working set

macOS wires only a part of the memory for the GPU. On a Mac, Metal is asked through MLX
(`max_recommended_working_set_size`, which follows `iogpu.wired_limit_mb`); `doctor` shows it. For
a Mac that is not this one (`--memory 36GB`, `36` and `36GiB` mean the same, the Mac that is sold
as 36 GB) it is what owners report, and between two reports the share of the smaller Mac. Older systems had two thirds below 36 GiB and 75 % above.

{_working_sets()}

Reported in: {_sources()}. Older shares: https://github.com/exo-explore/exo/pull/1672. Wired limits that owners run with:
59 of 64 GiB (https://github.com/ddalcu/mlx-serve/issues/440), 112 of 128 (https://github.com/antirez/ds4/issues/890).

*With a wired limit*: the highest that qvq proposes, which leaves macOS 5 GiB, or a 16th where that is more.
An owner sets it with

    sudo sysctl iogpu.wired_limit_mb=44032      # 43 GiB, on a Mac of 48 GB

until the next restart; `sudo sysctl iogpu.wired_limit_mb=0` is macOS's own again. Its risk: what is
wired cannot be swapped, so where other programs need more than is left, the Mac swaps, freezes, or panics.
`qvq fit` names the limit with which a model would fit; qvq itself never sets it.

The verdict is **no** above the working set, **tight** above {TIGHT_SHARE * 100:.0f} % of it, else **yes**. A fifth is
left to the allocator's cache, the display and other programs. Before a run, `no` is refused with
exit code 5 (`--force` overrides it), and `tight` is said in one line where a person watches.

## Worked example

`{card.name}` on a Mac with 64 GiB, a photo of {width} x {height} pixels ({use.image_tokens:,} image tokens, after
the reduction to {card.vision.max_pixels:,} pixels), {use.prompt_tokens} tokens of prompt, {use.budget_tokens:,} of thinking, {use.answer_tokens:,} of answer:

    KV cache   2 x {shape.layers} x {shape.kv_heads} x {shape.head_dim} x 2 B = {kv:,} B = {kv / 1024:g} KiB per token
               {found.tokens:,} tokens, rounded up to {-(-found.tokens // 256) * 256:,}: {found.kv_bytes:,} B
    prefix     {BEFORE_IMAGE_TOKENS} + {use.image_tokens:,} tokens, rounded up to {(found.prefix_bytes or 0) // kv:,}: {found.prefix_bytes:,} B
    vision     {patches:,} patches x (16 x {eyes.hidden} x 2 + 6 x {eyes.patch}^2 x 4) B
               + {use.image_tokens:,} x {shape.hidden} x 2 B = {found.vision_bytes:,} B
    workspace  512 x (8 x {shape.hidden} + 3 x {shape.intermediate}) x 2 B + {shape.vocab} x 4 B
               + {use.prompt_tokens + use.image_tokens:,} x {shape.hidden} x 2 B = {found.workspace_bytes:,} B
    weights    {found.weights_bytes:,} B
    needed     {found.needed_bytes:,} B = {size(found.needed_bytes)}
    working set {found.working_set_bytes:,} B = {size(found.working_set_bytes or 0)}: {found.verdict}

## The same photo on other machines

{_photo_table(card)}

## A smaller cache

    qvq ask --kv-bits 8 --budget 16384 photo.jpg "What is this?"

Long thinking fills the KV cache. `--kv-bits 8` holds each key and value of `{card.name}` in 8.5 bits instead of 16, and
`--kv-bits 4` in 4.5. The prompt is still read, and kept for the next question, at full precision, so a long prompt
needs as much as before; what is saved is saved of the thinking. `qvq ask`, `chat`, `batch`, `eval` and `serve` take it, and
`qvq fit --kv-bits 8` computes it, and offers it where that is enough. The same photo on a Mac
with 64 GiB:

{_bits_table(card)}

The text is another one, since every number that is attended to is rounded: `--draft`, caches and votes change
nothing of it, and the same command writes the same again. What it costs in accuracy, of the embedded model:
[the log](log.md). On a Mac attention over a quantised cache is not fused; its speed there was not measured.

## Which quantization on which Mac

A typical run: the largest picture, a short question, all the tokens that the card allows.

{_grid()}

## Speed

Every token reads its weights once: tokens/s = bandwidth / size x {ACHIEVED_SHARE:g}, or
x {ULTRA_SHARE:g} on an Ultra. Of a sparse model that is the active share of the size, which
`qvq show MODEL` prints. The share is what others measured with 70B models: 79 to 86 % on Max chips,
63 to 64 % on Ultra chips. A chip that is not in the table gets no figure. `qvq models --memory 36GB --chip "M3 Max"`
computes it for any of them; without a chip, of one that is sold with so much memory. Bandwidths are the maker's; `qvq_mlx/memory/chips.py` names the sources.

{_speeds(card)}
"""


def _working_sets() -> str:
    qvq = registry.find("qvq")
    rows = []
    for gib in SOLD_GIB:
        memory = gib * 2**30
        own = hypothetical(memory)
        raised = hypothetical(memory, highest_wired_limit_bytes(memory))
        cells = [f"{gib} GB", own.working_set_source.partition(":")[0]]
        for machine in (own, raised):
            chosen = best(registry.cards(), machine)
            verdict = estimate(qvq, machine, typical(qvq)).verdict
            limit = (machine.working_set_bytes or 0) / 2**30
            cells += [f"{limit:.2f}", f"`{chosen.name}`" if chosen else "none", verdict]
        rows.append(tuple(cells))
    head = ("Mac", "known", "GiB", "model", "QVQ, 4 bit")
    raised_head = ("GiB, wired limit", "model", "QVQ, 4 bit")
    return _table((*head, *raised_head), rows)


def _sources() -> str:
    return "; ".join(f"{macs} GB: {where}" for macs, where in SOURCES)


def _photo_table(card: ModelCard) -> str:
    rows = []
    for memory in (48, 64, 128):
        for budget in BUDGETS:
            found = estimate(card, hypothetical(memory * 2**30), photo_use(card, budget))
            limit = size(found.working_set_bytes or 0)
            rows.append(
                (f"{memory} GiB", f"{budget:,}", size(found.needed_bytes), limit, found.verdict)
            )
    return _table(("memory", "budget", "needed", "working set", "verdict"), rows)


def _bits_table(card: ModelCard) -> str:
    rows = []
    for bits in (None, 8, 4):
        for budget in BUDGETS:
            use = replace(photo_use(card, budget), kv_bits=bits)
            found = estimate(card, hypothetical(64 * 2**30), use)
            cells = (size(found.kv_bytes or 0), size(found.needed_bytes), found.verdict)
            rows.append((f"{bits or 16}", f"{budget:,}", *cells))
    return _table(("bits", "budget", "KV cache", "needed", "verdict"), rows)


def _grid() -> str:
    rows = []
    for card in registry.cards():
        if card.repo:
            verdicts = tuple(str(_verdict(card, memory)) for memory in MEMORIES_GIB)
            rows.append((f"`{card.name}`", size(card.download_bytes), *verdicts))
    return _table(("model", "size", *(f"{m} GiB" for m in MEMORIES_GIB)), rows)


def _speeds(card: ModelCard) -> str:
    others = [registry.find(name) for name in ("qwen2.5-vl-32b", "qwen2.5-vl-7b")]
    rows = []
    for chip, cores in CHIPS:
        rate = bandwidth_of(f"Apple {chip}", cores)
        assert rate is not None
        machine = Machine(chip=chip, bandwidth_bytes_per_s=rate)
        speeds = [f"{tokens_per_s(model, machine) or 0:.1f}" for model in (card, *others)]
        rows.append((f"{chip}, {cores} GPU cores", f"{rate / 1e9:g} GB/s", *speeds))
    names = (f"`{model.name}`, tokens/s" for model in (card, *others))
    return _table(("chip", "bandwidth", *names), rows)


def _verdict(card: ModelCard, memory_gib: int) -> Verdict:
    return estimate(card, hypothetical(memory_gib * 2**30), typical(card)).verdict


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
