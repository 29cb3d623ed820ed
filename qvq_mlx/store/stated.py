"""A card for weights that no shipped card knows, from what their own files say.

Law: the checkpoint comes first, then its family's published values, and what its name suggests
last: that is said (`ModelCard.remarks`). So is a chat template that does not write what qvq does.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.card import ModelCard, Thinking, ThinkingStyle, VisionLimits
from qvq_mlx.core.request import Sampling
from qvq_mlx.families import family_of
from qvq_mlx.families.family import Vision
from qvq_mlx.families.fields import Fields
from qvq_mlx.store.checkpoint import read_json
from qvq_mlx.store.shape import stated_shape

if TYPE_CHECKING:
    from qvq_mlx.store.chat_template import TemplateFacts

MAX_IMAGE_TOKENS = 1280
"""Per picture, where no card says otherwise: checkpoints allow 16,384, minutes of prefill."""

_MOST_FACTOR_PX = 1024
"""Pixels along the side of an image token; published checkpoints have 28 or 32."""


def stated(card: ModelCard, folder: Path) -> ModelCard:
    """`card`, which knows a name and what that suggests, with what the checkpoint in `folder` says.

    Raises BrokenModelError, or UnsupportedModelError for an architecture that is not run.
    """
    # no card that is shipped needs these
    from qvq_mlx.store.chat_template import facts_of, template_of
    from qvq_mlx.store.styles import voice

    path = folder / "config.json"
    config = Fields(path, read_json(path))
    family = family_of(config.values, folder)
    template = template_of(folder)
    facts = facts_of(template, sees=family.vision is not None) if template else None
    read = facts is not None and facts.rendered
    system = facts.system if facts and read else card.system or family.system
    thinking = _thinking(facts, system)
    remarks = (
        [f"the chat template is not followed: {facts.differs}"] if facts and facts.differs else []
    )
    if thinking is None:
        thinking = voice(card.name) or card.thinking
        if thinking.style is not ThinkingStyle.NONE:
            remarks.append(
                f"its thinking style ({thinking.style}) is taken from its name, {card.name}:"
                " the checkpoint states none"
            )
    if facts is not None and facts.unasked:
        thinking = replace(thinking, unasked=facts.unasked, on_request=facts.on_request)
    if not read and card.system and card.system != family.system:
        remarks.append(f"its system message is that of {card.named_after}, by its name alone")
    card = replace(
        card,
        family=str(family.model_type),
        sees=family.vision is not None,
        system=system,
        thinking=thinking,
        sampling=_sampled(card.sampling, folder),
        direct_sampling=card.direct_sampling and _sampled(card.direct_sampling, folder),
        shape=stated_shape(folder) or card.shape,
        remarks=tuple(remarks),
    )
    if family.vision is None:
        return card
    limits = _limits(config, family.vision, folder)
    return replace(
        card,
        vision=replace(limits, video=_takes_video(card.name, template)),
        boxes=family.vision.boxes,
    )


def _sampled(sampling: Sampling, folder: Path) -> Sampling:
    """`sampling` with min_p and the penalties that generation_config.json states."""
    path = folder / "generation_config.json"
    generation = Fields(path, read_json(path, missing_ok=True))
    least = generation.any_number("min_p", sampling.min_p)
    if not 0 <= least <= 1:
        raise generation.broken(f"says min_p {least:g}, which is a share of 1")
    return replace(
        sampling,
        min_p=least,
        repetition_penalty=generation.number("repetition_penalty", sampling.repetition_penalty),
        presence_penalty=generation.any_number("presence_penalty", sampling.presence_penalty),
    )


def with_own_maximum(limits: VisionLimits, folder: Path) -> VisionLimits:
    """`limits` with what the checkpoint's image processor allows a picture, where it says so."""
    path = folder / "preprocessor_config.json"
    processor = Fields(path, read_json(path, missing_ok=True))
    if "max_pixels" not in processor and "longest_edge" not in processor.inside("size"):
        return limits
    return replace(limits, own_max_pixels=_most_pixels(processor, limits.max_pixels))


def _most_pixels(processor: Fields, default: int) -> int:
    return processor.whole("max_pixels", processor.inside("size").whole("longest_edge", default))


def _limits(config: Fields, vision: Vision, folder: Path) -> VisionLimits:
    """The upper limit is capped: checkpoints allow 16,384 image tokens, minutes of prefill."""
    path = folder / "preprocessor_config.json"
    processor = Fields(path, read_json(path, missing_ok=True))
    layout = vision.layout
    size, eyes = processor.inside("size"), config.inside("vision_config")
    patch_px = processor.whole("patch_size", eyes.whole("patch_size", layout.patch_px))
    merge = processor.whole("merge_size", eyes.whole("spatial_merge_size", layout.merge))
    factor_px = patch_px * merge
    if factor_px > _MOST_FACTOR_PX:
        raise processor.broken(
            f"says patches of {patch_px:,} px, {merge:,} in a row to an image token; one of more"
            f" than {_MOST_FACTOR_PX:,} px shows nothing"
        )
    cap = MAX_IMAGE_TOKENS * factor_px**2
    lower = processor.whole(
        "min_pixels", size.whole("shortest_edge", vision.min_pixels, least=0), least=0
    )
    upper = _most_pixels(processor, cap)
    return VisionLimits(factor_px, min(lower, cap), min(upper, cap))


def _takes_video(name: str, template: str) -> bool:
    """By the template; QVQ's has a place for videos too, and its makers say that it takes none."""
    return "qvq" not in name.casefold() and (not template or "<|video_pad|>" in template)


def _thinking(facts: TemplateFacts | None, system: str | None) -> Thinking | None:
    """What the template and the system message say of the thinking; None where they say nothing."""
    if facts is not None and facts.tag:
        tag = facts.tag
        return Thinking(
            ThinkingStyle.PREOPENED,
            open_tag=f"<{tag}>",
            close_tag=f"</{tag}>",
            closing=f"\n</{tag}>\n\n",
        )
    asked = system or ""
    if "<think>" in asked and "</think>" in asked:
        wraps = "<answer>" in asked
        return Thinking(
            ThinkingStyle.TAG,
            answer_tags=("<answer>", "</answer>") if wraps else (),
            closing="\n</think><answer>" if wraps else "\n</think>\n\n",
        )
    if facts is not None and facts.splits:
        return Thinking(ThinkingStyle.TAG, closing="\n</think>\n\n")
    return None
