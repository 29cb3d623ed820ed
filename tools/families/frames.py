"""Record which frames of a video qwen-vl-utils takes, and at what size (needs qwen-vl-utils).

Law: the cases are drawn by a seeded generator; the answers are those of the functions of
qwen-vl-utils 0.0.14, called one by one: `calculate_video_frame_range`, `smart_nframes`, its spread
of indices, and `smart_resize` with the bounds of `fetch_video`. Nothing of qvq takes part.

    python -m tools.families.frames [FILE]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random
from typing import Any

import torch
from qwen_vl_utils import vision_process as reference

FILE = Path(__file__).parents[2] / "tests" / "data" / "video" / "reference.json"
RATES = (1, 10, 12.5, 23.976, 24, 25, 29.97, 30, 50, 59.94, 60, 120)
MOST_TOTAL_TOKENS = 128000 * 0.9


def taken(draw: Random) -> dict[str, Any] | None:
    """The frames of one made-up video, or None where the reference refuses it."""
    rate = draw.choice(RATES)
    frames = draw.choice((draw.randint(2, 60), draw.randint(60, 2000), draw.randint(2000, 50000)))
    span: dict[str, float] = {}
    if draw.random() < 0.4:
        begin, end = sorted(round(draw.uniform(0, frames / rate), 2) for _ in range(2))
        span = {"video_start": begin, "video_end": end}
    fps = draw.choice((2.0, 2.0, 0.5, 1.0))
    try:
        first, last, count = reference.calculate_video_frame_range(span, frames, rate)
        chosen = reference.smart_nframes({"fps": fps}, count, rate)
    except ValueError:
        return None
    indices = torch.linspace(first, last, chosen).round().long().tolist()
    return {
        "rate": rate,
        "frames": frames,
        "span": list(span.values()) or None,
        "fps": fps,
        "indices": indices,
    }


def sized(draw: Random) -> dict[str, Any] | None:
    """The size of one made-up video's frames, at the reference's own bounds."""
    height, width = draw.randint(30, 2200), draw.randint(30, 4000)
    count, factor = 2 * draw.randint(1, 384), draw.choice((28, 32))
    least = reference.VIDEO_MIN_TOKEN_NUM * factor**2
    most = reference.VIDEO_MAX_TOKEN_NUM * factor**2
    share = MOST_TOTAL_TOKENS * factor**2 / count * reference.FRAME_FACTOR
    bounds = {"min_pixels": least, "max_pixels": max(min(most, share), int(least * 1.05))}
    size = reference.smart_resize(height, width, factor=factor, **bounds)
    return {"height": height, "width": width, "count": count, "factor": factor, "size": size}


def main() -> None:
    """Record all cases."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    draw = Random(0)
    cases = {
        "taken": [case for case in (taken(draw) for _ in range(90)) if case],
        "sized": [case for case in (sized(draw) for _ in range(90)) if case],
    }
    path = parser.parse_args().file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n", encoding="utf-8")
    print({name: len(found) for name, found in cases.items()})


if __name__ == "__main__":
    main()
