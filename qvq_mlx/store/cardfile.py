"""Model cards as TOML files: one file per model, one card per quantization.

    name = "..."            the fields of ModelCard; [thinking] [sampling]
                            [direct_sampling] [vision] [shape]
    [[variants]]            optional: bits, repo or folder, download_bytes, unconfirmed
    bits = 4                the first is what the bare name means, and `name-4bit` too;
    repo = "..."            the others are called `name-8bit` and so on, and their aliases likewise

Law: a key or a type that a card does not have is an error that names the file. Bytes that are not
given are computed, parameters x (bits + 0.5) / 8 (groups of 64 with a 16-bit scale and bias) and
2 for each of a vision encoder that stays in 16 bit; `download_bytes` is then in `unconfirmed`.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from qvq_mlx.core.card import (
    Experts,
    ModelCard,
    Recurrent,
    Shape,
    Thinking,
    ThinkingStyle,
    VisionLimits,
    VisionShape,
)
from qvq_mlx.core.errors import ConfigError
from qvq_mlx.core.places import Coordinates
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.core.request import Sampling
from qvq_mlx.system.reading import read_toml, why

T = TypeVar("T")

_MAX_BYTES = 2**18
_VARIANT_KEYS = {"bits", "repo", "folder", "download_bytes", "unconfirmed"}


def read_cards(path: Path) -> tuple[ModelCard, ...]:
    """The cards of one file, the default first. Raises ConfigError in one line."""
    try:
        values: dict[str, Any] = read_toml(path, _MAX_BYTES)
        variants = values.pop("variants", [{}])
        if not isinstance(variants, list) or not variants:
            raise ValueError("variants is no list of tables")
        model = _model(values)
        return tuple(_variant(model, variant, index == 0) for index, variant in enumerate(variants))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} is no model card: {why(error)}", RunProgram(("cat", str(path)))
        ) from error


def quantized_bytes(parameters: int, bits: float) -> int:
    """The size of the weights in MLX's affine quantization, groups of 64."""
    return round(parameters * (bits + 0.5) / 8)


def _model(values: dict[str, Any]) -> ModelCard:
    thinking = _table(values, "thinking")
    if "style" in thinking:
        thinking["style"] = ThinkingStyle(thinking["style"])
    shape = _table(values, "shape")
    if eyes := _table(shape, "vision"):
        shape["vision"] = _build(VisionShape, eyes)
    if experts := _table(shape, "experts"):
        shape["experts"] = _build(Experts, experts)
    if recurrent := _table(shape, "recurrent"):
        shape["recurrent"] = _build(Recurrent, recurrent)
    parts: dict[str, Any] = {
        "thinking": _build(Thinking, thinking),
        "sampling": _build(Sampling, _table(values, "sampling")),
        "vision": _build(VisionLimits, _table(values, "vision")),
    }
    if "direct_sampling" in values:
        parts["direct_sampling"] = _build(Sampling, _table(values, "direct_sampling"))
    if shape:
        parts["shape"] = _build(Shape, shape)
    if "boxes" in values:
        parts["boxes"] = Coordinates(values["boxes"])
    elif values.get("sees", True):
        from qvq_mlx.families import coordinates_of  # no shipped card needs it

        parts["boxes"] = coordinates_of(values.get("family"))
    return _build(ModelCard, values | parts)


def _table(values: dict[str, Any], key: str) -> dict[str, Any]:
    table = values.pop(key, {})
    if not isinstance(table, dict):
        raise TypeError(f"{key} is no table")
    return dict(table)


def _variant(model: ModelCard, values: dict[str, Any], first: bool) -> ModelCard:
    if unknown := values.keys() - _VARIANT_KEYS:
        raise TypeError(f"unknown key {min(unknown)!r} in [[variants]]")
    bits = values.get("bits", model.bits)
    suffix = f"-{bits:g}bit" if bits else ""
    names = (model.name, *model.aliases)
    if not values:
        name, aliases = model.name, model.aliases
    elif first:
        name, aliases = model.name, (*model.aliases, *(n + suffix for n in names))
    else:
        name, aliases = model.name + suffix, tuple(n + suffix for n in model.aliases)
    size = values.get("download_bytes", model.download_bytes)
    unconfirmed = (*model.unconfirmed, *values.get("unconfirmed", ()))
    if not size and bits and model.shape and model.shape.parameters:
        eyes = model.shape.vision.parameters if model.shape.vision else 0
        size = quantized_bytes(model.shape.parameters - eyes, bits) + 2 * eyes
        unconfirmed = (*unconfirmed, "download_bytes")
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    return _build(
        ModelCard,
        fields
        | {
            "name": name,
            "aliases": aliases,
            "base": model.base or (model.name if values else ""),
            "bits": bits,
            "repo": values.get("repo", model.repo),
            "folder": values.get("folder", model.folder),
            "download_bytes": size,
            "unconfirmed": unconfirmed,
        },
    )


def _build(cls: type[T], values: dict[str, Any]) -> T:
    """An instance from TOML values. TypeError for an unknown, missing or ill-typed key."""
    kind: Any = cls  # a type variable is not known to be hashable
    hints = _hints(kind)
    ready = {}
    for key, value in values.items():
        if key not in hints:
            raise TypeError(f"unknown key {key!r}")
        value = tuple(value) if isinstance(value, list) else value
        if not _is_a(value, hints[key]):
            raise TypeError(f"{key} is {value!r}")
        ready[key] = value
    return cls(**ready)


@functools.cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    """The types of a class's fields; asked for each of some thirty cards at every start."""
    return typing.get_type_hints(cls)


def _is_a(value: object, hint: Any) -> bool:  # noqa: ANN401 - a type as a value
    if typing.get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(isinstance(part, str) for part in value)
    if isinstance(hint, types.UnionType):
        return any(_is_a(value, part) for part in typing.get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return isinstance(value, hint)
