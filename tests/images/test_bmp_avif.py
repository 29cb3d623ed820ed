"""BMPs of masks and with profiles, and what the boxes of an AVIF say of its picture."""

from __future__ import annotations

import base64
import io
import struct

import numpy as np
import pytest

from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import ImageUnreadableError
from qvq_mlx.core.picture import Picture
from tests.support import profiles
from tests.support.corpus import converted, encoded, of, over, scene

EXACT = VisionLimits(factor_px=1, min_pixels=1, max_pixels=2**40)
WIDTH, HEIGHT = 53, 38
# made by `avifenc --clap 30,1,20,1,5,1,0,1` of a red part, 30 x 20, in a dark picture of 60 x 40;
# the second one with `--irot 1`
CROPPED = (
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAAEbbWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAA"
    "AAAAAAAAAAAGxpYmF2aWYAAAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABQwAAAFYAAAAoaWlu"
    "ZgAAAAAAAQAAABppbmZlAgAAAAABAABhdjAxQ29sb3IAAAAAk2lwcnAAAABzaXBjbwAAABRpc3BlAAAAAAAAADwAAA"
    "AoAAAAEHBpeGkAAAAAAwgICAAAAAxhdjFDgSAAAAAAABNjb2xybmNseAABAA0ABoAAAAAoY2xhcAAAAB4AAAABAAAA"
    "FAAAAAEAAAAFAAAAAQAAAAAAAAABAAAAGGlwbWEAAAAAAAAAAQABBQECgwSFAAAAXm1kYXQSAAoJOBV7nYQENBpAMk"
    "dEAADZij63Ow3hGz+z4sLgqpkyju6+P1RZQHyUu3m8kgz+IJ+X7mU3KOBZ89JrcYZaAWqf+HqEh+JXlthdxEoKcozY"
    "lVhIGA=="
)
CROPPED_AND_TURNED = (
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAAElbWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAA"
    "AAAAAAAAAAAGxpYmF2aWYAAAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABTQAAAFYAAAAoaWlu"
    "ZgAAAAAAAQAAABppbmZlAgAAAAABAABhdjAxQ29sb3IAAAAAnWlwcnAAAAB8aXBjbwAAABRpc3BlAAAAAAAAADwAAA"
    "AoAAAAEHBpeGkAAAAAAwgICAAAAAxhdjFDgSAAAAAAABNjb2xybmNseAABAA0ABoAAAAAoY2xhcAAAAB4AAAABAAAA"
    "FAAAAAEAAAAFAAAAAQAAAAAAAAABAAAACWlyb3QBAAAAGWlwbWEAAAAAAAAAAQABBgECgwSFhgAAAF5tZGF0EgAKCT"
    "gVe52EBDQaQDJHRAAA2Yo+tzsN4Rs/s+LC4KqZMo7uvj9UWUB8lLt5vJIM/iCfl+5lNyjgWfPSa3GGWgFqn/h6hIfi"
    "V5bYXcRKCnKM2JVYSBg="
)


def read(data: bytes) -> np.ndarray:
    picture = images.read("-", EXACT, images.ImageSources(io.BytesIO(data), ""))[0]
    assert isinstance(picture, Picture)
    return np.frombuffer(picture.rgb, np.uint8).reshape(picture.height_px, picture.width_px, 3)


def bmp(
    values: np.ndarray, widths: tuple[int, ...], bits: int, *, header: int = 124, down: bool = False
) -> tuple[bytes, np.ndarray]:
    """A BMP of fields of so many bits, alpha, red, green and blue, and what they are in 8 bits."""
    shifts = [sum(widths[at + 1 :]) for at in range(len(widths))]
    tops = [(1 << width) - 1 for width in widths]
    order = values[..., [3, 0, 1, 2]] if len(widths) == 4 else values[..., :3]
    levels = [np.round(order[..., at] / 255 * top).astype(np.uint32) for at, top in enumerate(tops)]
    packed = sum(level << shift for level, shift in zip(levels, shifts, strict=True))
    rows = packed if down else packed[::-1]
    body = b""
    for row in rows:
        line = row.astype(f"<u{bits // 8}").tobytes()
        body += line + bytes(-len(line) % 4)
    masks = [top << shift for top, shift in zip(tops, shifts, strict=True)]
    masks = masks[1:] + masks[:1] if len(widths) == 4 else masks
    height = -HEIGHT if down else HEIGHT
    info = struct.pack("<IiiHHIIiiII", header, WIDTH, height, 1, bits, 3, len(body), 0, 0, 0, 0)
    info += struct.pack(f"<{len(masks)}I", *masks)
    info = info.ljust(header if header > 40 else 52, b"\0")
    begin = 14 + len(info)
    shown = [np.round(level / top * 255) for level, top in zip(levels, tops, strict=True)]
    data = b"BM" + struct.pack("<IHHI", begin + len(body), 0, 0, begin) + info + body
    return data, np.stack(shown, axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("widths", "bits"),
    [
        *(((1, 5, 5, 5), 16), ((4, 4, 4, 4), 16), ((4, 4, 4), 16), ((5, 6, 5), 16)),
        *(((2, 10, 10, 10), 32), ((10, 10, 10), 32), ((8, 8, 8, 8), 32), ((8, 8, 8), 32)),
        *(((5, 5, 5), 16), ((3, 3, 2), 16)),
    ],
)
@pytest.mark.parametrize("down", [False, True])
def test_fields_of_any_width(widths: tuple[int, ...], bits: int, down: bool) -> None:
    values = scene(WIDTH, HEIGHT, 4)
    data, shown = bmp(values, widths, bits, down=down)
    expected = over(shown[..., 1:], shown[..., 0]) if len(widths) == 4 else shown
    assert np.abs(read(data).astype(int) - expected).max() <= (len(widths) == 4)


def test_masks_behind_a_short_header() -> None:
    data, shown = bmp(scene(WIDTH, HEIGHT, 4), (4, 4, 4), 16, header=40)
    assert np.array_equal(read(data), shown)


def test_a_cut_one_is_damaged() -> None:
    data, _ = bmp(scene(WIDTH, HEIGHT, 4), (4, 4, 4), 16)
    with pytest.raises(ImageUnreadableError, match="the BMP is cut off or damaged"):
        read(data[:-50])


@pytest.mark.parametrize("fields", [False, True])
def test_the_profile_of_a_bmp(fields: bool) -> None:
    profile, colours = profiles.rgb(profiles.DISPLAY_P3), scene(WIDTH, HEIGHT, 4)
    if fields:
        data, shown = bmp(colours, (8, 8, 8), 32)
    else:
        plain, shown = encoded(of(colours[..., :3].copy()), "BMP"), colours[..., :3]
        info = struct.pack("<I", 124) + plain[18:54]
        data = plain[:10] + struct.pack("<I", 138) + info.ljust(124, b"\0") + plain[54:]
    head = bytearray(data)
    head[14 + 56 : 14 + 60] = b"DEBM"
    head[14 + 112 : 14 + 120] = struct.pack("<II", len(data) - 14, len(profile))
    expected = converted(np.ascontiguousarray(shown), "RGB", profile).astype(int)
    assert np.abs(read(bytes(head) + profile) - expected).max() <= 1


@pytest.mark.parametrize(("made", "size"), [(CROPPED, (30, 20)), (CROPPED_AND_TURNED, (20, 30))])
def test_an_avif_is_cut_to_its_clean_aperture(made: str, size: tuple[int, int]) -> None:
    found = read(base64.b64decode(made))
    assert found.shape[1::-1] == size
    assert np.abs(found.astype(int) - [200, 40, 60]).max() <= 2


def test_the_xmp_of_an_avif_turns_nothing() -> None:
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf'
        b'-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
        b' tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )
    assert read(encoded(of(scene(64, 40)), "AVIF", xmp=xmp)).shape == (40, 64, 3)
