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


# made by `avifenc -l --cicp 9/16/0` (PQ) and `9/18/0` (HLG) of patches of 8 x 8 in these levels;
# avifdec gives the levels back
LEVELS = (0, 64, 110, 148, 180)
PQ, HLG = (
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADybWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAA"
    "AAAAAAAAAAAGxpYmF2aWYAAAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABGgAAAFYAAAAoaWlu"
    "ZgAAAAAAAQAAABppbmZlAgAAAAABAABhdjAxQ29sb3IAAAAAamlwcnAAAABLaXBjbwAAABRpc3BlAAAAAAAAADAAAA"
    "AIAAAAEHBpeGkAAAAAAwgICAAAAAxhdjFDgSAAAAAAABNjb2xybmNseAAJAB" + numbers
    for numbers in (
        (
            "AAAIAAAAAXaXBtYQAAAAAAAAABAAEEAQKDBAAAAF5tZGF0EgAKCDgUr+whIgASMkgQAADlsuy5ISQsCJp+6+V5T7"
            "VM/62uCbOuXr/9PrpGrLswOFAxkwSQ07xMXJ0jS/51zwpGeFY0CDEERhwMpb4blD2+rJHTe7Q="
        ),
        (
            "IAAIAAAAAXaXBtYQAAAAAAAAABAAEEAQKDBAAAAF5tZGF0EgAKCDgUr+whIkASMkgQAADlsuy5ISQsCJp+6+V5T7"
            "VM/62uCbOuXr/9PrpGrLswOFAxkwSQ07xMXJ0jS/51zwpGeFY0CDEERhwMpb4blD2+rJHTe7Q="
        ),
    )
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


def test_the_short_header_of_os2_and_sixteen_bits() -> None:
    """Its sizes have 16 bits each, so what stands behind them is none of theirs."""
    data, shown = bmp(scene(WIDTH, HEIGHT, 4), (5, 5, 5), 16)
    begin = int.from_bytes(data[10:14], "little")
    core = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 16)
    head = b"BM" + struct.pack("<IHHI", 26 + len(data) - begin, 0, 0, 26)
    found = read(head + core + data[begin:])
    assert np.abs(found.astype(int) - shown).max() <= 8  # the lowest bits are filled otherwise


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


def pq_nits(level: int) -> float:
    """SMPTE ST 2084: the light of a level of 255."""
    root = (level / 255) ** (1 / 78.84375)
    return 10000 * (max(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578)


def srgb(linear: float) -> float:
    return 255 * (12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055)


def test_an_avif_of_pq_is_toned_down_to_srgb() -> None:
    """Up to three quarters of diffuse white, 203 cd/m², it is that light; above it rises."""
    found = read(base64.b64decode(PQ))[4, 4::8].astype(int)
    gray = found[: len(LEVELS), 0]
    dark = [at for at, level in enumerate(LEVELS) if pq_nits(level) < 0.75 * 203]
    assert len(dark) >= 3
    assert all(abs(gray[at] - srgb(pq_nits(LEVELS[at]) / 203)) <= 1 for at in dark)
    assert (np.diff(gray) > 0).all()
    assert np.ptp(found[: len(LEVELS)], axis=1).max() <= 1  # what was gray is gray


def test_an_avif_of_hlg_is_toned_down_to_srgb() -> None:
    """BT.2100: the scene's light to a display of 1,000 cd/m² with a gamma of 1.2."""
    gray = read(base64.b64decode(HLG))[4, 4 : 8 * len(LEVELS) : 8, 0].astype(int)
    shown = [1000 * ((level / 255) ** 2 / 3) ** 1.2 / 203 for level in LEVELS[:3]]
    assert all(abs(one - srgb(light)) <= 1 for one, light in zip(gray, shown, strict=False))
    assert (np.diff(gray) > 0).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_heic_of_pq_is_as_the_avif(mode: str) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    patches = np.repeat(np.repeat(np.array(LEVELS, np.uint8)[None, :, None], 3, axis=2), 64, axis=1)
    values = np.repeat(patches, 64, axis=0)
    if mode == "RGBA":
        values = np.concatenate([values, np.full((*values.shape[:2], 1), 255, np.uint8)], axis=2)
    heif = pillow_heif.from_pillow(of(np.ascontiguousarray(values), mode))
    out = io.BytesIO()
    heif.save(out, quality=100, color_primaries=9, transfer_characteristics=16, full_range_flag=1)
    gray = read(out.getvalue())[32, 32::64, 0].astype(int)
    assert abs(gray[1] - srgb(pq_nits(LEVELS[1]) / 203)) <= 3
    assert abs(gray[2] - srgb(pq_nits(LEVELS[2]) / 203)) <= 3
    assert (np.diff(gray) > 0).all()
