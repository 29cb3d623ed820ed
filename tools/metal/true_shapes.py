"""Checks of a checkpoint of random weights at the shapes of a model of 2B: memory, speed, swap.

On Metal all layers are there; elsewhere one of each kind, in 32 bit, which a CPU computes faster.
Texts run in cycles, so that none ends before its bound.
"""

from __future__ import annotations

import atexit
import functools
import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.clip import Visual
from qvq_mlx.core.env import Engine
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Drafting, Setup
from qvq_mlx.core.tokens import Control, Finished, Generation, Token
from tools.make_checkpoint import Options, make_checkpoint
from tools.metal.needs import has_metal

PATCHES = (256, 1024, 4096)
PROMPTS = (512, 2048)
_MOST_PIXELS = 1_003_520
_CYCLE = 16
_MOST_OF_FIT = 1.1
"""The share of what `fit` says that a peak may reach."""


@dataclass(frozen=True, slots=True)
class _Ran:
    """A run: its peak, the seconds to its first token and from there to its last, and how many."""

    peak_bytes: int
    first_s: float
    decode_s: float
    tokens: int


def encode() -> str:
    """Encode pictures of three sizes, and compare each peak with what `fit` says."""
    card, said = _made("2b").card, []
    for patches in PATCHES:
        picture = _picture(card, patches)
        ran = _run("?", [picture], 1)
        share = _share_of_fit(ran, picture.tokens, 64, 1)
        size = f"{ran.peak_bytes / 2**20:,.0f} MiB, {share:.0%} of fit"
        assert share <= _MOST_OF_FIT, f"{patches} patches: {size}"
        said.append(f"{patches:,} patches {ran.first_s:.1f} s, {size}")
    return "; ".join(said)


def prefill() -> str:
    """Read prompts of two lengths, and compare each peak with what `fit` says."""
    said = []
    for tokens in PROMPTS:
        ran = _run("1" * tokens, [], 1)
        share = _share_of_fit(ran, 0, tokens, 1)
        size = f"{ran.peak_bytes / 2**20:,.0f} MiB, {share:.0%} of fit"
        assert share <= _MOST_OF_FIT, f"{tokens} tokens: {size}"
        said.append(f"{tokens:,} tokens {tokens / ran.first_s:,.0f} a second, {size}")
    return "; ".join(said)


def decode() -> str:
    """Write 128 tokens, and compare the bytes that are read with the table's bandwidth."""
    from qvq_mlx.memory.machine import read_machine

    ran = _run("Count.", [], 128)
    assert ran.tokens == 128, f"it ended after {ran.tokens} tokens"
    rate = (ran.tokens - 1) / ran.decode_s
    read_bytes = rate * _bytes_of_a_token()
    table = read_machine(Path.home()).bandwidth_bytes_per_s
    share = f"{read_bytes / table:.0%} of the table" if table else "no bandwidth in the table"
    return f"{rate:,.1f} tokens a second, {read_bytes / 1e9:,.1f} GB/s, {share}"


def long_text() -> str:
    """Write 4,096 tokens, and compare the swap before and after."""
    before = _swap_bytes()
    preset = "2b" if has_metal() else "tiny"  # at true shapes a CPU needs a quarter of an hour
    ran = _ran(preset, "Count.", [], 4096)
    after = _swap_bytes()
    assert ran.tokens == 4096, f"it ended after {ran.tokens} tokens"
    assert after - before < 2**30, f"swap grew by {(after - before) / 2**20:,.0f} MiB"
    rate = (ran.tokens - 1) / ran.decode_s
    swap = f"swap {before / 2**20:,.0f} MiB before, {after / 2**20:,.0f} after"
    return f"{rate:,.0f} tokens a second, {swap}"


@dataclass(frozen=True, slots=True)
class _Made:
    card: ModelCard
    engine: Engine
    folder: Path


@functools.cache
def _made(preset: str) -> _Made:
    """Build and load a checkpoint; it is removed when the process ends."""
    from qvq_mlx.engine import loaded
    from qvq_mlx.store import registry

    home = Path(tempfile.mkdtemp(prefix="qvq-metal-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    few = None if has_metal() else 1
    options = Options(cycle=_CYCLE, layers=few, vision_layers=few)
    if not has_metal():
        options = replace(options, dtype="float32")
    folder = make_checkpoint(preset, home / preset, options)
    card, folder = registry.resolve(str(folder), home, home)
    limits = replace(card.vision, max_pixels=_MOST_PIXELS, own_max_pixels=_MOST_PIXELS)
    card = replace(card, vision=limits)
    return _Made(card, loaded(card, folder, Setup(drafting=Drafting.NONE)), folder)


def _picture(card: ModelCard, patches: int) -> Visual:
    from PIL import Image

    from qvq_mlx import images

    side = round(patches**0.5) * card.vision.factor_px // 2
    data = io.BytesIO()
    Image.effect_noise((side, side), 80).convert("RGB").save(data, "png")
    data.seek(0)
    (found,) = images.read("-", card.vision, images.ImageSources(data))
    assert found.tokens == patches // 4, f"{found.tokens} tokens"
    return found


def _run(question: str, pictures: Sequence[Visual], tokens: int) -> _Ran:
    return _ran("2b", question, pictures, tokens)


def _ran(preset: str, question: str, pictures: Sequence[Visual], tokens: int) -> _Ran:
    import mlx.core as mx

    engine = _made(preset).engine
    mx.clear_cache()
    prompt = engine.prompt(question, pictures, None)
    began = time.monotonic()
    times = []
    peak_bytes = 0
    for step in engine.generate(prompt, Generation(Sampling(), tokens, ""), Control()):
        if isinstance(step, Token):
            times.append(time.monotonic())
        elif isinstance(step, Finished):
            peak_bytes = step.peak_memory_bytes
    return _Ran(peak_bytes, times[0] - began, times[-1] - times[0], len(times))


def _share_of_fit(ran: _Ran, image_tokens: int, prompt_tokens: int, written: int) -> float:
    from qvq_mlx.core.machine import Machine
    from qvq_mlx.memory.estimate import Use, estimate

    card = _made("2b").card
    machine = Machine(fused_attention=has_metal())
    use = Use(image_tokens, prompt_tokens, written, 0)
    said = estimate(card, machine, use).needed_bytes
    assert said, "fit knows no size"
    return ran.peak_bytes / said


def _bytes_of_a_token() -> int:
    """The weights that a token reads: all but the encoder's and the rows of the embedding."""
    import mlx.core as mx

    stored: dict[str, mx.array] = {}
    for shard in _made("2b").folder.glob("*.safetensors"):
        found = mx.load(str(shard))
        assert isinstance(found, dict)
        stored |= found
    return sum(
        array.nbytes
        for name, array in stored.items()
        if name.startswith("language_model.") and ".embed_tokens." not in name
    )


def _swap_bytes() -> int:
    """The swap in use; 0 where the system does not say."""
    if sys.platform == "darwin":
        # total = 4096.00M  used = 2743.50M  free = 1352.50M  (encrypted)
        said = subprocess.run(
            ("/usr/sbin/sysctl", "-n", "vm.swapusage"), capture_output=True, text=True, check=True
        ).stdout
        found = re.search(r"used = ([\d.]+)M", said)
        assert found, said
        return round(float(found[1]) * 2**20)
    facts = Path("/proc/meminfo")
    if not facts.is_file():
        return 0
    kib = dict(re.findall(r"^(Swap\w+): +(\d+) kB$", facts.read_text(), re.MULTILINE))
    return (int(kib.get("SwapTotal", 0)) - int(kib.get("SwapFree", 0))) * 2**10
