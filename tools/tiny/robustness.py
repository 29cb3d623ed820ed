"""Where the shipped model holds and where it breaks (needs mlx-vlm, not torch).

Law: one condition is changed at a time; pictures are held out as in `cases`. The figures go on the
model card, the bad ones too. A thinking budget of k tokens means: the reply is cut after k tokens,
the closing is forced, and the model writes the box.

    python -m tools.tiny.robustness [MODEL] [--seed 7] [--count 60]
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from random import Random

import mlx.core as mx
from PIL import Image

from tools.tiny.cases import Case, case
from tools.tiny.model import Inputs, ShippedModel, boxed
from tools.tiny.pictures import CLEAN, Size, Wear
from tools.tiny.replies import CLOSING

TASKS = ("count", "chart", "arithmetic")
BUDGETS = (0, 16, 32, 48, 64, 96)
# Wordings that no phrasing of the training data has.
NEW_WORDINGS = {
    "count": ("How many {x} has this drawing got?", "What is the tally of {x}?", "{x}: how many?"),
    "chart": ("Which column rises the highest?", "Whose bar is tallest?"),
    "arithmetic": ("Finish this calculation.", "And the outcome is?", "What's the total?"),
}
PLAIN = Wear()
Change = Callable[[Image.Image], Image.Image]


def jpeg(quality: int) -> Change:
    """Save as JPEG and read again."""

    def change(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def resized(side: int) -> Change:
    """Scale so that the longer side has `side` pixels."""
    return lambda image: image.resize(
        (side * image.width // max(image.size), side * image.height // max(image.size)),
        Image.Resampling.BICUBIC,
    )


def cases(seed: int, count: int, wear: Wear, bucket: Size | None = None) -> list[Case]:
    """The three tasks in turn."""
    rng = Random(f"robustness {seed}")
    return [case(rng, TASKS[i % len(TASKS)], wear, bucket) for i in range(count)]


def show(name: str, model: ShippedModel, asked: list[Case], change: Change | None = None) -> None:
    """Ask everything and print one line."""
    right: dict[str, list[bool]] = {}
    for one in asked:
        image = change(one.image) if change else one.image
        reply = model.answer(image, one.question)
        right.setdefault(one.task, []).append(boxed(reply) == one.answer)
    shares = "  ".join(f"{task} {sum(hits) / len(hits):4.0%}" for task, hits in right.items())
    print(f"{name:28} {shares}  (n = {len(asked)})", flush=True)


def reworded(seed: int, count: int) -> list[Case]:
    """Held-out pictures with wordings that training never used."""
    rng = Random(f"reworded {seed}")
    found: list[Case] = []
    while len(found) < count:
        one = case(rng, TASKS[len(found) % len(TASKS)], CLEAN)
        wording = rng.choice(NEW_WORDINGS[one.task])
        if one.task == "count":
            words = one.thinking.partition("count the ")[2].partition(".")[0]
            if not words:
                continue
            wording = wording.format(x=words)
        elif one.task == "chart" and "largest" not in one.thinking:
            continue
        found.append(Case(one.image, one.task, wording, one.answer, one.thinking))
    return found


def forced(model: ShippedModel, inputs: Inputs, reply: list[int], budget: int) -> str | None:
    """The box after `budget` tokens of thinking."""
    tokenizer = model.processor.tokenizer
    if len(reply) <= budget:
        return boxed(tokenizer.decode(reply))
    closing = tokenizer(CLOSING, add_special_tokens=False)["input_ids"]
    ids = inputs["input_ids"]
    tail = mx.array([reply[:budget] + closing], dtype=ids.dtype)
    cut = {**inputs, "input_ids": mx.concatenate([ids, tail], axis=1)}
    return boxed(tokenizer.decode(model.reply_ids(cut, max_tokens=24)))


def show_budgets(model: ShippedModel, asked: list[Case]) -> None:
    """One line per budget."""
    runs = []
    for one in asked:
        inputs = model.prompt(one.image, one.question)
        runs.append((one, inputs, model.reply_ids(inputs)))
    for budget in BUDGETS:
        right: dict[str, list[bool]] = {}
        for one, inputs, reply in runs:
            hit = forced(model, inputs, reply, budget) == one.answer
            right.setdefault(one.task, []).append(hit)
        shares = "  ".join(f"{task} {sum(hits) / len(hits):4.0%}" for task, hits in right.items())
        print(f"budget of {budget:3} tokens         {shares}  (n = {len(asked)})", flush=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="measure the tiny model where it is weaker")
    parser.add_argument("model", type=Path, nargs="?", default=Path("models/qvq-tiny"))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, default=60)
    options = parser.parse_args()
    model, seed, count = ShippedModel(options.model), options.seed, options.count
    clean = cases(seed, count, CLEAN)
    show("clean", model, clean)
    show("dark background", model, cases(seed, count, Wear(0, 0, 0, 1)))
    show("turned up to 10 degrees", model, cases(seed, count, Wear(1, 0, 0, 0)))
    show("JPEG quality 20", model, clean, jpeg(20))
    show("JPEG quality 8", model, clean, jpeg(8))
    show("scaled to 1600 px", model, clean, resized(1600))
    show("scaled to 120 px", model, clean, resized(120))
    show("3:1", model, [c for c in cases(seed, count, PLAIN, (224, 56)) if c.task != "chart"])
    show("unseen wordings", model, reworded(seed, count))
    show_budgets(model, clean)


if __name__ == "__main__":
    main()
