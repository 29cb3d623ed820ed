"""Offer the zoom-in tool in the words of a checkpoint's own chat template.

Law: the template is rendered with the tool, and what it writes is what the model is shown. Where it
knows no tools, or a call and its answer would not come out as qvq spells them, nothing is offered.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from qvq_mlx.core.look import RESPONSE, ZOOM_TOOL
from qvq_mlx.store.chat_template import PICTURE, SWITCH, rendered

_SYSTEM, _QUESTION = "SYSTEM-8K", "QUESTION-4T"
_SYSTEM_TURN = re.compile(r"<\|im_start\|>system\n(.*?)<\|im_end\|>\n", re.DOTALL)
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
BOX = (11, 22, 333, 444)
"""The region of the call in `Offered`."""

DEFINITION: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": ZOOM_TOOL,
        "description": (
            "Look closer at a part of a picture: it is cut from the original at full resolution"
            " and shown to you."
        ),
        "parameters": {
            "type": "object",
            "properties": {
                "bbox_2d": {
                    "type": "array",
                    "items": {"type": "number"},
                    "minItems": 4,
                    "maxItems": 4,
                    "description": (
                        "The part as [x1, y1, x2, y2], from 0 to 1000 of the picture's width and"
                        " height: (x1, y1) is its top left corner, (x2, y2) its bottom right one."
                    ),
                },
                "label": {"type": "string", "description": "The name of what is there."},
                "img_idx": {
                    "type": "number",
                    "description": "The number of the picture, from 0 in the order shown.",
                },
            },
            "required": ["bbox_2d", "label", "img_idx"],
        },
    },
}
"""The tool as the makers of Qwen3-VL describe theirs, in words of our own."""


@dataclass(frozen=True, slots=True)
class Offered:
    """The `system` message that offers the tool, and a `call` as the template writes it: the text
    between its tags, which asks for the region BOX.
    """

    system: str
    call: str


@functools.lru_cache(maxsize=8)
def offer(template: str, system: str | None, thinks: bool | None = None) -> Offered | None:
    """Return how the tool is offered, `system` within the message; None where no tool is known.

    `thinks`: the template is asked to think, or not to, where it has that choice.
    """
    if "tool" not in template:  # most are told apart without starting a process
        return None
    switch = {} if thinks is None or SWITCH not in template else {SWITCH: thinks}
    asked: list[dict[str, Any]] = [{"role": "user", "content": _QUESTION}]
    if system is not None:
        asked.insert(0, {"role": "system", "content": _SYSTEM})
    called = {"name": ZOOM_TOOL, "arguments": {"bbox_2d": list(BOX), "label": "it", "img_idx": 0}}
    turns = [
        *asked,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": called}],
        },
        {"role": "tool", "content": [{"type": "image"}]},
    ]
    plain, offered, told = rendered(
        template,
        [
            {"messages": asked, **switch},
            {"messages": asked, "tools": [DEFINITION], **switch},
            {"messages": turns, "tools": [DEFINITION], **switch},
        ],
    )
    if any("error" in one for one in (plain, offered, told)):
        return None
    found = _SYSTEM_TURN.match(offered["text"])
    if found is None or ZOOM_TOOL not in found[1]:
        return None
    question = offered["text"][found.end() :]
    if question != _SYSTEM_TURN.sub("", plain["text"], count=1):
        return None  # it says something of the tool to the user's message, too
    opened = question.partition("<|im_start|>assistant\n")[2]
    answer = (
        f"<|im_start|>user\n{PICTURE.join(RESPONSE)}<|im_end|>\n<|im_start|>assistant\n{opened}"
    )
    calls = _CALL.findall(told["text"].removeprefix(found[0]))
    if not told["text"].endswith(answer) or len(calls) != 1:
        return None
    if system is None:
        return Offered(found[1], calls[0])
    if found[1].count(_SYSTEM) != 1:
        return None
    return Offered(found[1].replace(_SYSTEM, system), calls[0])
