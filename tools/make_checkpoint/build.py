"""A whole checkpoint folder: config, tokenizer, processor and weights in shards.

Law: the names and shapes are those of mlx-vlm's own model class, which is built but never
evaluated; a linear layer is quantized where the published conversions quantize it. Deterministic
by seed. Memory: one shard plus one tensor in flight.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import mlx.core as mx
from mlx.utils import tree_flatten

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.engine.adapter import bare_model
from qvq_mlx.engine.architecture import read_architecture
from qvq_mlx.families import family_of
from tools.make_checkpoint import tokenizer
from tools.make_checkpoint.presets import PRESETS, Preset, model_config, resized
from tools.make_checkpoint.weights import Recipe, row_blocks
from tools.tiny import hub

GROUP_SIZE = 64
SHARD_BYTES = 2**29
TINY = Path(__file__).parents[2] / "models" / "qvq-tiny"


@dataclass(frozen=True, slots=True)
class Options:
    """What may differ from the preset. None keeps the preset's own."""

    seed: int = 7
    dtype: str | None = None
    bits: int | None = None
    """0 means not quantized."""
    vision_bits: int = 0
    """Bits of the vision tower. Equal to `bits` is the layout of December 2024: no mode key, and
    `vision_config.skip_vision` false. 0 is today's: the tower stays in `dtype`."""
    cycle: int = 0
    """Greedy text runs in cycles of this many tokens, for prompt lookup and drafts. Needs a head
    of its own, so that a tied preset is built untied."""
    layers: int | None = None
    vision_layers: int | None = None
    rows: int | None = None
    """Rows of the embedding, where the preset's are more than is needed."""
    shard_bytes: int = SHARD_BYTES
    ranks: Path | None = None
    """`qwen.tiktoken`; None looks where `tools.make_checkpoint.tokenizer` says."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One parameter of the model class, and how it is stored. `bits` 0: not quantized."""

    name: str
    shape: tuple[int, ...]
    bits: int

    @property
    def module(self) -> str:
        return self.name.rpartition(".")[0]


def make_checkpoint(name: str, folder: Path, options: Options | None = None) -> Path:
    """Build the preset `name` in `folder`, which must not exist; returns it."""
    options = options or Options()
    preset = _changed(PRESETS[name], options)
    folder.mkdir(parents=True)
    _write_sidecars(folder, preset, options.ranks)
    config = model_config(preset)
    hub.write_json(folder / "config.json", config)
    tensors = _tensors(folder, preset.bits or 0, options.vision_bits)
    width, layers = preset.text["hidden_size"], preset.text["num_hidden_layers"]
    recipe = Recipe(options.seed, width, layers, preset.tied, options.cycle)
    dtype = cast("mx.Dtype", getattr(mx, preset.dtype))
    stored = (pair for tensor in tensors for pair in _stored(tensor, recipe, dtype))
    _write_shards(folder, stored, options.shard_bytes)
    if preset.bits:
        config = _with_quantization(config, preset.bits, options.vision_bits, tensors)
    hub.write_json(folder / "config.json", config)
    return folder


def _changed(preset: Preset, options: Options) -> Preset:
    return replace(
        preset,
        config=resized(preset.config, options.layers, options.vision_layers),
        rows=options.rows or preset.rows,
        dtype=options.dtype or preset.dtype,
        bits=preset.bits if options.bits is None else options.bits,
        tied=preset.tied and not options.cycle,
    )


def _tensors(folder: Path, bits: int, vision_bits: int) -> list[_Tensor]:
    """Every parameter that mlx-vlm's model class has for this config; nothing is evaluated."""
    architecture = read_architecture(folder)
    tied = bool(architecture.tied)
    model = bare_model(architecture, {**architecture.text, "tie_word_embeddings": tied})
    can = {path for path, module in model.named_modules() if hasattr(module, "to_quantized")}
    tensors = []
    for name, array in cast("list[tuple[str, mx.array]]", tree_flatten(model.parameters())):
        path, _, leaf = name.rpartition(".")
        wanted = max(bits, architecture.family.least_bits(path)) if bits else 0
        if name.startswith("vision_tower"):
            wanted = vision_bits
        fits = path in can and leaf == "weight" and array.shape[-1] % GROUP_SIZE == 0
        tensors.append(_Tensor(name, tuple(array.shape), wanted if fits else 0))
    return tensors


def _stored(tensor: _Tensor, recipe: Recipe, dtype: mx.Dtype) -> Iterator[tuple[str, mx.array]]:
    """The tensor as it lies in the file: itself, or packed weight, scales and biases."""
    blocks = row_blocks(recipe, tensor.name, tensor.shape, dtype)
    if not tensor.bits:
        yield tensor.name, _joined(list(blocks))
        return
    parts: list[list[mx.array]] = [[], [], []]
    for block in blocks:
        packed = mx.quantize(block, group_size=GROUP_SIZE, bits=tensor.bits)
        mx.eval(packed)
        for part, array in zip(parts, packed, strict=True):
            part.append(array)
    for leaf, part in zip(("weight", "scales", "biases"), parts, strict=True):
        yield f"{tensor.module}.{leaf}", _joined(part)
        part.clear()


def _joined(blocks: list[mx.array]) -> mx.array:
    whole = blocks[0] if len(blocks) == 1 else mx.concatenate(blocks)
    mx.eval(whole)
    return whole


def _write_shards(folder: Path, tensors: Iterator[tuple[str, mx.array]], shard_bytes: int) -> None:
    """model.safetensors, or numbered shards of about `shard_bytes` and their index."""
    shards: list[tuple[Path, list[str]]] = []
    pending: dict[str, mx.array] = {}
    total = 0

    def flush() -> None:
        path = folder / f"part-{len(shards)}.safetensors"
        mx.save_safetensors(str(path), pending, {"format": "mlx"})
        shards.append((path, list(pending)))
        pending.clear()
        mx.clear_cache()  # the CPU backend would keep every freed buffer

    for name, array in tensors:
        pending[name] = array
        total += array.nbytes
        if sum(each.nbytes for each in pending.values()) >= shard_bytes:
            flush()
    if pending:
        flush()
    if len(shards) == 1:
        shards[0][0].rename(folder / "model.safetensors")
        return
    index: dict[str, str] = {}
    for number, (path, names) in enumerate(shards, start=1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        path.rename(folder / file)
        index |= dict.fromkeys(names, file)
    hub.write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": dict(sorted(index.items()))},
    )


def _with_quantization(
    config: dict[str, object], bits: int, vision_bits: int, tensors: list[_Tensor]
) -> dict[str, object]:
    """The config as the conversions of December 2024 state it, or as today's do."""
    quantization: dict[str, object] = {"group_size": GROUP_SIZE, "bits": bits}
    if vision_bits == bits:
        vision = cast("dict[str, object]", config["vision_config"])
        return config | {
            "quantization": quantization,
            "vision_config": vision | {"skip_vision": False},
        }
    quantization["mode"] = "affine"
    for tensor in tensors:
        if tensor.bits and tensor.bits != bits:
            quantization[tensor.module] = {"group_size": GROUP_SIZE, "bits": tensor.bits}
    return config | {"quantization": quantization, "quantization_config": quantization}


def _write_sidecars(folder: Path, preset: Preset, ranks: Path | None) -> None:
    """Tokenizer, processor and generation config."""
    hub.write_processor_files(folder)
    if preset.limits is not None:
        _write_processor(folder, preset, preset.limits)
    if not preset.real_tokenizer:
        for name in hub.TOKENIZER_FILES:
            shutil.copy(TINY / name, folder)
        return
    tokenizer.write(folder, "qwen2_vl", ranks)
    ids = preset.ids
    ends = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    hub.write_json(
        folder / "generation_config.json",
        {
            "bos_token_id": ends[1],
            "pad_token_id": ends[1],
            "do_sample": True,
            "eos_token_id": ends,
            "repetition_penalty": 1.0,
            "temperature": 0.01,
            "top_p": 0.001,
            "top_k": 1,
        },
    )
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        path = folder / name
        limits = {"min_pixels": 3136, "max_pixels": 12_845_056}  # 4 to 16,384 image tokens
        size = {"shortest_edge": 3136, "longest_edge": 12_845_056}
        hub.write_json(path, hub.read_json(path) | limits | {"size": size})


def _write_processor(folder: Path, preset: Preset, limits: VisionLimits) -> None:
    """The patches of the preset's family; no file where it reads text only."""
    vision = family_of(preset.config, folder).vision
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        path = folder / name
        if vision is None:
            path.unlink()
            continue
        layout = vision.layout
        least, most = limits.min_pixels, limits.max_pixels
        own: dict[str, object] = {
            "patch_size": layout.patch_px,
            "image_mean": list(layout.mean),
            "image_std": list(layout.std),
            "min_pixels": least,
            "max_pixels": most,
            "size": {"shortest_edge": least, "longest_edge": most},
        }
        hub.write_json(path, hub.read_json(path) | own)
