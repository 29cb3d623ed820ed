"""Any mode that PIL decodes, as 8-bit sRGB on an opaque background.

Law: an embedded profile is applied (LittleCMS, perceptual intent), unless it moves no colour of a
grid by more than one level of 255: then it is sRGB, and the pixels stay as they are to the bit. A
profile that is broken, or of another colour space than the pixels, is ignored. Where the pixels
are plain RGB or gray it is applied after the resize, to a tenth of the pixels or fewer; everything
else becomes sRGB first. Transparency lies on the background, in sRGB. More than 8 bits of gray are
scaled and rounded, never clipped. Work is done in strips: a picture is held twice at most.

Without a profile: RGB and gray are sRGB, CMYK is what PIL makes of it (255 - ink, less the black).

Not covered: colour that EXIF calls "Adobe RGB" without a profile; more than 8 bits of AVIF and
HEIC, which their decoders round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Ask, Field

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsTransform

Colour = tuple[int, int, int]

_STRIP_PIXELS = 2**20
_PROBES = 17
"""A side of the grid of colours that a profile is tried on."""
_PHOTOMETRIC = 262  # a TIFF's tag
_WHITE_IS_ZERO = 0


@dataclass(frozen=True, slots=True, eq=False)
class Upright:
    """A decoded picture, the right way up, opaque, mode L or RGB.

    `to_srgb` has still to be applied, after the resize; None: it is sRGB already.
    """

    image: Image
    to_srgb: ImageCmsTransform | None = None


def background_of(name: str) -> Colour:
    """A colour's name, or #rrggbb. Raises UsageError."""
    from PIL import ImageColor

    try:
        colour = ImageColor.getrgb(name)
    except ValueError:
        colour = (0, 0, 0, 0)
    if len(colour) != 3:
        raise UsageError(
            (Field.BACKGROUND, f" is {name[:40]!r}; it can be a colour's name or #rrggbb"),
            Ask(settings=((Field.BACKGROUND, "#808080"),)),
        )
    return colour


def flattened(image: Image, background: Colour) -> Upright:
    """`image`, loaded, of any mode, as an opaque picture of mode L or RGB."""
    if image.mode.startswith("I;16"):
        return Upright(_eight_bit(image), _transform(image, "L"))
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode[:-1] + "A")
    if image.has_transparency_data:
        return Upright(_opaque(image, background))
    match image.mode:
        case "CMYK":
            transform = _transform(image, "CMYK")
            return Upright(in_strips(image, "RGB", _through(transform)))
        case "LAB":
            return Upright(in_strips(image, "RGB", _through(_from_lab())))
        case "1" | "L" | "LA":
            gray = image if image.mode == "L" else image.convert("L")
            return Upright(gray, _transform(image, "L"))
        case _:
            colour = image if image.mode == "RGB" else in_strips(image, "RGB", _as_rgb)
            return Upright(colour, _transform(image, "RGB"))


def in_strips(image: Image, mode: str, change: Callable[[Image], Image]) -> Image:
    """`change` applied to every pixel, some rows at a time."""
    from PIL import Image as Pil

    out = Pil.new(mode, image.size)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        out.paste(change(image.crop((0, top, image.width, bottom))), (0, top))
    return out


def applied(image: Image, transform: ImageCmsTransform | None) -> Image:
    """`image` as RGB in sRGB."""
    if transform is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None, "applyTransform answers None in place only"
    return converted


def _as_rgb(strip: Image) -> Image:
    return strip.convert("RGB")


def _through(transform: ImageCmsTransform | None) -> Callable[[Image], Image]:
    return lambda strip: applied(strip, transform)


def _opaque(image: Image, background: Colour) -> Image:
    """Mode RGB; what is transparent lies on `background`."""
    from PIL import Image as Pil

    is_gray = image.mode in ("1", "L", "LA")
    transform = _transform(image, "L" if is_gray else "RGB")

    def laid(strip: Image) -> Image:
        layer = strip.convert("RGBA")
        if transform is not None:
            plain = strip.convert("LA").getchannel("L") if is_gray else layer.convert("RGB")
            alpha = layer.getchannel("A")
            layer = applied(plain, transform).convert("RGBA")
            layer.putalpha(alpha)
        under = Pil.new("RGBA", layer.size, background)
        return Pil.alpha_composite(under, layer).convert("RGB")

    return in_strips(image, "RGB", laid)


def _eight_bit(image: Image) -> Image:
    """Modes I;16* as L: [0, 65535] becomes [0, 255], rounded."""
    scale, offset = 1 / 257, 0.5
    tags: dict[int, object] = getattr(image, "tag_v2", {})
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        scale, offset = -scale, 256 - offset
    line = _line(scale, offset)
    return in_strips(image, "L", lambda strip: _wide(strip).point(line).convert("L"))


def _line(scale: float, offset: float) -> Callable[[float], float]:
    return lambda value: value * scale + offset


def _wide(strip: Image) -> Image:
    return strip.convert("I").convert("F")


def _transform(image: Image, mode: str) -> ImageCmsTransform | None:
    """From the picture's own colours, given as `mode`, to sRGB; None where they are sRGB."""
    from PIL import ImageCms

    data = image.info.get("icc_profile")
    if not isinstance(data, bytes) or not data:
        return None
    try:
        own = ImageCms.ImageCmsProfile(BytesIO(data))
        if own.profile.xcolor_space.strip() != {"L": "GRAY"}.get(mode, mode):
            return None
        intent = ImageCms.Intent.PERCEPTUAL
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(own, srgb, mode, "RGB", intent)
        return transform if _moves(transform, mode) else None
    except Exception:  # a broken profile raises whatever its reader stumbles over
        return None


def _moves(transform: ImageCmsTransform, mode: str) -> bool:
    """True if any colour of the grid comes out more than one level away."""
    from PIL import Image as Pil
    from PIL import ImageChops

    if mode == "CMYK":
        return True
    if mode == "L":
        grid = Pil.frombytes("L", (256, 1), bytes(range(256)))
    else:
        levels = [round(255 * step / (_PROBES - 1)) for step in range(_PROBES)]
        colours = bytes(c for r in levels for g in levels for b in levels for c in (r, g, b))
        grid = Pil.frombytes("RGB", (_PROBES**2, _PROBES), colours)
    difference = ImageChops.difference(applied(grid, transform), grid.convert("RGB"))
    return max(difference.tobytes()) > 1


def _from_lab() -> ImageCmsTransform:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
