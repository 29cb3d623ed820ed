"""A picture with a gain map is shown without it, and its receipt says so."""

from __future__ import annotations

import base64
import io
import struct

import pytest

from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.picture import Picture
from tests.images.test_bmp_avif import CROPPED
from tests.support.corpus import encoded, of, scene

EXACT = VisionLimits(factor_px=1, min_pixels=1, max_pixels=2**40)
ADOBE = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description'
    b' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/></rdf:RDF>'
    b"</x:xmpmeta>"
)


def read(data: bytes) -> Picture:
    picture = images.read("-", EXACT, images.ImageSources(io.BytesIO(data), ""))[0]
    assert isinstance(picture, Picture)
    return picture


def jpeg(marker: int, content: bytes) -> bytes:
    plain = encoded(of(scene(32, 32)), "JPEG")
    return plain[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + plain[2:]


def avif(kind: bytes, version: int) -> bytes:
    """The AVIF of `avifenc` with one more item, of that type."""
    data = base64.b64decode(CROPPED)
    number = struct.pack(">I" if version == 3 else ">H", 2)
    entry = bytes((version, 0, 0, 0)) + number + b"\0\0" + kind + b"map\0"
    box = struct.pack(">I", len(entry) + 8) + b"infe" + entry
    for outer in (b"meta", b"iinf"):  # each becomes longer by the new box
        at = data.index(outer) - 4
        size = int.from_bytes(data[at : at + 4], "big")
        data = data[:at] + struct.pack(">I", size + len(box)) + data[at + 4 :]
    end = data.index(b"iinf") - 4
    end += int.from_bytes(data[end : end + 4], "big") - len(box)
    place = struct.pack(">I", 0x143), struct.pack(">I", 0x143 + len(box))
    assert data.count(place[0]) == 1
    return (data[:end] + box + data[end:]).replace(*place)


@pytest.mark.parametrize(
    "data",
    [
        jpeg(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + ADOBE),
        jpeg(0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"),
        jpeg(0xE1, b"http://ns.adobe.com/xap/1.0/\0urn:com:apple:photo:2020:aux:hdrgainmap"),
        avif(b"tmap", 2),
        avif(b"tmap", 3),
    ],
)
def test_it_is_said(data: bytes) -> None:
    assert read(data).receipt.endswith(" tokens · without its HDR gain map")


@pytest.mark.parametrize("data", [jpeg(0xFE, b"hdrgm: a word of a comment"), avif(b"Exif", 2)])
def test_of_another_picture_nothing_is_said(data: bytes) -> None:
    assert read(data).receipt.endswith(" tokens")
