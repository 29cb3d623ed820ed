"""Draw the 28 pictures that the tests store, with their questions (PIL and numpy only).

Law: one fixed seed; all tasks, most sizes that the processor knows, some dark or turned pictures,
no noise, so that the files stay small. Writes `NAME.png` and `cases.json`.

    python -m tools.tiny.stored [OUT]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

from PIL import Image

from tools.tiny import hub
from tools.tiny.cases import FAMILY_OF, case
from tools.tiny.pictures import BUCKET_SHARES, BUCKETS, CLEAN, Wear
from tools.tiny.replies import SYSTEM_PROMPTS

FOLDER = Path("tests/data/tiny")
COUNTS = {"count": 8, "attribute": 4, "chart": 6, "arithmetic": 7, "describe": 3}
DARK, TURNED = Wear(0.0, 0.0, 0.0, 1.0), Wear(1.0, 0.0, 0.0, 0.0)


def small_palette(image: Image.Image) -> Image.Image:
    """At most 64 colours and 420 pixels a side: a file of a few kilobytes."""
    image = image.copy()
    image.thumbnail((420, 420), Image.Resampling.LANCZOS)
    return image.quantize(64, dither=Image.Dither.NONE)


def draw(out: Path) -> None:
    """Write the pictures and `cases.json`."""
    out.mkdir(parents=True, exist_ok=True)
    rng = Random("stored pictures 1")
    rows: list[dict[str, str | None]] = []
    for task, count in COUNTS.items():
        shares = BUCKET_SHARES[FAMILY_OF[task]]
        buckets = [b for b, share in zip(BUCKETS, shares, strict=True) if share >= 0.02]
        for i in range(count):
            wear = DARK if i % 5 == 3 else TURNED if i % 5 == 4 else CLEAN
            made = case(rng, task, wear, buckets[i % len(buckets)])
            name = f"{task}-{i + 1}.png"
            small_palette(made.image).save(out / name, optimize=True)
            rows.append(
                {
                    "image": name,
                    "task": task,
                    "question": made.question,
                    "system": SYSTEM_PROMPTS[1] if len(rows) % 7 == 6 else None,
                    "answer": made.answer,
                }
            )
    hub.write_json(out / "cases.json", rows)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="draw the stored test pictures")
    parser.add_argument("out", type=Path, nargs="?", default=FOLDER)
    draw(parser.parse_args().out)


if __name__ == "__main__":
    main()
