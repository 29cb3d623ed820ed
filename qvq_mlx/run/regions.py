"""Cut the regions that a model asks for out of a plan's pictures.

Law: a region is at least LEAST_PX on each side and lies within the part that the model saw; it is
cut from the original, and what was cut is what is told. A region that was looked at before, one
that shows hardly more than was seen, and one over the bound is refused with a reason for people and
for the model. Nothing is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from qvq_mlx.core.errors import QvqError
from qvq_mlx.core.events import Looked
from qvq_mlx.core.image_options import Region
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.places import Box
from qvq_mlx.core.plan import Plan
from qvq_mlx.images.closer import closer

MARGIN = 0.08
"""Of a box's sides, added on each side: boxes are drawn tight."""
LEAST_PX = 28
SAME_SHARE = 0.9
"""Of two regions' union that both cover: from here on they are one."""
LEAST_ZOOM = 1.2
"""A side of what is seen is so many times as long as before, or it is no closer look."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The reason why a region is not looked at, one line."""

    reason: str


class Regions:
    """The regions of one run: those that were looked at, and how many more may be."""

    def __init__(self, plan: Plan, most: int) -> None:
        self._plan = plan
        self._most = most
        self.evidence: list[Looked] = []
        self.pictures: list[Picture] = []

    def cut(self, number: int, box: Box) -> Picture | Refused:
        """Cut what is around `box`, in pixels of the original of picture `number`, from 0."""
        picture = self._plan.pictures[number]
        if not isinstance(picture, Picture):
            return Refused("regions are cut out of pictures, and this is a video")
        if len(self.evidence) >= self._most:
            return Refused(f"{len(self.evidence)} regions were looked at, and no more may be")
        region = region_around(box, picture.seen)
        if any(_same(region, seen) for seen in self._seen(number)):
            return Refused(f"{told(region)} was looked at before")
        try:
            cut = _cut(self._plan, number, picture, region)
        except QvqError as error:
            return Refused(f"{told(region)} cannot be cut out: {error}")
        if not _is_closer(picture, cut):
            return Refused(f"{told(region)} is no closer than what was seen")
        self.pictures.append(cut)
        part = cut.seen
        self.evidence.append(
            Looked(
                picture=number,
                x1=part.x_px,
                y1=part.y_px,
                x2=part.x_px + part.width_px,
                y2=part.y_px + part.height_px,
                width_px=cut.width_px,
                height_px=cut.height_px,
                tokens=cut.tokens,
                label=box.label,
            )
        )
        return cut

    def _seen(self, number: int) -> list[Region]:
        return [
            Region(one.x1, one.y1, one.x2 - one.x1, one.y2 - one.y1)
            for one in self.evidence
            if one.picture == number
        ]


def cut_again(plan: Plan, evidence: Sequence[Looked]) -> list[Picture]:
    """The regions that were looked at; what cannot be cut out any more is left out."""
    pictures: list[Picture] = []
    for one in evidence:
        picture = plan.pictures[one.picture]
        region = Region(one.x1, one.y1, one.x2 - one.x1, one.y2 - one.y1)
        if isinstance(picture, Picture):
            with suppress(QvqError):
                pictures.append(_cut(plan, one.picture, picture, region))
    return pictures


def region_around(box: Box, within: Region) -> Region:
    """The box with a margin, at least LEAST_PX on each side, moved into what was seen."""
    x, width = _widened(box.x1, box.x2, within.x_px, within.width_px)
    y, height = _widened(box.y1, box.y2, within.y_px, within.height_px)
    return Region(x, y, width, height)


def told(region: Region) -> str:
    """`1200,300-1460,560`, with an en dash."""
    right, bottom = region.x_px + region.width_px, region.y_px + region.height_px
    return f"{region.x_px},{region.y_px}\u2013{right},{bottom}"


def _cut(plan: Plan, number: int, picture: Picture, region: Region) -> Picture:
    """Raises an InputError."""
    kept = {attachment.sha256: attachment.data for attachment in plan.attachments}
    limits, seen = plan.resolved.card.vision, number
    for source in plan.sources:
        if seen < source.pictures:
            place, background = source.path or source.name, source.options.background
            return closer(place, picture, region, limits, background, kept.get)
        seen -= source.pictures
    raise AssertionError("every picture has a source")


def _widened(first: int, last: int, begin: int, length: int) -> tuple[int, int]:
    """Begin and length of a side with its margin."""
    side = last - first
    pad = max(round(side * MARGIN), -(-(LEAST_PX - side) // 2))
    low, high = first - pad, last + pad
    size = min(high - low, length)
    low = min(max(low, begin), begin + length - size)
    high = min(max(high, low + min(size, LEAST_PX)), begin + length)
    return low, high - low


def _same(one: Region, other: Region) -> bool:
    across = _shared(one.x_px, one.width_px, other.x_px, other.width_px)
    down = _shared(one.y_px, one.height_px, other.y_px, other.height_px)
    both = across * down
    areas = one.width_px * one.height_px + other.width_px * other.height_px
    return both >= SAME_SHARE * (areas - both)


def _shared(first: int, length: int, other: int, others: int) -> int:
    return max(0, min(first + length, other + others) - max(first, other))


def _is_closer(picture: Picture, cut: Picture) -> bool:
    """True if the region is shown larger than it was in the picture."""
    before = picture.width_px / picture.seen.width_px
    return cut.width_px / cut.seen.width_px >= LEAST_ZOOM * before
