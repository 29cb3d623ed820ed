"""A conversation with a client's tools, in the words of a checkpoint's own chat template.

Law: the template is rendered with the tools, the calls and what came of them, and what it writes is
what the model is shown, turn by turn. Where it knows no tools, or what it writes are no turns of a
system, a user and an assistant, there is a line that says so, and no guess.

A text may spell the marks between turns: they are hidden from the template, and put back.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from typing import Any

from qvq_mlx.core.look import RESPONSE
from qvq_mlx.store.chat_template import SWITCH, rendered

Json = dict[str, Any]
_TURN = re.compile(r"<\|im_start\|>(system|user|assistant)\n(.*?)<\|im_end\|>\n", re.DOTALL)
_REPLY = "<|im_start|>assistant\n"
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_MARK = "<|im_"

PROBE: Json = {
    "type": "function",
    "function": {
        "name": "probe_tool",
        "description": "Looks something up.",
        "parameters": {
            "type": "object",
            "properties": {
                "words": {"type": "string"},
                "count": {"type": "integer"},
                "places": {"type": "array", "items": {"type": "number"}},
            },
            "required": ["words"],
        },
    },
}
ARGUMENTS: tuple[Json, ...] = ({"words": "a b", "count": 3}, {"words": "7", "places": [1, 2.5]})
"""The arguments of the calls in `calls_of`."""


@dataclass(frozen=True, slots=True)
class Spelled:
    """A conversation as the template writes it: the system message, None for none, and the turns.

    User and assistant take turns, the user first and last.
    """

    system: str | None
    turns: tuple[str, ...]


@functools.lru_cache(maxsize=8)
def calls_of(template: str) -> tuple[str, ...]:
    """Return how `template` writes two calls with ARGUMENTS; none where it knows no tools."""
    if "tool" not in template:  # most are told apart without starting a process
        return ()
    answers = ("ANSWER-1T", "ANSWER-2T")
    calls = [
        {"type": "function", "function": {"name": "probe_tool", "arguments": given}}
        for given in ARGUMENTS
    ]
    messages: list[Json] = [
        {"role": "user", "content": "QUESTION-4T"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        *({"role": "tool", "content": answer} for answer in answers),
    ]
    found = spelled(template, messages, [PROBE])
    if isinstance(found, str) or "probe_tool" not in (found.system or ""):
        return ()
    expected = "\n".join(answer.join(RESPONSE) for answer in answers)
    if len(found.turns) != 3 or found.turns[2] != expected:
        return ()
    return tuple(_CALL.findall(found.turns[1]))


def spelled(
    template: str, messages: list[Json], tools: list[Json], thinks: bool | None = None
) -> Spelled | str:
    """Return what the template writes of a conversation, or in one line why that is no use.

    `thinks`: the template is asked to think, or not to, where it has that choice.
    """
    conversation: Json = {"messages": messages, **({"tools": tools} if tools else {})}
    said = json.dumps(conversation, ensure_ascii=False)
    hidden = _absent(said)
    conversation = json.loads(said.replace(_MARK, hidden))
    if thinks is not None and SWITCH in template:
        conversation[SWITCH] = thinks
    [answer] = rendered(template, [conversation])
    if "error" in answer:
        return f"its chat template does not take it: {answer['error']}"
    written = [(turn[1], turn[2]) for turn in _TURN.finditer(answer["text"])]
    whole = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in written)
    if not answer["text"].startswith(whole + _REPLY):
        return "its chat template writes something that is no turn"
    written = [(role, text.replace(hidden, _MARK)) for role, text in written]
    system = written.pop(0)[1] if written and written[0][0] == "system" else None
    turns = _alternating(written)
    if turns is None:
        return "its chat template writes no turns of a user and an assistant"
    return Spelled(system, turns)


def _alternating(written: list[tuple[str, str]]) -> tuple[str, ...] | None:
    """The texts of turns; those of one side that follow each other are one turn here."""
    turns: list[str] = []
    for role, text in written:
        side = len(turns) % 2
        if role == ("user", "assistant")[side]:
            turns.append(text)
        elif turns and role == ("assistant", "user")[side]:
            turns[-1] += f"\n\n{text}"
        else:
            return None
    return tuple(turns) if len(turns) % 2 else None


def _absent(text: str) -> str:
    """A word that stands nowhere in `text`."""
    number = 0
    while (word := f"QVQ-MARK-{number}-") in text:
        number += 1
    return word
