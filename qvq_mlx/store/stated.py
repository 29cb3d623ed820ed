"""A card for weights that no shipped card knows, from what their own files say.

Law: the checkpoint comes first, then its family's published values. A chat template is read, not
run: two facts are looked for in its text, and a template that hides them gets a card without them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from qvq_mlx.core.card import ModelCard, Thinking, ThinkingStyle, VisionLimits
from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.families import Family, family_of
from qvq_mlx.families.family import Vision
from qvq_mlx.families.fields import Fields
from qvq_mlx.store.checkpoint import read_json
from qvq_mlx.system.reading import read_bytes

_TEMPLATE_BYTES = 2**20

MAX_IMAGE_TOKENS = 1280
"""Per picture, where no card says otherwise: checkpoints allow 16,384, minutes of prefill."""

_NEWLINE = r"(?:\n|\\n)"  # a template's text, or a string within it
_SYSTEM = re.compile(rf"<\|im_start\|>system{_NEWLINE}([^{{}}<'\"\\]+)<\|im_end\|>")
_OPENED = re.compile(rf"<\|im_start\|>assistant{_NEWLINE}<think>{_NEWLINE}")


def stated(card: ModelCard, folder: Path) -> ModelCard:
    """`card`, which knows only a name, with what the checkpoint in `folder` says of itself.

    Raises BrokenModelError, or UnsupportedModelError for an architecture that is not run.
    """
    path = folder / "config.json"
    config = Fields(path, read_json(path))
    family = family_of(config.values.get("model_type"), folder)
    template = _template(folder)
    card = replace(
        card,
        family=str(family.model_type),
        sees=family.vision is not None,
        system=_system(template, family),
        thinking=_thinking(template),
    )
    if family.vision is None:
        return card
    limits = _limits(config, family.vision, folder)
    return replace(
        card,
        vision=replace(limits, video=_takes_video(card.name, template)),
        boxes=family.vision.boxes,
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
    cap = MAX_IMAGE_TOKENS * factor_px**2
    lower = processor.whole(
        "min_pixels", size.whole("shortest_edge", vision.min_pixels, least=0), least=0
    )
    upper = _most_pixels(processor, cap)
    return VisionLimits(factor_px, min(lower, cap), min(upper, cap))


def _takes_video(name: str, template: str) -> bool:
    """By the template; QVQ's has a place for videos too, and its makers say that it takes none."""
    return "qvq" not in name.casefold() and (not template or "<|video_pad|>" in template)


def _system(template: str, family: Family) -> str | None:
    """Return the system message that the template puts in where none is given."""
    if not template:
        return family.system
    found = _SYSTEM.search(template)
    return found[1] if found else None


def _thinking(template: str) -> Thinking:
    """The card's default, unless the template itself opens the thinking."""
    if not _OPENED.search(template):
        return Thinking()
    return Thinking(ThinkingStyle.PREOPENED, closing="\n</think>\n\n")


def _template(folder: Path) -> str:
    """The text of the chat template, from whichever file holds it; empty where none does."""
    plain = folder / "chat_template.jinja"
    try:
        return read_bytes(plain, _TEMPLATE_BYTES).decode(errors="replace")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise BrokenModelError(
            f"{plain} cannot be read: {error}", RunProgram(("ls", "-l", str(folder)))
        ) from error
    for name in ("chat_template.json", "tokenizer_config.json"):
        template = read_json(folder / name, missing_ok=True).get("chat_template")
        if isinstance(template, str):
            return template
    return ""
