"""Measure a model folder on fresh pictures of the second generation (needs mlx-vlm).

Law: greedy. An answer counts when the last LaTeX box holds exactly the true answer; boxes count
when there are as many as there should be, each with an intersection over union of 0.7.
Every task is asked in words of training and in words that are held out from it.

    python -m tools.tiny.second.evaluate [MODEL] [--seed 7] [--count 220] [--misses 0]
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from tools.tiny.model import ShippedModel, boxed
from tools.tiny.second.cases import Case, held_out
from tools.tiny.second.replies import TASKS, Place

IOU = 0.7
BOX = re.compile(r"<\|box_start\|>\((\d+),(\d+)\),\((\d+),(\d+)\)<\|box_end\|>")


def overlap(one: Place, other: Place) -> float:
    """Intersection over union."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(0, width) * max(0, height)
    areas = [(box.right - box.left) * (box.bottom - box.top) for box in (one, other)]
    return shared / max(1, sum(areas) - shared)


def pointed_rightly(reply: str, places: tuple[Place, ...]) -> bool:
    """Whether the reply's boxes are the true ones, in order."""
    found = [Place("", *map(int, corners)) for corners in BOX.findall(reply)]
    return len(found) == len(places) and all(
        overlap(one, true) >= IOU for one, true in zip(found, places, strict=True)
    )


def right(case: Case, reply: str) -> bool:
    """Whether the reply is right."""
    if case.places:
        return pointed_rightly(reply, case.places)
    return boxed(reply) == case.answer


def measure(model: ShippedModel, asked: list[Case], misses: int) -> dict[str, list[bool]]:
    """What was right, by task; prints the first misses."""
    table: dict[str, list[bool]] = {task: [] for task in TASKS}
    for case in asked:
        shown = [case.image] if case.crop is None else [case.image, case.crop]
        reply = model.reply(shown, case.question)
        table[case.task].append(right(case, reply))
        if not table[case.task][-1] and misses > 0:
            misses -= 1
            print(f"- {case.question!r} is {case.answer or case.places}\n  said {reply!r}")
    return table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="measure on the second generation's pictures")
    parser.add_argument("model", type=Path, nargs="?", default=Path("models/qvq-tiny"))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, default=220)
    parser.add_argument("--misses", type=int, default=0, help="print so many wrong replies")
    options = parser.parse_args()
    model = ShippedModel(options.model)
    for words in (False, True):
        asked = held_out(options.seed, TASKS, options.count, held_out_words=words)
        table = measure(model, asked, options.misses)
        print(f"seed {options.seed}, {options.count} pictures, {'held-out' if words else 'known'}")
        for task, hits in table.items():
            print(f"  {task:12} {sum(hits) / len(hits):6.1%}  ({sum(hits)}/{len(hits)})")
        hits = [hit for task in table.values() for hit in task]
        print(f"  {'overall':12} {sum(hits) / len(hits):6.1%}", flush=True)


if __name__ == "__main__":
    main()
