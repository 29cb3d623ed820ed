"""Thinking styles of models that have no card of their own, by name.

Law: facts only, each from the model's card or a published output. A name is matched in any case,
at its beginning or behind a separator (`mlx-community_QVQ-72B`, `Huihui-QVQ-72B`); the first place
and the first pattern that fit count. What a checkpoint states itself comes before these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from qvq_mlx.core.card import Thinking, ThinkingStyle

_SEPARATOR = re.compile(r"[-_. ]+")

_MARKER = Thinking(
    ThinkingStyle.MARKER,
    markers=("**Final Answer**", "**答案**", "**最终答案**"),
    labels=("**Final Answer**", "**最终答案**"),
    closing="\n\n**Final Answer**\n\n",
)
_TAG = Thinking(ThinkingStyle.TAG, closing="\n</think>\n\n")
_PREOPENED = Thinking(ThinkingStyle.PREOPENED, closing="\n</think>\n\n")
_KIMI = Thinking(
    ThinkingStyle.TAG, open_tag="◁think▷", close_tag="◁/think▷", closing="\n◁/think▷\n\n"
)
_GLM = Thinking(
    ThinkingStyle.TAG, answer_tags=("<answer>", "</answer>"), closing="\n</think><answer>"
)
_APRIEL = Thinking(
    ThinkingStyle.PREOPENED,
    open_tag="",
    close_tag="[BEGIN FINAL RESPONSE]",
    answer_tags=("[END FINAL RESPONSE]",),
    closing="\n[BEGIN FINAL RESPONSE]\n",
)


@dataclass(frozen=True, slots=True)
class Voice:
    """A family's way of thinking. `pattern` is a shell pattern in lower case."""

    pattern: str
    thinking: Thinking


VOICES = (
    Voice("qvq*", _MARKER),
    Voice("qwq*preview*", _MARKER),
    Voice("qwq*", _PREOPENED),
    Voice("qwen3*thinking*", _PREOPENED),
    Voice("ernie-4.5-vl*thinking*", _PREOPENED),
    Voice("kimi-vl*thinking*", _KIMI),
    Voice("glm-4.1v*thinking*", _GLM),
    Voice("glm-4.5v*", _GLM),
    Voice("apriel-1.5*", _APRIEL),
    Voice("skywork-r1v*", _TAG),
    Voice("r1-onevision*", _TAG),
    Voice("deepseek-r1*", _TAG),
)


def voice(name: str) -> Thinking | None:
    """The voice of a model of that name; None where it is not known."""
    for part in name_parts(name):
        for known in VOICES:
            if fnmatchcase(part, known.pattern):
                return known.thinking
    return None


def name_parts(name: str) -> list[str]:
    """The last part of a repository's name in lower case, whole and behind each separator."""
    tail = name.rsplit("/", 1)[-1].casefold()
    return [tail, *(tail[match.end() :] for match in _SEPARATOR.finditer(tail))]
