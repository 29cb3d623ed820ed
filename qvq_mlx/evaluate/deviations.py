"""Deviations of an evaluation from VLMEvalKit's configuration for QVQ-72B-Preview.

Law: what differs is listed, whether it was an option or the card's; nothing else is.

Source: VLMEvalKit, pull request 701 (December 2024), `vlmeval/config.py`: 1,280 to 16,384 image
tokens (of 28 x 28 pixels) for a picture, 8,192 new tokens, no post-processing, QVQ's own system
message. Its sampler takes the likeliest token, and it knows no bound on the thinking.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from qvq_mlx.evaluate.folder import Setting
from qvq_mlx.evaluate.question import PromptStyle

MIN_IMAGE_TOKENS, MAX_IMAGE_TOKENS = 1280, 16384
MAX_TOKENS = 8192
SYSTEM = (
    "You are a helpful and harmless assistant. You are Qwen developed by Alibaba."
    " You should think step-by-step."
)


@dataclass(frozen=True, slots=True)
class Deviation:
    """One condition: as it was here, and as VLMEvalKit has it."""

    condition: str
    here: str
    there: str


def deviations(setting: Setting) -> tuple[Deviation, ...]:
    """Return what differs; nothing of outputs made elsewhere, whose conditions are not known."""
    request = json.loads(setting.request)
    if not request:
        return ()
    detail = request["image_options"][0]["detail"]
    budgets = [tokens for tokens in setting.budgets if tokens is not None]
    conditions = (
        ("prompts", setting.prompts, PromptStyle.VLMEVALKIT),
        ("image tokens", _size(detail), f"{MIN_IMAGE_TOKENS:,} to {MAX_IMAGE_TOKENS:,}"),
        ("system message", _quoted(request["system"]), _quoted(SYSTEM)),
        ("most tokens", f"{request['max_tokens']:,}", f"{MAX_TOKENS:,}"),
        ("thinking budget", ", ".join(f"{tokens:,}" for tokens in budgets) or "none", "none"),
        ("temperature", f"{request['sampling']['temperature']:g}", "0"),
        ("votes", f"{request['method']['votes']}", "1"),
        ("double check", "yes" if request["method"]["double_check"] else "no", "no"),
    )
    return tuple(Deviation(*one) for one in conditions if one[1] != one[2])


def _size(detail: str | int | dict[str, int]) -> str:
    """Return the image tokens of a picture in words."""
    if isinstance(detail, dict):
        return f"{detail['min_tokens']:,} to {detail['max_tokens']:,}"
    if isinstance(detail, int):
        return f"at most {detail:,}, small pictures not enlarged"
    return f"{detail}: the model's limits, small pictures not enlarged"


def _quoted(text: str | None) -> str:
    return f"“{text}”" if text else "none"
