"""Draw the project's three example pictures: shapes.png, chart.png, sum.png (PIL only).

Law: clean, anti-aliased (drawn four times too large), fixed contents well inside the domain, so
that the documentation can quote the answers: three red circles, bar C, and 12 + 17 = 29.

    python -m tools.tiny.examples [OUT]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

from tools.tiny.scenes import PALETTE, Color, Spot, draw_shape, font

OVERSAMPLING = 4
INK: Color = (32, 32, 36)
GRID: Color = (222, 222, 226)
ROWS = (
    ("red circle", "blue star", "red circle"),
    ("green square", "yellow triangle"),
    ("red circle", "purple square"),
)
BARS = (("A", 4, "blue"), ("B", 6, "green"), ("C", 9, "orange"), ("D", 2, "purple"))


class Sheet:
    """A white picture that is drawn large and handed out small."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self._image = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), "white")
        self.pen = ImageDraw.Draw(self._image)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Color) -> None:
        """A filled rectangle."""
        self.pen.rectangle([v * OVERSAMPLING for v in (x0, y0, x1, y1)], fill=fill)

    def line(self, x0: float, y0: float, x1: float, y1: float, fill: Color, width: float) -> None:
        """A line of `width` pixels."""
        corners = [v * OVERSAMPLING for v in (x0, y0, x1, y1)]
        self.pen.line(corners, fill=fill, width=round(width * OVERSAMPLING))

    def text(self, x: float, y: float, text: str, size: int) -> None:
        """Text centred at (x, y)."""
        face = font("DejaVuSans.ttf", size * OVERSAMPLING)
        place = (x * OVERSAMPLING, y * OVERSAMPLING)
        self.pen.text(place, text, fill=INK, font=face, anchor="mm")

    def save(self, path: Path) -> None:
        """Write the picture at its final size."""
        small = self._image.resize(self.size, Image.Resampling.LANCZOS)
        small.save(path, optimize=True)


def draw_shapes(path: Path) -> None:
    """Seven shapes, three of them red circles."""
    sheet, rng = Sheet(640, 640), Random(1)
    for row, names in enumerate(ROWS):
        for column, name in enumerate(names):
            color, kind = name.split()
            x, y = 640 * (column + 0.5) / len(ROWS[0]), 640 * (row + 0.5) / len(ROWS)
            spot = Spot(x * OVERSAMPLING, y * OVERSAMPLING, 72.0 * OVERSAMPLING, row)
            draw_shape(sheet.pen, kind, spot, PALETTE[color][0], None, rng)
    sheet.save(path)


def draw_chart(path: Path) -> None:
    """Four bars; C is the tallest."""
    sheet = Sheet(640, 640)
    left, right, top, base = 48.0, 612.0, 72.0, 560.0
    step, pitch = (base - top) / 9, (right - left) / len(BARS)
    for value in range(1, 10):
        sheet.line(left, base - value * step, right, base - value * step, GRID, 2)
    for i, (label, value, color) in enumerate(BARS):
        x, y = left + (i + 0.5) * pitch, base - value * step
        sheet.box(x - pitch * 0.32, y, x + pitch * 0.32, base, PALETTE[color][0])
        sheet.text(x, base + 40, label, 54)
        sheet.text(x, y - 34, str(value), 54)
    sheet.line(left, top, left, base, INK, 4)
    sheet.line(left, base, right, base, INK, 4)
    sheet.save(path)


def draw_sum(path: Path) -> None:
    """A two-digit sum."""
    sheet = Sheet(760, 560)
    sheet.text(380, 280, "12 + 17 = ?", 112)
    sheet.save(path)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="draw the project's example pictures")
    parser.add_argument("out", type=Path, nargs="?", default=Path("examples"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    draw_shapes(out / "shapes.png")
    draw_chart(out / "chart.png")
    draw_sum(out / "sum.png")


if __name__ == "__main__":
    main()
