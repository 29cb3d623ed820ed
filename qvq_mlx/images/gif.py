"""The frames of a GIF, drawn on one canvas as browsers do.

Law: nothing is seen where no frame has drawn: the background colour of the file is not used. A
frame's disposal is done before the next one is drawn: 2 clears its place, 3 (and 4, as old
encoders call it) puts back what was there. The canvas is the file's screen, or the first frame
where that goes beyond it; what a later frame draws outside is cut off. PIL, which decodes the codes
of each frame alone, fills with the background colour and lets each frame enlarge the canvas.

Source: GIF89a, sections 18 to 26.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from struct import pack, unpack_from
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_HEAD_BYTES, _DESCRIPTOR_BYTES = 13, 10
_CONTROL = b"!\xf9\x04"
_CLEARED, _PUT_BACK = (2,), (3, 4)
_INTERLACED = 0x40


@dataclass(frozen=True, slots=True)
class GifFrame:
    """One picture of a GIF: its place on the screen in px, its colours, and its codes, which begin
    and end in the file there. `clear`: the number that is not drawn, None where each is.
    """

    left_px: int
    top_px: int
    width_px: int
    height_px: int
    disposal: int
    clear: int | None
    table: bytes
    is_interlaced: bool
    begin: int
    end: int

    @property
    def right_px(self) -> int:
        """The first column behind it."""
        return self.left_px + self.width_px

    @property
    def bottom_px(self) -> int:
        """The first row below it."""
        return self.top_px + self.height_px


def frames_of(data: bytes) -> Iterator[GifFrame]:
    """The frames in their order. Nothing is decoded."""
    table_bytes = _table_bytes(data[10:11])
    screen_table = data[_HEAD_BYTES : _HEAD_BYTES + table_bytes]
    at = _HEAD_BYTES + table_bytes
    control = b""
    while True:
        match data[at : at + 1]:
            case b"!":  # an extension: its label, then sub-blocks
                if data.startswith(_CONTROL, at):
                    control = data[at + 3 : at + 7]
                elif data[at + 1 : at + 2] == b"\x01":  # text is a picture too, and shown by nobody
                    control = b""
                at = _behind_blocks(data, at + 2)
            case b",":
                place = data[at + 1 : at + _DESCRIPTOR_BYTES].ljust(_DESCRIPTOR_BYTES - 1, b"\0")
                own_bytes = _table_bytes(place[8:9])
                at += _DESCRIPTOR_BYTES
                own_table = data[at : at + own_bytes]
                begin = at + own_bytes
                at = _behind_blocks(data, begin + 1)
                left, top, width, height = unpack_from("<4H", place)
                flags, clear = (control[0], control[3]) if len(control) == 4 else (0, 0)
                yield GifFrame(
                    left,
                    top,
                    width,
                    height,
                    disposal=flags >> 2 & 7,
                    clear=clear if flags & 1 else None,
                    table=own_table or screen_table,
                    is_interlaced=bool(place[8] & _INTERLACED),
                    begin=begin,
                    end=at,
                )
                control = b""
            case b"" | b";":
                return
            case _:  # PIL skips what it does not know
                at += 1


def canvas_px(data: bytes, first: GifFrame) -> tuple[int, int]:
    """Width and height of what is shown."""
    width, height = unpack_from("<2H", data, 6)
    if first.right_px > width or first.bottom_px > height:
        return max(width, first.right_px), max(height, first.bottom_px)
    return width, height


def picture(data: bytes, index: int) -> Image | None:
    """Compose what frame `index`, counted from 0, shows; None where PIL shows the same.

    Raises what PIL raises for codes that are damaged, and EOFError where there is no such frame.
    """
    import numpy as np
    from PIL import Image

    first = next(frames_of(data), None)
    if first is None:
        return None
    width, height = canvas_px(data, first)
    if not index and (first.width_px, first.height_px) == (width, height):
        return None
    canvas = np.zeros((height, width, 4), np.uint8)
    shown = False
    for number, frame in enumerate(islice(frames_of(data), index + 1)):
        place = canvas[frame.top_px : frame.bottom_px, frame.left_px : frame.right_px]
        before = place.copy() if frame.disposal in _PUT_BACK else None
        colours = _colours(data, frame)[: place.shape[0], : place.shape[1]]
        np.copyto(place, colours, where=colours[..., 3:] > 0)
        shown = number == index
        if shown:
            break
        if before is not None:
            place[:] = before
        elif frame.disposal in _CLEARED:
            place[:] = 0
    if not shown:
        raise EOFError(f"there is no frame {index + 1}")
    image = Image.fromarray(canvas)
    return image if canvas[..., 3].min() < 255 else image.convert("RGB")


def _colours(data: bytes, frame: GifFrame) -> NDArray[np.uint8]:
    """The pixels of a frame alone, in red, green, blue and alpha."""
    import numpy as np
    from PIL import Image

    depth = max(1, (len(frame.table) // 3 - 1).bit_length())
    packed = 0x80 | depth - 1 if frame.table else 0
    size = pack("<2H", frame.width_px, frame.height_px)
    alone = b"GIF89a" + size + bytes((packed, 0, 0)) + frame.table
    alone += b",\0\0\0\0" + size + bytes((_INTERLACED * frame.is_interlaced,))
    alone += data[frame.begin : frame.end] + b";"
    with Image.open(BytesIO(alone), formats=("GIF",)) as image:
        numbers = np.array(image)
    table = np.zeros((256, 4), np.uint8)
    table[:, 3] = 255
    table[:, :3] = np.arange(256)[:, np.newaxis]  # shades of gray, where there is no table
    if frame.table:
        table[:, :3] = 0
        rgb = np.frombuffer(frame.table, np.uint8, len(frame.table) // 3 * 3).reshape(-1, 3)
        table[: len(rgb), :3] = rgb
    if frame.clear is not None:
        table[frame.clear, 3] = 0
    pixels: NDArray[np.uint8] = table[numbers]  # (height, width, 4)
    return pixels


def _behind_blocks(data: bytes, at: int) -> int:
    """Where the sub-blocks end that begin at `at`."""
    while at < len(data) and data[at]:
        at += data[at] + 1
    return at + 1


def _table_bytes(packed: bytes) -> int:
    """The colour table that a packed byte announces."""
    return 3 << ((packed[0] & 7) + 1) if packed and packed[0] & 0x80 else 0
