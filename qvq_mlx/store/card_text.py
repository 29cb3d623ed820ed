"""A model card as TOML text, the counterpart of `registry.read_card`.

Law: reading the text gives the card back, less where its weights lie (`repo`, `folder`,
`aliases`, `download_bytes`): that is the reader's to know. Defaults are not spelled out.
"""

from __future__ import annotations

import dataclasses
import json

from qvq_mlx.core.card import ModelCard, Thinking, VisionLimits
from qvq_mlx.core.request import Sampling

_ELSEWHERE = ("aliases", "repo", "folder", "download_bytes")
_ALWAYS = ("name", "summary", "family", "licence", "boxes")


def card_text(card: ModelCard) -> str:
    """The TOML of `card`."""
    blank = ModelCard(name="", summary="", family="", licence="")
    lines = _lines(card, blank, always=_ALWAYS)
    for name, table, default in (
        ("thinking", card.thinking, Thinking()),
        ("sampling", card.sampling, Sampling()),
        ("vision", card.vision, VisionLimits()),
    ):
        inner = _lines(table, default)
        if inner:
            lines += ["", f"[{name}]", *inner]
    if card.direct_sampling is not None:
        lines += ["", "[direct_sampling]", *_lines(card.direct_sampling, Sampling())]
    return "\n".join(lines) + "\n"


def _lines(
    values: ModelCard | Thinking | Sampling | VisionLimits,
    default: ModelCard | Thinking | Sampling | VisionLimits,
    always: tuple[str, ...] = (),
) -> list[str]:
    lines = []
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if dataclasses.is_dataclass(value) or value is None or field.name in _ELSEWHERE:
            continue
        if field.name in always or value != getattr(default, field.name):
            lines.append(f"{field.name} = {_spelled(value)}")
    return lines


def _spelled(value: object) -> str:
    """JSON's spelling, which is TOML's for strings, numbers, booleans and lists of them."""
    listed = list(value) if isinstance(value, tuple) else value
    return json.dumps(listed, ensure_ascii=False).replace("\x7f", "\\u007f")
