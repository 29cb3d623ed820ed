"""Bytes become a Picture, or one clear error."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shlex
import struct
import subprocess
import sys
import warnings
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import (
    ExitCode,
    ImageNotFoundError,
    ImageSizeError,
    ImageUnreadableError,
    InputError,
    NoVideoError,
)
from qvq_mlx.core.picture import Picture
from qvq_mlx.images import sources
from tests.support import seeds
from tests.support.spelling import hint_of

DEFAULT = VisionLimits()
TINY = VisionLimits(min_pixels=12544, max_pixels=19600)
EXACT = VisionLimits(min_pixels=1, max_pixels=2**40)  # multiples of 28 stay as they are


def read(data: bytes, limits: VisionLimits = EXACT) -> Picture:
    return images.read("-", limits, images.ImageSources(io.BytesIO(data)))[0]


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)  # type: ignore[arg-type]
    return out.getvalue()


def pixels(picture: Picture) -> np.ndarray:
    shape = (picture.height_px, picture.width_px, 3)
    return np.frombuffer(picture.rgb, np.uint8).reshape(shape)


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(0).integers(0, 256, (height, width, bands), np.uint8)
    return Image.frombytes(mode, (width, height), values.tobytes())


# ---------------------------------------------------------------- the reference

SIZES = [
    *((4, 9), (9, 4), (10, 10), (13, 2600), (28, 28), (42, 70), (98, 126)),
    *((112, 112), (140, 140), (333, 97), (640, 480), (1000, 1000), (1003, 1001), (3000, 1200)),
]


@pytest.mark.sampled(6)
@pytest.mark.parametrize("limits", [TINY, DEFAULT], ids=["tiny", "default"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_resize_is_that_of_mlx_vlm(width: int, height: int, limits: VisionLimits) -> None:
    from mlx_vlm.models.qwen3_vl import processing_qwen3_vl as reference

    image = noise(width, height)
    picture = read(encoded(image, "PNG", compress_level=1), limits)
    to_height, to_width = reference._smart_resize_image(
        height, width, limits.factor_px, limits.min_pixels, limits.max_pixels
    )
    chw = reference._to_numpy_image(image)
    expected = reference._resize_video_frames(chw[None, ...], to_height, to_width)[0]
    assert (picture.height_px, picture.width_px) == (to_height, to_width)
    assert picture.tokens == to_height // 28 * (to_width // 28)
    assert np.array_equal(pixels(picture), expected.transpose(1, 2, 0))


@given(st.integers(4, 16384), st.integers(4, 16384), st.sampled_from([28, 32]))
def test_smart_resize_is_that_of_mlx_vlm(height: int, width: int, factor: int) -> None:
    from mlx_vlm.models.qwen3_vl import processing_qwen3_vl as reference

    for low, high in [(12544, 19600), (3136, 1003520), (3136, 12845056)]:
        limits = VisionLimits(factor, low, high)
        if max(height, width) / min(height, width) > 200:
            with pytest.raises(ImageSizeError):
                images.smart_resize(height, width, limits)
            continue
        size = images.smart_resize(height, width, limits)
        assert size == reference._smart_resize_image(height, width, factor, low, high)
        assert all(side >= factor and side % factor == 0 for side in size)


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "TIFF", "GIF", "JPEG"])
def test_every_format_by_content(form: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (56, 28), (0, 128, 255))
    data = encoded(image, form, **({"lossless": True} if form == "WEBP" else {}))
    path = tmp_path / "named wrongly.txt"
    path.write_bytes(data)
    picture = images.read(str(path), EXACT, images.ImageSources(io.BytesIO()))[0]
    assert picture.name == str(path)
    assert (picture.source_width_px, picture.source_height_px, picture.tokens) == (56, 28, 2)
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    assert np.abs(pixels(picture).astype(int) - [0, 128, 255]).max() <= (form == "JPEG") * 2


def test_stdin_home_and_file_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    data = encoded(Image.new("RGB", (28, 28), "red"), "PNG")
    (tmp_path / "a cat.png").write_bytes(data)
    url = (tmp_path / "a cat.png").as_uri()
    for source in ("~/a cat.png", url, url.replace("file://", "FILE://localhost")):
        picture = images.read(source, EXACT, images.ImageSources(io.BytesIO()))[0]
        assert (picture.name, picture.rgb) == (source, b"\xff\0\0" * 28 * 28)
    assert read(data).name == "-"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(form: str, orientation: int) -> None:
    upright = Image.new("RGB", (56, 28), "black")
    upright.paste("white", (0, 0, 14, 14))  # the white corner is top left when it is upright
    upright.paste("red", (42, 0, 56, 14))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose: the inverse turns
    stored = upright if orientation == 1 else upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read(encoded(stored, form, exif=exif))
    assert (picture.source_width_px, picture.source_height_px) == (56, 28)
    seen = pixels(picture)
    assert seen[4, 4].min() > 240
    assert seen[4, 51, 0] > 200
    assert seen[4, 51, 1] < 60
    assert seen[24].max() < 40


def test_damaged_exif_says_nothing_about_the_pixels() -> None:
    data = encoded(Image.new("RGB", (28, 28), "red"), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert read(data).rgb == b"\xff\0\0" * 784


def transparent(mode: str) -> tuple[Image.Image, dict[str, object]]:
    if mode == "P":
        image = Image.new("P", (28, 28), 0)
        image.putpalette([0, 0, 0, 255, 0, 0])
        return image, {"transparency": 0}
    clear = {"RGBA": (0, 0, 0, 0), "LA": (0, 0), "L": 0, "RGB": (0, 0, 0), "1": 0}[mode]
    options = {} if mode.endswith("A") else {"transparency": clear}
    return Image.new(mode, (28, 28), clear), options


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB", "1"])
def test_transparency_lies_on_white(mode: str) -> None:
    image, options = transparent(mode)
    assert set(read(encoded(image, "PNG", **options)).rgb) == {255}


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF"])
def test_transparency_of_other_formats(form: str) -> None:
    image, options = transparent("P") if form == "GIF" else (Image.new("RGBA", (28, 28)), {})
    assert set(read(encoded(image, form, **options)).rgb) == {255}


def test_half_transparent_red_is_pink_and_a_palette_with_alpha_counts() -> None:
    image = Image.new("RGBA", (28, 28), (255, 0, 0, 128))
    assert pixels(read(encoded(image, "PNG")))[0, 0].tolist() == [255, 127, 127]
    palette = Image.new("P", (28, 28), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    data = encoded(palette, "PNG", transparency=b"\xff\x80")
    assert pixels(read(data))[0, 0].tolist() == [255, 127, 127]
    assert pixels(read(encoded(palette, "PNG")))[0, 0].tolist() == [255, 0, 0]


def ramp(dtype: str) -> np.ndarray:
    return np.linspace(0, 65535, 784).round().reshape(28, 28).astype(dtype)


@pytest.mark.parametrize(("form", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_sixteen_bit_gray_is_scaled_not_clipped(form: str, dtype: str) -> None:
    image = Image.frombytes("I;16" if dtype[0] == "<" else "I;16B", (28, 28), ramp(dtype).tobytes())
    expected = (ramp("f8") / 257).round()
    assert np.array_equal(pixels(read(encoded(image, form)))[..., 0], expected)


@pytest.mark.parametrize("top", [255, 65535, 1_000_000])
def test_integers_of_32_bits(top: int) -> None:
    image = Image.new("I", (28, 28), 0)
    image.paste(top, (0, 0, 14, 28))
    seen = pixels(read(encoded(image, "TIFF")))
    assert (seen[0, 0, 0], seen[0, 27, 0]) == (255, 0)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        *((0.0, 1.0, (0, 255)), (0.0, 0.5, (0, 128)), (0.0, 255.0, (0, 255)), (0.0, 0.0, (0, 0))),
        *((0.0, 128.0, (0, 128)), (-1.0, 1.0, (0, 255)), (0.0, 1e9, (0, 255))),
        (-5.0, -5.0, (0, 0)),
    ],
)
def test_floats(low: float, high: float, expected: tuple[int, int]) -> None:
    image = Image.new("F", (28, 28), low)
    image.paste(high, (0, 0, 14, 28))
    seen = pixels(read(encoded(image, "TIFF")))
    assert (seen[0, 27, 0], seen[0, 0, 0]) == expected


def test_floats_that_are_no_numbers() -> None:
    data = encoded(Image.fromarray(np.full((28, 28), np.nan, np.float32)), "TIFF")
    with pytest.raises(ImageUnreadableError, match="a pixel is not a number"):
        read(data)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_other_modes_as_the_reference_reads_them(mode: str) -> None:
    image = noise(28, 28).convert(mode)
    form = "JPEG" if mode == "YCbCr" else "TIFF"
    data = encoded(image, form)
    assert read(data).rgb == Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def test_lab() -> None:
    data = encoded(Image.new("LAB", (28, 28), (255, 128, 128)), "TIFF")
    assert min(read(data).rgb) > 240  # L = 100, a = b = 0: white


def test_the_first_frame_and_the_first_page() -> None:
    first, second = Image.new("RGB", (28, 28), "red"), Image.new("RGB", (28, 28), "blue")
    for form in ("GIF", "TIFF", "PNG", "WEBP"):
        options = {"lossless": True} if form == "WEBP" else {}
        data = encoded(first, form, save_all=True, append_images=[second], **options)
        assert read(data).rgb == b"\xff\0\0" * 784


# ---------------------------------------------------------------- what is refused


def refused(
    source: str, kind: type[InputError], stdin: bytes = b"", limits: VisionLimits = DEFAULT
) -> InputError:
    with pytest.raises(InputError) as caught:
        images.read(source, limits, images.ImageSources(io.BytesIO(stdin)))[0]
    assert type(caught.value) is kind
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith(source[:20])
    return caught.value


def put(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


PNG = encoded(noise(40, 30), "PNG")


def test_a_link_to_nowhere_is_not_said_to_be_there(tmp_path: Path) -> None:
    (tmp_path / "cat.png").symlink_to("gone.png")
    error = refused(f"{tmp_path}/cat.png", ImageNotFoundError)
    assert error.message == f"{tmp_path}/cat.png: is a link to gone.png, where no file is"
    assert hint_of(error) == f"ls -l {tmp_path}/cat.png"


def test_not_found(tmp_path: Path) -> None:
    put(tmp_path, "my cat.png", PNG)
    error = refused(f"{tmp_path}/my cta.png", ImageNotFoundError)
    assert error.message == f"{tmp_path}/my cta.png: no such file; my cat.png is there"
    assert hint_of(error) == f"qvq ask '{tmp_path}/my cat.png' \"question\""
    assert hint_of(refused(f"{tmp_path}/zebra.jpg", ImageNotFoundError)) == f"ls -l {tmp_path}"
    assert hint_of(refused(f"{tmp_path}/no/such/a.png", ImageNotFoundError)) == f"ls -l {tmp_path}"
    assert hint_of(refused(f"{tmp_path}/my cat.png/a", ImageNotFoundError)) == f"ls -l {tmp_path}"
    assert hint_of(refused("~nobody-at-all/a.png", ImageNotFoundError)) == "ls -l ."


def test_not_a_file(tmp_path: Path) -> None:
    error = refused(str(tmp_path), ImageUnreadableError)
    assert (error.message, hint_of(error)) == (
        f"{tmp_path}: is a folder, and no picture lies in it",
        f"ls -l {tmp_path}",
    )
    put(tmp_path, "b.png", PNG)
    put(tmp_path, "a.txt", b"")
    error = refused(str(tmp_path), ImageUnreadableError)
    assert hint_of(error) == f'qvq ask {tmp_path}/b.png "question"'
    os.mkfifo(tmp_path / "pipe")
    for path in (f"{tmp_path}/pipe", "/dev/null"):
        error = refused(path, ImageUnreadableError)
        assert error.message == f"{path}: is a pipe, socket or device, not a file"
        assert hint_of(error) == f'qvq ask - "question" < {path}'


def test_bad_names() -> None:
    assert "embedded null" in refused("a\0.png", ImageUnreadableError).message
    assert "too long" in refused("a" * 5000, ImageUnreadableError).message


def test_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put(tmp_path, "cat.png", PNG)

    def deny(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "open", deny)  # root may read everything
    error = refused(source, ImageUnreadableError)
    assert (error.message, hint_of(error)) == (f"{source}: permission denied", f"ls -l {source}")


def test_empty(tmp_path: Path) -> None:
    source = put(tmp_path, "cat.png", b"")
    assert refused(source, ImageUnreadableError).message == f"{source}: the file is empty (0 bytes)"
    error = refused("-", ImageUnreadableError)
    assert error.message == "-: stdin holds no bytes, or was read already"
    assert hint_of(error) == 'qvq ask - "question" < image.png'


def test_stdin_that_is_a_terminal_or_broken() -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(ImageUnreadableError, match="stdin is a terminal"):
        images.read("-", DEFAULT, images.ImageSources(Terminal()))[0]
    with pytest.raises(ImageUnreadableError, match=r"\(Input/output error\)"):
        images.read("-", DEFAULT, images.ImageSources(Broken()))[0]


def test_too_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.png"
    with path.open("wb") as file:
        file.truncate(100 * 2**30)  # a hole: nothing is written
    error = refused(str(path), ImageSizeError)
    assert error.message == f"{path}: 102,400 MiB is too large; the limit is 512 MiB"
    assert hint_of(error) == f"sips -Z 4000 {path} --out big.png"
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 2**20)
    assert "more than 1 MiB" in refused("-", ImageSizeError, bytes(2**20 + 1)).message


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixel of it."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0")
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, data, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("size", [(16384, 7169), (20000, 20000), (100_000, 100_000)])
def test_too_many_pixels_are_refused_by_the_header(size: tuple[int, int], tmp_path: Path) -> None:
    source = put(tmp_path, "bomb.png", png_header(*size))
    error = refused(source, ImageSizeError)
    assert error.message == (
        f"{source}: {size[0]}×{size[1]} pixels is too large; the limit is 117,440,512 pixels"
    )


def test_the_largest_picture_passes_the_header(tmp_path: Path) -> None:
    source = put(tmp_path, "cut.png", png_header(16384, 7168))  # above PIL's own warning
    assert "cut off or damaged" in refused(source, ImageUnreadableError).message


def test_too_small_and_too_narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "dot.png", encoded(Image.new("L", (1, 1)), "PNG"))
    error = refused("dot.png", ImageSizeError)
    assert error.message == "dot.png: 1×1 pixels: too small to show anything"
    assert hint_of(error) == "sips -g pixelWidth -g pixelHeight dot.png"
    put(tmp_path, "line.png", encoded(Image.new("L", (2010, 10)), "PNG"))
    error = refused("line.png", ImageSizeError)
    assert error.message == (
        "line.png: 2010×10 pixels is 201 to 1, and the model sees at most 200 to 1"
    )
    assert hint_of(error) == 'qvq ask --crop 0,0,2000,10 line.png "question"'
    put(tmp_path, "tall.png", encoded(Image.new("L", (4, 801)), "PNG"))
    assert hint_of(refused("tall.png", ImageSizeError)).startswith("qvq ask --crop 0,0,4,800 ")
    assert read(encoded(Image.new("L", (800, 4)), "PNG"), DEFAULT).tokens


@pytest.mark.parametrize(
    ("data", "says", "hint"),
    [
        (b"just some words\n", "is text, not a picture", "file a.png"),
        ("grün 图\n".encode()[:-2], "is text, not a picture", "file a.png"),
        (b"<!DOCTYPE html><p>404", "is a web page (HTML)", "file"),
        (b"<?xml version='1.0'?>\n<svg/>", "is an SVG drawing", "rsvg-convert -o a-2.png"),
        (b"\xef\xbb\xbf <svg></svg>", "is an SVG drawing", "rsvg-convert -o a-2.png"),
        (
            gzip.compress(b"<svg/>" * 999, mtime=0),
            "is an SVG drawing",
            "rsvg-convert -o a-2.png",
        ),  # .svgz
        (gzip.compress(b"a log", mtime=0), "is a file compressed by gzip", "gunzip -k"),
        (b"\x1f\x8b\x08garbage", "is a file compressed by gzip", "gunzip -k"),
        (b"%PDF-1.7\n", "the PDF is cut off or damaged (Failed to load document", "file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "the HEIC is cut off or damaged", "file"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "the HEIC is cut off or damaged", "file"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "the AVIF is cut off or damaged", "file"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "is a JPEG 2000 picture", "sips -s format png"),
        (b"\0\0\1\0\1\0", "is an icon (ICO)", "sips -s format png"),
        (b"PK\3\4\0\0", "is a ZIP archive", "unzip -l"),
        (b"\x93\x01\x02\x03\x04", "is no picture (5 bytes that begin with 93 01 02 03)", "file"),
        (b"\xff", "is no picture (1 bytes", "file"),
        (b"\x89PNG\r\n\x1a\n", "the PNG is cut off or damaged", "file"),
        (b"\xff\xd8\xff\xe0", "the JPEG is cut off or damaged", "file"),
    ],
)
def test_what_it_is_instead(
    data: bytes, says: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "a.png", data)
    error = refused("a.png", ImageUnreadableError)
    assert error.message.startswith(f"a.png: {says}")
    assert hint_of(error).startswith(hint)
    assert refused("-", ImageUnreadableError, data).message.startswith(f"-: {says}")


def test_the_hint_quotes_the_name_and_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "it's a cat.psd", b"8BPS\0\1")
    put(tmp_path, "-x.psd", b"8BPS\0\1")
    put(tmp_path, "clip", b"8BPS\0\1")
    words = shlex.split(hint_of(refused("it's a cat.psd", ImageUnreadableError)))
    assert words == ["sips", "-s", "format", "png", "it's a cat.psd", "--out", "it's a cat.png"]
    put(tmp_path, "it's a cat.png", PNG)
    words = shlex.split(hint_of(refused("it's a cat.psd", ImageUnreadableError)))
    assert words[-1] == "it's a cat-2.png"
    assert shlex.split(hint_of(refused("-x.psd", ImageUnreadableError)))[4] == "./-x.psd"
    assert shlex.split(hint_of(refused("./clip", ImageUnreadableError)))[4] == "./clip"


@pytest.mark.parametrize(
    ("source", "says", "hint"),
    [
        ("ftp://example.org/a?b=1&c", "files and https:// addresses", "curl -LO 'ftp://"),
        ("s3://bucket/a.png", "files and https:// addresses", 'qvq ask IMAGE "question"'),
        ("file://elsewhere/a.png", "files and https:// addresses", 'qvq ask IMAGE "question"'),
        ("file://[/a.png", "files and https:// addresses", 'qvq ask IMAGE "question"'),
    ],
)
def test_urls(source: str, says: str, hint: str) -> None:
    error = refused(source, ImageUnreadableError)
    assert says in error.message
    assert hint_of(error).startswith(hint)


def test_a_cut_jpeg_says_why() -> None:
    error = refused("-", ImageUnreadableError, encoded(noise(200, 200), "JPEG")[:5000])
    assert error.message.startswith("-: the JPEG is cut off or damaged (image file is truncated")
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


# ---------------------------------------------------------------- any bytes

_ENCODINGS: list[tuple[str, str, dict[str, object]]] = [
    ("PNG", "RGB", {}),
    ("PNG", "P", {"transparency": 0}),
    ("PNG", "RGBA", {}),
    ("JPEG", "RGB", {}),
    ("JPEG", "CMYK", {"progressive": True}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("GIF", "P", {"transparency": 0}),
    ("BMP", "RGB", {}),
    ("BMP", "P", {}),
    ("TIFF", "RGB", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"compression": "jpeg"}),
    ("TIFF", "RGBA", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", "1", {"compression": "group4"}),
    ("TIFF", "LAB", {}),
    ("TIFF", "F", {}),
]


@cache
def real(index: int) -> bytes:
    form, mode, options = _ENCODINGS[index]
    image = noise(33, 21, "LAB") if mode == "LAB" else noise(33, 21).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    if form in ("PNG", "JPEG", "WEBP"):
        options = {**options, "exif": exif}
    return encoded(image, form, **options)


def survives(data: bytes) -> bool:
    """Whether it was read; anything but an InputError fails the test, and so does a warning. Bytes
    that begin like a video are refused as one: the model takes pictures.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            picture = read(data, TINY)
        except (InputError, NoVideoError) as error:
            message = error.message
        else:
            return len(picture.rgb) == picture.height_px * picture.width_px * 3
    assert message.startswith(("-: ", "- is a video"))
    assert len(message) < 250
    assert not re.search(r"\b0x[0-9a-f]{4}", message), "an address"
    assert "\n" not in message
    return False


QUIET = settings(max_examples=150, suppress_health_check=list(HealthCheck))
FILES = st.integers(0, len(_ENCODINGS) - 1)


@pytest.mark.parametrize("index", range(len(_ENCODINGS)))
def test_every_real_file_is_read_and_no_cut_surprises(
    index: int, capfd: pytest.CaptureFixture[str]
) -> None:
    data = real(index)
    assert survives(data)
    cuts = sorted({*range(1, 40), *range(40, len(data), max(1, len(data) // 30)), len(data) - 1})
    for cut in cuts:
        survives(data[:cut])
    assert capfd.readouterr() == ("", "")


def test_no_damage_surprises(capfd: pytest.CaptureFixture[str]) -> None:
    @QUIET
    @given(FILES, st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8))
    def damaged(index: int, changes: list[tuple[int, int]]) -> None:
        data = bytearray(real(index))
        for where, value in changes:
            # half of them in the headers, where damage is most surprising
            data[where % (min(200, len(data)) if where % 2 else len(data))] = value
        survives(bytes(data))

    damaged()
    assert capfd.readouterr() == ("", "")


def test_no_bytes_surprise(capfd: pytest.CaptureFixture[str]) -> None:
    @QUIET
    @given(FILES, st.integers(0, 16), st.binary(min_size=1, max_size=400))
    def random_bytes(index: int, kept: int, data: bytes) -> None:
        survives(real(index)[:kept] + data)

    random_bytes()
    assert capfd.readouterr() == ("", "")


@pytest.mark.seeded
def test_bit_flips(capfd: pytest.CaptureFixture[str]) -> None:
    dice = seeds.dice("bit flips")
    for index in range(len(_ENCODINGS)):
        for _ in range(20):
            data = bytearray(real(index))
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            survives(bytes(data))
    assert capfd.readouterr() == ("", "")


def test_a_closed_stderr_and_an_open_one_are_left_as_they_were(
    capfd: pytest.CaptureFixture[str],
) -> None:
    survives(real(14)[:-3])
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"
    code = (
        "import os, sys, io; from qvq_mlx import images;"
        "from qvq_mlx.core.card import VisionLimits;"
        "os.close(2); sources = images.ImageSources(io.BytesIO(bytes.fromhex(sys.argv[1])));"
        "images.read('-', VisionLimits(), sources)"
    )
    argv = [sys.executable, "-c", code, real(14).hex()]
    assert subprocess.run(argv, check=False).returncode == 0


def test_importing_imports_no_pil() -> None:
    code = "import sys, qvq_mlx.images; sys.exit('PIL' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
