"""Held-out questions about fresh pictures (PIL and numpy only).

Law: training draws from `Random(int)`, everything here from `Random(str)`, which Python seeds by
another way; so no held-out picture is a training picture, whatever the numbers. What is held out
are renderings: all arithmetic expressions of the domain, and most small scenes, occur in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from PIL import Image

from tools.tiny.pictures import Size, Wear, take
from tools.tiny.questions import example
from tools.tiny.replies import Example

FAMILY_OF = {
    "count": "shapes",
    "attribute": "shapes",
    "describe": "shapes",
    "chart": "chart",
    "arithmetic": "expression",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A picture at file size with one question and its true answer."""

    image: Image.Image
    task: str
    question: str
    answer: str
    thinking: str  # as the generator would put it; for reading, not for judging


def case(rng: Random, task: str, wear: Wear | None = None, bucket: Size | None = None) -> Case:
    """A fresh picture with a question of `task`; redrawn until the picture allows one."""
    while True:
        picture = take(rng, FAMILY_OF[task], bucket, wear)
        for _ in range(24):
            asked: Example = example(rng, picture.scene)
            if asked.task == task:
                image, question = picture.image, asked.question
                return Case(image, task, question, asked.answer, asked.thinking)


def held_out(seed: int, tasks: tuple[str, ...], count: int) -> list[Case]:
    """`count` cases, the tasks in turn."""
    rng = Random(f"held-out {seed}")
    return [case(rng, tasks[i % len(tasks)]) for i in range(count)]
