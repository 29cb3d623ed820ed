"""A picture that the embedded model can read, drawn here: there is no file to lose."""

from __future__ import annotations

from io import BytesIO

RED_CIRCLES = 2
"""In the picture of `shapes`."""

_SIDE_PX = 280
_OVERSAMPLING = 4
_RED, _BLUE, _GREEN = (222, 40, 40), (40, 80, 220), (34, 160, 60)


def shapes() -> bytes:
    """A PNG of 280 x 280 pixels: a red circle and a blue square above a green triangle and a red
    circle, on white. Drawn four times too large, so that edges are smooth.
    """
    from PIL import Image, ImageDraw

    half = _SIDE_PX * _OVERSAMPLING // 2
    near, far, radius = half // 2, half + half // 2, half // 4
    image = Image.new("RGB", (2 * half, 2 * half), "white")
    pen = ImageDraw.Draw(image)
    pen.ellipse(_around(near, near, radius), fill=_RED)
    pen.rectangle(_around(far, near, radius), fill=_BLUE)
    corners = [(near, far - radius), (near + radius, far + radius), (near - radius, far + radius)]
    pen.polygon(corners, fill=_GREEN)
    pen.ellipse(_around(far, far, radius), fill=_RED)
    out = BytesIO()
    image.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS).save(out, "PNG")
    return out.getvalue()


def _around(x: int, y: int, radius: int) -> tuple[int, int, int, int]:
    return x - radius, y - radius, x + radius, y + radius
