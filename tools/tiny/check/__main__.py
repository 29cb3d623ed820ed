"""Ask models the check's questions and print the share of right answers per kind.

Law: greedy, through mlx-vlm. A page is asked three times: alone, with the true region as a second
picture, and with the region that the model itself names when it is asked to locate what it needs
(labelled `Picture 1: `, `Picture 2: `, as our engine labels several pictures of a message).

    python -m tools.tiny.check [MODEL ...] [--seed 1] [--count 400] [--misses 0]
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from pathlib import Path

from PIL import Image

from tools.tiny.check.cases import Case, cases, judged, overlap
from tools.tiny.check.drawing import Box
from tools.tiny.model import ShippedModel, boxed

LOCATING = "Locate the part of the picture that is needed to answer: {question}"
CORNERS = re.compile(r"\((\d+),(\d+)\),\((\d+),(\d+)\)")
MARGIN = 0.08  # of the region, on every side
IOU = 0.7
Table = dict[str, list[bool]]


def pointed(reply: str, image: Image.Image) -> Box | None:
    """The first box of a reply, in pixels of the picture."""
    found = CORNERS.search(reply)
    if found is None:
        return None
    x1, y1, x2, y2 = map(int, found.groups())
    width, height = image.size
    box = (min(x1, x2), min(y1, y2), max(x1, x2, 1), max(y1, y2, 1))
    return (
        *(box[0] * width // 1000, box[1] * height // 1000),
        *(box[2] * width // 1000, box[3] * height // 1000),
    )


def widened(box: Box, image: Image.Image) -> Box:
    """The box with a margin, within the picture."""
    pad_x, pad_y = round((box[2] - box[0]) * MARGIN), round((box[3] - box[1]) * MARGIN)
    left, top = max(0, box[0] - pad_x), max(0, box[1] - pad_y)
    right, bottom = min(image.width, box[2] + pad_x), min(image.height, box[3] + pad_y)
    return (left, top, max(left + 28, right), max(top + 28, bottom))


def with_region(model: ShippedModel, case: Case, box: Box | None) -> bool:
    """Whether page and region together are answered rightly."""
    if box is None:
        return False
    region = case.image.crop(widened(box, case.image))
    return judged(case, boxed(model.reply([case.image, region], case.question)))


def page(model: ShippedModel, case: Case, table: Table) -> bool:
    """Fill the rows of a page; returns whether it was right with the model's own region."""
    table["pages, alone"].append(judged(case, boxed(model.answer(case.image, case.question))))
    table["pages, true region"].append(with_region(model, case, case.box))
    located = model.answer(case.image, LOCATING.format(question=case.question))
    right = with_region(model, case, pointed(located, case.image))
    table["pages, own region"].append(right)
    return right


def measure(folder: Path, asked: list[Case], misses: int) -> Table:
    """Shares by kind; prints the first misses."""
    model = ShippedModel(folder)
    table: Table = defaultdict(list)
    for case in asked:
        if case.kind == "pages":
            page(model, case, table)
            continue
        reply = model.answer(case.image, case.question)
        if case.kind == "boxes" and case.box:
            box = pointed(reply, case.image)
            right = box is not None and overlap(box, case.box) >= IOU
        else:
            right = judged(case, boxed(reply))
        table[case.kind].append(right)
        if not right and misses > 0:
            misses -= 1
            print(f"- {case.kind} {case.question!r} is {sorted(case.answers) or case.box}")
            print(f"  said {reply!r}")
    return table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="measure on pictures and wordings of another hand")
    parser.add_argument("models", type=Path, nargs="*", default=[Path("models/qvq-tiny")])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--misses", type=int, default=0, help="print so many wrong replies")
    options = parser.parse_args()
    asked = cases(options.seed, options.count)
    print(f"seed {options.seed}, {options.count} pictures")
    for folder in options.models:
        print(folder, flush=True)
        for kind, right in measure(folder, asked, options.misses).items():
            share = sum(right) / len(right)
            print(f"  {kind:20} {share:6.1%}  ({sum(right)}/{len(right)})", flush=True)


if __name__ == "__main__":
    main()
