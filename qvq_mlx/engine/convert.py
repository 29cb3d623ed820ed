"""A checkpoint as transformers saves it, made into one that MLX runs.

Law: names and layouts are those of mlx-vlm's modules (engine/weights.py). Every matrix of the
language model is quantized, embedding, head and experts too, where the group size divides its
width; the vision encoder and all vectors are not. Routers of experts keep the bits that their
family asks for. Without quantization, values change only by the cast to
`dtype`; what the decay of a recurrent state is computed from stays as it is stored, since a state
adds up its rounding token by token. Config and vision are checked by loading the source before
anything is written. Only safetensors are read; nothing in the folder is run.

Memory: one tensor and what it becomes (shards.py); nothing grows with the number of layers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx

from qvq_mlx.core.errors import BrokenModelError, UnsupportedModelError, UsageError
from qvq_mlx.core.remedies import Ask, Field, RunProgram
from qvq_mlx.core.tokens import Control
from qvq_mlx.engine.adapter import load_model
from qvq_mlx.engine.architecture import read_architecture
from qvq_mlx.engine.flat import flat
from qvq_mlx.engine.recipe import Dtype, Recipe
from qvq_mlx.engine.shards import Group, write
from qvq_mlx.engine.weights import HEAD, read_weights
from qvq_mlx.families import Family
from qvq_mlx.store.checkpoint import read_json

SHARD_BYTES = 4 * 2**30
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
_SIDECARS = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.*",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
    "generation_config.json",
    "LICENSE*",
    "NOTICE*",
)
_AS_STORED = (".linear_attn.A_log", ".linear_attn.dt_bias")
_KINDS = {
    Dtype.BFLOAT16: mx.bfloat16,
    Dtype.FLOAT16: mx.float16,
    Dtype.FLOAT32: mx.float32,
}


class Conversion:
    """One conversion, its sizes known and nothing of it computed. `write` works once."""

    def __init__(self, source: Path, recipe: Recipe) -> None:
        """Check `source`. Raises a ModelError or UsageError."""
        _refuse_pickled(source)
        architecture = read_architecture(source)
        if architecture.quantization:
            bits = architecture.quantization["bits"]
            raise UsageError(
                f"{source} is quantized already, to {bits} bits; convert reads plain weights",
                Ask(settings=((Field.MODEL, str(source)),)),
            )
        _check_that_it_loads(source)
        self._source = source
        self._recipe = recipe
        self._config = read_json(source / "config.json")
        self._family = architecture.family
        weights = read_weights(source, architecture.family)
        has_head = any(name.startswith(HEAD) for name in weights)
        self._tied = not has_head if architecture.tied is None else architecture.tied
        self._bits = {name: _bits(name, architecture.family, recipe) for name in weights}
        self._groups = [
            Group(_converted(name, array, recipe, self._bits[name]), array.nbytes)
            for name, array in weights.items()
            if not (self._tied and name.startswith(HEAD))
        ]
        self.read_bytes = sum(group.read_bytes for group in self._groups)
        self.write_bytes = sum(group.nbytes for group in self._groups)

    def write(self, folder: Path, shard_bytes: int = SHARD_BYTES) -> Iterator[int]:
        """Write the whole checkpoint into the empty `folder`; yields source bytes done so far."""
        for pattern in _SIDECARS:
            for path in self._source.glob(pattern):
                if path.is_file() and not path.name.startswith("."):
                    shutil.copyfile(path, folder / path.name)
        config = flat(self._config, self._family, tied=self._tied) | {
            "torch_dtype": str(self._recipe.dtype)
        }
        if self._recipe.bits:
            settings = {"group_size": self._recipe.group_size, "mode": "affine"}
            own = {
                name.removesuffix(".weight"): {**settings, "bits": bits}
                for name, bits in self._bits.items()
                if bits != self._recipe.bits
            }
            quantization = {**settings, "bits": self._recipe.bits, **own}
            config |= {"quantization": quantization, "quantization_config": quantization}
        text = json.dumps(config, indent=2) + "\n"  # ASCII: a lone surrogate has no UTF-8
        (folder / "config.json").write_text(text, encoding="utf-8")
        groups, self._groups = self._groups, []
        done = 0
        for read_bytes in write(folder, _released(groups), shard_bytes):
            done += read_bytes
            yield done


def _released(groups: list[Group]) -> Iterator[Group]:
    """The groups, with no reference kept here."""
    groups.reverse()
    while groups:
        yield groups.pop()


def _refuse_pickled(source: Path) -> None:
    """Only safetensors are read: loading a pickle runs whatever it holds."""
    if any(source.glob("[!.]*.safetensors")):
        return
    for path in sorted(source.iterdir()):
        if path.suffix in _PICKLED:
            raise UnsupportedModelError(
                f"{path} is a pickle, which can run code when it is read; only safetensors are",
                RunProgram(("ls", "-l", str(source))),
            )
    raise BrokenModelError(
        f"no *.safetensors file lies in {source}", RunProgram(("ls", "-l", str(source)))
    )


def _check_that_it_loads(source: Path) -> None:
    """Names, shapes and config, as the loader sees them; the data are mapped, not read."""
    if not (source / "tokenizer.json").is_file():
        raise BrokenModelError(
            f"tokenizer.json is missing in {source}", RunProgram(("ls", "-l", str(source)))
        )
    steps = load_model(source, Control())
    next(steps)
    steps.close()


def _bits(name: str, family: Family, recipe: Recipe) -> int:
    """The bits of a tensor, if it is a matrix that is quantized."""
    return max(recipe.bits, family.least_bits(name.removesuffix(".weight"))) if recipe.bits else 0


def _converted(name: str, array: mx.array, recipe: Recipe, bits: int) -> dict[str, mx.array]:
    """Return the tensor that a source tensor becomes, not yet computed."""
    if mx.issubdtype(array.dtype, mx.floating) and not name.endswith(_AS_STORED):
        array = array.astype(_KINDS[recipe.dtype])
    # three axes: a stack of experts
    matrix = array.ndim in (2, 3) and name.startswith("language_model.")
    if not (bits and matrix and array.shape[-1] % recipe.group_size == 0):
        return {name: mx.contiguous(array)}
    packed = mx.quantize(array, group_size=recipe.group_size, bits=bits)
    module = name.removesuffix(".weight")
    leaves = ("weight", "scales", "biases")
    return {f"{module}.{leaf}": part for leaf, part in zip(leaves, packed, strict=True)}
