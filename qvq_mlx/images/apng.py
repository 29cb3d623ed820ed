"""The frames of an animated PNG, drawn on one canvas.

Law: the canvas has alpha, whatever the picture has: what is cleared shows nothing, and a frame that
lies over another one is composed with it. PIL, which decodes each frame alone here, clears to black
and mixes the two alphas. Source: PNG 3, sections 11.3.6 and 13.9.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from struct import pack, unpack_from
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from PIL.Image import Image

_SIGNATURE_BYTES, _HEAD_BYTES = 8, 33
_CLEARED, _PUT_BACK = 1, 2
_OVER = 1
_GRAY_KINDS = (0, 4)


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame: what its fcTL says, and the pieces of its samples."""

    control: bytes
    samples: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of a file: chunks that all frames share, such as a palette, and the frames.

    `has_other`: a picture before them is none of the animation.
    """

    shared: bytes
    frames: list[_Frame]
    has_other: bool


def picture(data: bytes, index: int) -> Image | None:
    """Compose what PIL's frame `index` shows; None for the first, which PIL shows right.

    None too for a gray picture of 16 bits or with a profile. Raises what PIL raises for a frame
    that is damaged, ValueError for one outside of the picture, and EOFError where there is none.
    """
    depth, kind = data[24], data[25]
    if not index or (kind in _GRAY_KINDS and (depth == 16 or b"iCCP" in data[:4096])):
        return None
    parts = _parts(data)
    if not parts.frames:
        return None
    from PIL import Image

    width, height = unpack_from(">II", data, 16)
    canvas = Image.new("RGBA", (width, height))
    profile = None
    last = index - parts.has_other
    if not 0 <= last < len(parts.frames):
        raise EOFError(f"there is no frame {index + 1}")
    for number, frame in enumerate(parts.frames[: last + 1]):
        _, across, down, left, top, _, _, disposal, blend = unpack_from(">5I2H2B", frame.control)
        box = (left, top, left + across, top + down)
        if box[2] > width or box[3] > height:
            raise ValueError("a frame lies outside of the picture")
        alone = _alone(data, parts.shared, frame, across, down)
        profile = alone.info.get("icc_profile")
        before = canvas.crop(box) if disposal == _PUT_BACK and number else None
        if blend == _OVER:
            canvas.alpha_composite(alone.convert("RGBA"), (left, top))
        else:
            canvas.paste(alone.convert("RGBA"), (left, top))
        if number == last:
            break
        if before is not None:
            canvas.paste(before, box)
        elif disposal in (_CLEARED, _PUT_BACK):
            canvas.paste((0, 0, 0, 0), box)
    is_opaque = canvas.getchannel("A").getextrema() == (255, 255)
    shown = canvas.convert("RGB") if is_opaque else canvas
    if profile:
        shown.info["icc_profile"] = profile
    return shown


def _alone(data: bytes, shared: bytes, frame: _Frame, width: int, height: int) -> Image:
    """A frame as a picture of its own, with what PIL leaves out."""
    from PIL import Image

    from qvq_mlx.images.png import completed

    header = pack(">II", width, height) + data[24:29]
    whole = data[:_SIGNATURE_BYTES] + _chunk(b"IHDR", header) + shared
    whole += _chunk(b"IDAT", b"".join(frame.samples)) + _chunk(b"IEND", b"")
    image = Image.open(BytesIO(whole), formats=("PNG",))
    image.load()
    return completed(image, whole)


def _parts(data: bytes) -> _Parts:
    """The chunks, by what they are for."""
    shared: list[bytes] = []
    frames: list[_Frame] = []
    has_other = is_animated = has_samples = False
    for name, content in _chunks(data):
        match name:
            case b"acTL":
                is_animated = True
            case b"fcTL":
                frames.append(_Frame(content.ljust(26, b"\0")))
            case b"IDAT":
                has_samples = True
                if frames:
                    frames[-1].samples.append(content)
                has_other = not frames
            case b"fdAT":
                if frames:
                    frames[-1].samples.append(content[4:])
            case _:
                if not has_samples:
                    shared.append(_chunk(name, content))
    return _Parts(b"".join(shared), frames if is_animated else [], has_other)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The name and content of each chunk between the header and the end."""
    at = _HEAD_BYTES
    while at + 8 <= len(data):
        length, name = unpack_from(">I4s", data, at)
        if name == b"IEND":
            return
        yield name, data[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(name: bytes, content: bytes) -> bytes:
    return pack(">I", len(content)) + name + content + pack(">I", crc32(name + content))
