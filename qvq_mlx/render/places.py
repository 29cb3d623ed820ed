"""List the places that an answer points at, as lines below it."""

from __future__ import annotations

from collections.abc import Sequence

from qvq_mlx.core.env import Env
from qvq_mlx.core.places import PointedImage
from qvq_mlx.core.remedies import Field, Message
from qvq_mlx.render.clean import clean_line, writable

_LISTED = 20


def listed(pointing: Sequence[PointedImage]) -> list[Message]:
    """Places and problems as lines for people; none where nothing is pointed at."""
    lines: list[Message] = []
    for image in pointing:
        if not (image.count or image.problems):
            continue
        page = f", page {image.page}" if image.page is not None else ""
        lines.append(f"in {image.path}{page}, {image.width_px}×{image.height_px} px:")
        places = [
            *((box.label, f"({box.x1},{box.y1})-({box.x2},{box.y2})") for box in image.boxes),
            *((point.label, f"({point.x},{point.y})") for point in image.points),
        ]
        lines += [f"  {label or '-'}  {place}" for label, place in places[:_LISTED]]
        if len(places) > _LISTED:
            more = f"  and {len(places) - _LISTED:,} more: "
            lines.append((more, Field.BOXES, " gives them all"))
        lines += [f"  note: {problem.text}" for problem in image.problems[:_LISTED]]
        if len(image.problems) > _LISTED:
            lines.append(f"  and {len(image.problems) - _LISTED:,} more notes")
    return lines


def say(env: Env, lines: Sequence[str]) -> None:
    """Lines below the answer, cleaned."""
    for line in lines:
        env.stdout.write(writable(clean_line(line), env.stdout) + "\n")
    env.stdout.flush()
