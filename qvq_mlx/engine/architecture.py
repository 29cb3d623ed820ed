"""A checkpoint's config.json, in whichever layout it was written, as one set of checked values.

Law: three layouts mean the same: the flat one of the published checkpoints, the nested one that
transformers writes since 4.52 (`text_config`), and its names since 5 (`rope_parameters`). Nothing
is written to the checkpoint's folder. What goes on from here is complete, of the right types, and
free of contradictions that would show only in the middle of a forward pass; anything else is a
BrokenModelError or an UnsupportedModelError of one line.

What only one family has is read by its class (`families/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.core.errors import UnsupportedModelError
from qvq_mlx.core.remedies import Show
from qvq_mlx.families import Family, family_of
from qvq_mlx.families.family import LayerCache, PatchLayout, Values, VisualTokens
from qvq_mlx.families.fields import Fields
from qvq_mlx.families.vision_config import stated_layout
from qvq_mlx.store.checkpoint import read_json

_QUANTIZED_BITS = (2, 3, 4, 5, 6, 8)


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """`values` are those of mlx-vlm's VisionConfig in `package`, less `model_type`.

    `tokens_per_s` are M-RoPE's positions per second of video; 0.0 where the family counts in steps.
    """

    package: str
    values: Values
    layout: PatchLayout
    token_ids: VisualTokens
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Architecture:
    """`text` are the values of mlx-vlm's TextConfig, less `tie_word_embeddings`.

    `caches` has a member per layer. `tied`: output and input embeddings are one matrix where the
    weights hold no output matrix; None: the config does not say. `eos_ids` are the end tokens that
    any of the files names, possibly none. `quantization` is MLX's, possibly with settings per
    module, by the paths of mlx-vlm's modules; empty for plain weights.
    """

    family: Family
    text: Values
    caches: tuple[LayerCache, ...]
    vision: VisionConfig | None
    tied: bool | None
    eos_ids: frozenset[int]
    quantization: Mapping[str, object]


def read_architecture(folder: Path) -> Architecture:
    """Read and check the config of `folder`. Raises BrokenModelError or UnsupportedModelError."""
    path = folder / "config.json"
    config = Fields(path, read_json(path))
    family = family_of(config.values, folder)
    text = _text_fields(config)
    return Architecture(
        family=family,
        text={"model_type": str(family.model_type), **family.text_values(text)},
        caches=family.layer_caches(text),
        vision=_vision(config, family, text.whole("hidden_size")),
        tied=_tied(config),
        eos_ids=_eos_ids(folder, config, text),
        quantization=_quantization(config, family),
    )


def _text_fields(config: Fields) -> Fields:
    """The language model's values: those of `text_config`, then those at the top.

    Conversions of 2024 wrote a `text_config` that is empty, or holds a part.
    """
    nested = config.inside("text_config")
    stated = {name: value for name, value in nested.values.items() if value is not None}
    return Fields(config.path, {**config.values, **stated}, nested.within if stated else "")


def _vision(config: Fields, family: Family, hidden: int) -> VisionConfig | None:
    vision = family.vision
    if vision is None:
        return None
    eyes = config.inside("vision_config")
    layout = stated_layout(eyes, vision.layout)
    ids = vision.token_ids
    return VisionConfig(
        package=vision.package,
        values=vision.encoder_values(eyes, layout, hidden),
        layout=layout,
        token_ids=VisualTokens(
            image=config.whole("image_token_id", ids.image, least=0),
            video=config.whole("video_token_id", ids.video, least=0),
            vision_start=config.whole("vision_start_token_id", ids.vision_start, least=0),
        ),
        tokens_per_s=vision.tokens_per_s(eyes),
    )


def _tied(config: Fields) -> bool | None:
    """At the top or in `text_config`, where savers before transformers 5 put it."""
    name = "tie_word_embeddings"
    stated = [
        fields.flag(name, default=False)
        for fields in (config, config.inside("text_config"))
        if name in fields
    ]
    return any(stated) if stated else None


def _eos_ids(folder: Path, config: Fields, text: Fields) -> frozenset[int]:
    """The union of what the files name: a file that names one token does not deny the others."""
    path = folder / "generation_config.json"
    generation = Fields(path, read_json(path, missing_ok=True))
    named: set[int] = set()
    for fields in (generation, config, text):
        if "eos_token_id" not in fields:
            continue
        if isinstance(fields.values["eos_token_id"], list):
            named.update(fields.wholes("eos_token_id"))
        else:
            named.add(fields.whole("eos_token_id", least=0))
    return frozenset(named)


def _quantization(config: Fields, family: Family) -> Mapping[str, object]:
    """MLX's own; what other programs write is refused."""
    name = "quantization" if "quantization" in config else "quantization_config"
    stated = config.inside(name)
    if not stated.values:
        return {}
    if name == "quantization_config" and "quant_method" in stated:
        method = stated.word("quant_method")[:40]
        raise UnsupportedModelError(
            f"{config.path} says that the weights are quantized by {method!r}; this version reads"
            " plain weights and MLX's own quantization",
            Show.MODELS,
        )
    mode = stated.word("mode", "affine")
    if mode == "affine" and stated.whole("bits") not in _QUANTIZED_BITS:
        raise stated.broken(f"says {stated.whole('bits')} bits, which MLX does not have")
    vision = config.inside("vision_config")
    modules = {
        family.module_path(path): settings
        for path, settings in stated.values.items()
        if isinstance(settings, dict)
    }
    return {
        **modules,
        "group_size": stated.whole("group_size"),
        "bits": stated.whole("bits"),
        "mode": mode,
        # an old mark of conversions that left the vision encoder as it was
        "skip_vision": vision.flag("skip_vision", default=False),
    }
