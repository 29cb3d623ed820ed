"""Damaged, not supported, no picture: told apart, and what is sound is read."""

from __future__ import annotations

import io
import stat
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import ImageUnreadableError
from qvq_mlx.core.image_options import ImageOptions, parse_pages
from qvq_mlx.core.picture import Picture
from qvq_mlx.images import containers
from tests.support import pdfs
from tests.support.corpus import encoded, of, scene
from tests.support.spelling import hint_of

EXACT = VisionLimits(factor_px=1, min_pixels=1, max_pixels=2**40)
PLAIN = ImageOptions()


def read(data: bytes, path: str | None = "", options: ImageOptions = PLAIN) -> Picture:
    """`path` is where programs are looked for: nowhere."""
    sources = images.ImageSources(io.BytesIO(data), path)
    picture = images.read("-", EXACT, sources, options)[0]
    assert isinstance(picture, Picture)
    return picture


def refusal(data: bytes, path: str | None = "") -> ImageUnreadableError:
    with pytest.raises(ImageUnreadableError) as caught:
        read(data, path)
    assert "\n" not in caught.value.message
    return caught.value


def pixels(picture: Picture) -> np.ndarray:
    return np.frombuffer(picture.rgb, np.uint8).reshape(picture.height_px, picture.width_px, 3)


# ---------------------------------------------------------------- brands


def heic() -> bytes:
    import pillow_heif

    out = io.BytesIO()
    pillow_heif.from_pillow(of(scene(64, 48))).save(out, quality=90)
    return out.getvalue()


@pytest.mark.parametrize(
    "brand", ["mif2", "miaf", "tmap", "1pic", "msf1", "heif", "MiHB", "xxxx", "geo1", "unif"]
)
@pytest.mark.parametrize("form", ["heic", "avif"])
def test_a_picture_with_another_major_brand(brand: str, form: str) -> None:
    plain = heic() if form == "heic" else encoded(of(scene(64, 48)), "AVIF")
    data = plain[:8] + brand.encode() + plain[12:]
    assert not containers.is_video(data[:512])
    assert containers.is_picture(data[:512])
    assert read(data).rgb == read(plain).rgb


@pytest.mark.parametrize("major", ["qt  ", "mp42", "isom", "M4V ", "iso5", "avc1", "3gp4"])
def test_a_film_that_names_a_still_brand_is_a_film(major: str) -> None:
    head = struct.pack(">I", 28) + b"ftyp" + major.encode() + bytes(4) + b"isommif1mp41"
    assert containers.is_video(head)
    assert not containers.is_picture(head)


# ---------------------------------------------------------------- what is whole is read


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("cut", [1, 2])
def test_a_jpeg_without_its_end_marker(progressive: bool, cut: int) -> None:
    data = encoded(of(scene(200, 150)), "JPEG", progressive=progressive)
    assert data.endswith(b"\xff\xd9")
    assert read(data[:-cut]).rgb == read(data).rgb


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_a_part_of_the_picture_is_damaged(progressive: bool) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (90, 130, 3), np.uint8)
    data = encoded(of(noise), "JPEG", progressive=progressive)
    for cut in (5, 9, 40, 400, len(data) // 2):
        assert "the JPEG is cut off or damaged" in refusal(data[:-cut]).message


def test_a_progressive_jpeg_that_ends_between_two_scans_is_damaged() -> None:
    data = encoded(of(scene(64, 48)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    tables = data.rindex(b"\xff\xc4", 0, last)  # each scan of Pillow's has a table of its own
    assert "damaged" in refusal(data[:tables]).message


def test_a_pdf_with_other_bytes_before_it() -> None:
    plain = pdfs.pdf(pdfs.RED)
    assert read(b"X-Mailer: something\n" + plain).rgb == read(plain).rgb
    assert "is text" in refusal(b"A PDF begins with %PDF-1.7, and this is none.\n").message


def test_a_pdf_without_pages_is_said_to_have_none() -> None:
    assert refusal(pdfs.pdf()).message == "-: the PDF has no pages"


def pages(*flagged: tuple[int, int, int]) -> bytes:
    """A TIFF of one page of one colour for each (NewSubfileType, width, level)."""
    made = []
    for kind, width, level in flagged:
        image = Image.new("L", (width, 8), level)
        image.encoderinfo = {"tiffinfo": {254: kind}}
        made.append(image)
    return encoded(made[0], "TIFF", save_all=True, append_images=made[1:], **made[0].encoderinfo)


@pytest.mark.parametrize(
    ("flagged", "level", "count"),
    [
        (((1, 8, 10), (0, 32, 20)), 20, 1),
        (((1, 8, 10), (1, 32, 20)), 20, 1),
        (((1, 8, 10), (0, 32, 20), (4, 32, 30)), 20, 1),
        (((2, 8, 10), (2, 32, 20)), 10, 2),
        (((1, 8, 10),), 10, 1),
    ],
)
def test_a_thumbnail_is_not_the_picture(
    flagged: tuple[tuple[int, int, int], ...], level: int, count: int
) -> None:
    picture = read(pages(*flagged))
    assert set(picture.rgb) == {level}
    assert picture.pages == count


def raw(order: str, *below: tuple[int, int, int]) -> bytes:
    """A TIFF as cameras write it: a thumbnail of level 10, and below it pictures of one colour,
    each (NewSubfileType, PhotometricInterpretation, level).
    """
    mark = b"II*\0" if order == "<" else b"MM\0*"
    body, places = b"", []
    size = 2 + 11 * 12 + 4 + 4 * len(below)
    for kind, photometric, level in below:
        at = 8 + size + len(body)
        places.append(at)
        body += directory(order, at, 32, kind, photometric) + bytes((level,)) * 32 * 8
    first = directory(order, 8, 8, 1, 1, places)
    return mark + struct.pack(order + "I", 8) + first[:size].ljust(size, b"\0") + body


def directory(
    order: str, at: int, width: int, kind: int, photometric: int, below: Sequence[int] = ()
) -> bytes:
    """A page of 8 rows of gray, whose only strip lies behind it."""
    end = at + 2 + (10 + bool(below)) * 12 + 4
    tags = [(254, 4, kind), (256, 4, width), (257, 4, 8), (258, 3, 8), (259, 3, 1)]
    tags += [(262, 3, photometric), (273, 4, 4 if below else end), (277, 3, 1), (278, 4, 8)]
    tags += [(279, 4, width * 8)]
    packed = struct.pack(order + "H", len(tags) + bool(below))
    for tag, letter, value in tags:
        field = (
            struct.pack(order + "H2x", value) if letter == 3 else struct.pack(order + "I", value)
        )
        packed += struct.pack(order + "HHI", tag, letter, 1) + field
    if below:
        place = below[0] if len(below) == 1 else end
        packed += struct.pack(order + "HHII", 330, 4, len(below), place)
    packed += bytes(4)
    return packed + (struct.pack(f"{order}{len(below)}I", *below) if len(below) > 1 else b"")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    "below", [((0, 1, 90),), ((1, 1, 30), (0, 1, 90)), ((4, 4, 0), (0, 1, 90))]
)
def test_a_picture_below_a_thumbnail_is_the_picture(
    order: str, below: tuple[tuple[int, int, int], ...]
) -> None:
    assert set(read(raw(order, *below)).rgb) == {90}


@pytest.mark.parametrize("photometric", [32803, 34892])
def test_raw_data_below_a_thumbnail_is_not_supported(photometric: int) -> None:
    error = refusal(raw("<", (1, 1, 30), (0, photometric, 90)))
    assert f"of a kind that is not supported (photometric interpretation {photometric})" in str(
        error
    )


# ---------------------------------------------------------------- what is not read is named


@pytest.mark.parametrize(
    ("data", "says", "program"),
    [
        (b"\xff\x0a\xfa\x1f", "is a JPEG XL picture", "sips"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "is a JPEG XL picture", "sips"),
        (b"\xff\x4f\xff\x51\0\x2f", "is a JPEG 2000 picture", "sips"),
        (b"8BPS\0\1", "is a Photoshop picture", "sips"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "is a camera's raw picture", "sips"),
        (b"II*\0\x10\0\0\0CR\2\0", "is a camera's raw picture", "sips"),
        (b"P6\n4 4\n255\n" + bytes(48), "is a Netpbm picture", "magick"),
        (b"gimp xcf v011\0", "is a GIMP picture", "magick"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is a PostScript document", "magick"),
        (bytes(128) + b"DICM", "is a DICOM picture", "magick"),
        (b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0", "is an icon (ICO)", "sips"),
        (b"\0\0\2\0\1\0\x10\x10\0\0\1\0\x20\0", "is a cursor (CUR)", "sips"),
        (b"\0\0\2" + bytes(9) + b"\x60\0\x40\0\x18\x20" + bytes(80), "is a Targa", "sips"),
        (b"\0\1\1\0\0\0\1\x18" + bytes(4) + b"\4\0\4\0\b\0", "is a Targa", "sips"),
        ((b"G" + bytes(187)) * 4, "is a video (MPEG transport stream)", "ffmpeg"),
        ((bytes(4) + b"G" + bytes(187)) * 4, "is a video (MPEG transport stream)", "ffmpeg"),
        (b"\0\0\0\1\x67\x64\0\x1f" + bytes(30), "is a bare stream of H.264", "ffmpeg"),
        (b"\0\0\0\1\x40\1\x0c\1" + bytes(30), "is a bare stream of H.265", "ffmpeg"),
        (b"DKIF\0\0\x20\0VP90" + bytes(30), "is a video (IVF)", "ffmpeg"),
        (b"\x1f\7\0\xbf\xf8\x78" + bytes(80), "is a video (DV)", "ffmpeg"),
        (b"FLV\x01\5\0\0\0\x09", "is a Flash video", "ffmpeg"),
        (b"OggS\0\2" + bytes(20), "is an Ogg file", "ffmpeg"),
        (b"\0\0\x01\xba\x44" + bytes(30), "is a video (MPEG program stream)", "ffmpeg"),
        (bytes(40) + b"TRUEVISION-XFILE.\0", "is a Targa", "sips"),
        (b"\x0a\5\1\b" + bytes(124), "is a PCX picture", "magick"),
        (b"\x01\xda\0\2" + bytes(508), "is a Silicon Graphics picture", "magick"),
        (b"PF\n9 6\n-1.0\n" + bytes(648), "is a Netpbm picture", "magick"),
        (b"/* XPM */\nstatic char *x[] = {", "is an XPM picture", "magick"),
        (b"#define x_width 96\n#define x_height 64\n", "is an XBM picture", "magick"),
    ],
)
def test_formats_of_others_have_a_name_and_a_command(data: bytes, says: str, program: str) -> None:
    error = refusal(data)
    assert error.message.startswith(f"-: {says}")
    assert hint_of(error).startswith(program)


@pytest.mark.parametrize(
    ("marker", "bits", "kind"),
    [(0xC3, 8, "lossless JPEG"), (0xF7, 8, "JPEG-LS"), (0xC1, 12, "12 bits per sample")],
)
def test_a_kind_of_jpeg_that_is_not_supported(marker: int, bits: int, kind: str) -> None:
    data = bytearray(encoded(of(scene(32, 32)), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = marker, bits
    error = refusal(bytes(data))
    assert error.message == f"-: is a JPEG of a kind that is not supported ({kind})"
    assert hint_of(error).startswith("magick image")


# ---------------------------------------------------------------- the system's own decoder


@pytest.fixture
def sips(tmp_path: Path) -> str:
    """A stand-in that makes the same PNG of everything: https://ss64.com/mac/sips.html."""
    (tmp_path / "made.png").write_bytes(encoded(of(scene(40, 30)), "PNG"))
    program = tmp_path / "bin" / "sips"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nfor last; do :; done\n/bin/cp {tmp_path}/made.png "$last"\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    return str(program.parent)


@pytest.mark.parametrize(
    "data",
    [b"\xff\x0a\xfa\x1f", b"8BPS\0\1", b"II*\0\xff\xff", b"\0\0\0\x18ftypheic\0\0\0\0"],
)
def test_the_systems_decoder_is_asked_before_giving_up(data: bytes, sips: str) -> None:
    refusal(data)
    assert np.array_equal(pixels(read(data, sips)), scene(40, 30))
    with pytest.raises(ImageUnreadableError):
        read(data, sips, ImageOptions(pages=parse_pages("2")))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP"])
def test_it_is_not_asked_for_the_upper_half_of_a_picture(form: str, sips: str) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (90, 130, 3), np.uint8)
    data = encoded(of(noise), form)
    assert "damaged" in refusal(data[: len(data) // 2], sips).message


def test_what_is_no_picture_is_not_handed_to_it(sips: str) -> None:
    assert "is text" in refusal(b"just some words\n", sips).message
