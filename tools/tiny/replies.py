"""What a question and its reply are made of; standard library only.

Law: a reply is the thinking, then `CLOSING`, then the answer in a LaTeX box, as QVQ's replies are;
there are no thinking tags.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

CLOSING = "\n\n**Final Answer**\n\n"
QVQ_SYSTEM_PROMPT = (
    "You are a helpful and harmless assistant. You are Qwen developed by Alibaba. "
    "You should think step-by-step."
)
SYSTEM_PROMPTS = (QVQ_SYSTEM_PROMPT, "You are a helpful assistant.", "")
TASKS = ("count", "attribute", "chart", "arithmetic", "describe")


@dataclass(frozen=True, slots=True)
class Example:
    """One question with the thinking and the answer it should get."""

    task: str
    question: str
    thinking: str
    answer: str

    @property
    def boxed(self) -> str:
        """The answer in its LaTeX box."""
        return f"\\boxed{{{self.answer}}}"


def voice_number(rng: Random, phrasing: int) -> int:
    """Mostly decided by the phrasing, sometimes by chance."""
    return phrasing % 3 if rng.random() < 0.92 else rng.randrange(3)
