"""A picture, ready for the vision encoder, and the line that says what was read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath

from qvq_mlx.core.image_options import Region

SHRUNK_A_LOT = 4.0
"""Pixels of the original for one that the model sees: each side is half as long."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded and resized image. `name` is the path as the user gave it.

    `rgb` holds `height_px * width_px * 3` bytes in row order, sRGB, 8 bit. `source_*` is the size
    after the EXIF orientation was applied, before crop and resize. `sha256` is of the file's
    bytes. `page` is counted from 1, None where the file holds one picture; `crop` is the part of
    the source that `rgb` shows, None for all of it. `pages` is how many the file holds;
    `has_gain_map`: it also holds what a screen of high dynamic range multiplies the picture with.
    """

    name: str
    source_width_px: int
    source_height_px: int
    width_px: int
    height_px: int
    tokens: int
    sha256: str
    rgb: bytes = field(repr=False)
    page: int | None = None
    crop: Region | None = None
    pages: int = 1
    has_gain_map: bool = False

    @property
    def seen(self) -> Region:
        """The part of the original that `rgb` shows."""
        return self.crop or Region(0, 0, self.source_width_px, self.source_height_px)

    @property
    def shrunk_a_lot(self) -> bool:
        """True if a pixel that the model sees stands for SHRUNK_A_LOT of the original's."""
        seen = self.seen
        shown = max(1, self.width_px * self.height_px)
        return seen.width_px * seen.height_px >= SHRUNK_A_LOT * shown

    @property
    def receipt(self) -> str:
        """`cat.png 5712×4284 → 1148×868 · 1,271 tokens`; behind the size, the part that is shown:
        `[800×600 at 10,20]`. What was left out comes last: ` · without its HDR gain map`.
        """
        size = f"{self.source_width_px}×{self.source_height_px}"
        if self.crop is not None:
            size += f" [{self.crop.width_px}×{self.crop.height_px}"
            size += f" at {self.crop.x_px},{self.crop.y_px}]"
        return (
            f"{PurePath(self.name).name} {size}"
            f" → {self.width_px}×{self.height_px} · {self.tokens:,} tokens"
            + " · without its HDR gain map"
            * self.has_gain_map
        )
