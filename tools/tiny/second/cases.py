"""Held-out questions about fresh pictures (PIL and numpy only).

Law: training draws from `Random(int)`, everything here from `Random(str)`, which Python seeds by
another way; so no held-out picture is a training picture, whatever the numbers. What is held out
are renderings: all arithmetic expressions of the domain, and most small scenes, occur in training.
Wordings are those of training unless `held_out_words`: then each takes a branch of the grammar that
training never takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from PIL import Image

from tools.tiny.pictures import BUCKETS, Size, Wear
from tools.tiny.second.pages import draw_page
from tools.tiny.second.pictures import BUCKET_SHARES, take
from tools.tiny.second.questions import example
from tools.tiny.second.replies import Example, Place, place
from tools.tiny.second.wordings import Asker

FAMILY_OF = {
    "count": "shapes",
    "attribute": "shapes",
    "describe": "shapes",
    "compare": "shapes",
    "position": "shapes",
    "find": "shapes",
    "chart": "chart",
    "arithmetic": "expression",
    "read": "word",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A picture at file size with one question and its true answer.

    `crop`: the part of a page that is shown as a second picture. `places`: true boxes, where the
    answer is boxes.
    """

    image: Image.Image
    task: str
    question: str
    answer: str
    thinking: str  # as the generator would put it; for reading, not for judging
    crop: Image.Image | None = None
    places: tuple[Place, ...] = ()


def case(
    rng: Random,
    task: str,
    wear: Wear | None = None,
    bucket: Size | None = None,
    held_out_words: bool = False,
) -> Case:
    """A fresh picture with a question of `task`; redrawn until the picture allows one."""
    if task in ("locate", "crop"):
        return page_case(rng, task, bucket, held_out_words)
    while True:
        picture = take(rng, FAMILY_OF[task], bucket, wear)
        for _ in range(24):
            asked = example(rng, picture.scene, held_out_words)
            if asked.task == task:
                return _case(picture.image, asked)


def page_case(rng: Random, task: str, bucket: Size | None, held_out_words: bool) -> Case:
    """A page: where to look, or what the page's part answers."""
    bucket = bucket or rng.choices(BUCKETS, BUCKET_SHARES["chart"])[0]
    while True:
        page = draw_page(rng, bucket)
        asked = example(rng, page.scene, held_out_words)
        if asked.places:
            continue
        if task == "crop":
            words = (asked.question, asked.answer, asked.thinking)
            return Case(page.image, task, *words, crop=page.crop.image)
        question, _ = Asker(rng)("look", q=asked.question)
        return Case(page.image, task, question, "", "", places=(place(page.name, page.box),))


def _case(image: Image.Image, asked: Example) -> Case:
    return Case(
        image, asked.task, asked.question, asked.answer, asked.thinking, places=asked.places
    )


def held_out(
    seed: int, tasks: tuple[str, ...], count: int, held_out_words: bool = False
) -> list[Case]:
    """`count` cases, the tasks in turn."""
    rng = Random(f"held-out {seed}")
    return [case(rng, tasks[i % len(tasks)], held_out_words=held_out_words) for i in range(count)]
