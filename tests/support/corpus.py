"""Picture files of every kind, made here, each with the pixels that it shows.

`Case.pixels` is (height, width, 3), upright, sRGB on white, before crop and resize. It comes from
the array that was written, by numpy; only what cannot (lossy formats) is read back by PIL.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from tests.support import profiles

Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """`slack`: how far a channel may be from `pixels`. `profile`: still to be applied to them."""

    data: bytes
    pixels: Array
    slack: int = 0
    profile: bytes = b""


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)  # type: ignore[arg-type]
    return out.getvalue()


def scene(width: int, height: int, bands: int = 3) -> Array:
    """Something smooth with edges: what a resize, a turn or a swap of channels would change."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        128 + 127 * np.sin(x / (5.0 + 3 * band) + y / (9.0 - band)) * np.cos(y / 17.0 + band)
        for band in range(bands)
    ]
    out = np.stack(planes, axis=-1)
    out[: height // 4, : width // 5] = np.arange(bands) * 60
    out[height // 2 : height // 2 + 2] = 255
    return np.clip(out.round(), 0, 255).astype(np.uint8)


def upright(pixels: Array, orientation: int) -> Array:
    """What a viewer shows of stored pixels, by EXIF's own words."""
    return {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(pixels),
    }[orientation]


def over(colours: Array, alpha: Array, under: tuple[int, int, int] = (255, 255, 255)) -> Array:
    share = alpha.astype(float)[..., None] / 255
    return (colours * share + np.array(under) * (1 - share)).round().astype(np.uint8)


def of(array: Array, mode: str = "RGB") -> Image.Image:
    return Image.frombytes(mode, (array.shape[1], array.shape[0]), array.tobytes())


def gray(array: Array) -> Array:
    return np.repeat(array[..., None], 3, axis=-1)


def reread(data: bytes) -> Array:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def png(width: int, height: int, depth: int, kind: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG from unfiltered rows, and extra chunks before them."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    data = b"IDAT" + zlib.compress(rows)
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, (head, *chunks, data, b"IEND")))


def chunk(content: bytes) -> bytes:
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))


def deep_png(kind: int, bands: int) -> tuple[bytes, npt.NDArray[np.uint16]]:
    values = scene(56, 42, bands).astype(np.uint16) * 257 + np.arange(56)[None, :, None] % 100
    values = np.minimum(values, 65535).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    return png(56, 42, 16, kind, rows), values.astype(np.uint16)


def tiff(width: int, height: int, bits: int, photometric: int, strip: bytes, order: str) -> bytes:
    """A gray TIFF of one uncompressed strip; `order` is < or >."""
    tags = [
        *((256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric)),
        *((273, 4, 0), (277, 3, 1), (278, 3, height), (279, 4, len(strip))),
    ]
    begin = 8 + 2 + 12 * len(tags) + 4
    out = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}IH", 8, len(tags))
    for tag, kind, value in tags:
        value = begin if tag == 273 else value
        packed = (
            struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value)
        )
        out += struct.pack(f"{order}HHI", tag, kind, 1) + packed
    return out + bytes(4) + strip


def converted(array: Array, mode: str, profile: bytes) -> Array:
    """Through the profile, pixel by pixel, by LittleCMS itself."""
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    srgb = ImageCms.createProfile("sRGB")
    image = ImageCms.profileToProfile(
        of(array, mode), own, srgb, ImageCms.Intent.PERCEPTUAL, outputMode="RGB"
    )
    assert image is not None
    return np.asarray(image)


def inked(array: Array) -> Array:
    """CMYK without a profile, as PIL documents it: (255 - k) less its share of the ink."""
    rest = 255 - array[..., 3:].astype(int)
    part = array[..., :3].astype(int) * rest + 128
    return np.clip(rest - (((part >> 8) + part) >> 8), 0, 255).astype(np.uint8)


# ---------------------------------------------------------------- the cases


def _lossless() -> dict[str, Callable[[], Case]]:
    ways: dict[str, tuple[str, dict[str, object]]] = {
        "png": ("PNG", {}),
        "png palette off, level 9": ("PNG", {"compress_level": 9}),
        "bmp": ("BMP", {}),
        "tiff": ("TIFF", {}),
        "tiff lzw": ("TIFF", {"compression": "tiff_lzw"}),
        "tiff deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
        "tiff packbits": ("TIFF", {"compression": "packbits"}),
        "webp lossless": ("WEBP", {"lossless": True}),
    }

    def case(form: str, options: dict[str, object]) -> Case:
        return Case(encoded(of(scene(56, 42)), form, **options), scene(56, 42))

    return {f"rgb {name}": lambda w=way: case(*w) for name, way in ways.items()}


def _lossy() -> dict[str, Callable[[], Case]]:
    ways: dict[str, tuple[str, str, dict[str, object]]] = {
        "jpeg 4:4:4": ("RGB", "JPEG", {"subsampling": 0, "quality": 90}),
        "jpeg 4:2:0": ("RGB", "JPEG", {"subsampling": 2}),
        "jpeg progressive": ("RGB", "JPEG", {"progressive": True}),
        "jpeg gray": ("L", "JPEG", {}),
        "jpeg cmyk, as Adobe inverts it": ("CMYK", "JPEG", {"quality": 95}),
        "webp lossy": ("RGB", "WEBP", {"quality": 80}),
        "tiff jpeg": ("RGB", "TIFF", {"compression": "jpeg"}),
        "gif": ("P", "GIF", {}),
    }

    def case(mode: str, form: str, options: dict[str, object]) -> Case:
        data = encoded(of(scene(56, 42)).convert(mode), form, **options)
        return Case(data, reread(data))

    return {name: lambda w=way: case(*w) for name, way in ways.items()}


def _turned() -> dict[str, Callable[[], Case]]:
    def case(form: str, orientation: int) -> Case:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"lossless": True} if form == "WEBP" else {}
        data = encoded(of(scene(70, 42)), form, exif=exif, **options)
        stored = scene(70, 42) if form != "JPEG" else reread(data)
        return Case(data, np.ascontiguousarray(upright(stored, orientation)))

    return {
        f"{form.lower()} orientation {number}": lambda f=form, n=number: case(f, n)
        for form in ("JPEG", "PNG", "TIFF", "WEBP")
        for number in range(1, 9)
    }


def _modes() -> dict[str, Callable[[], Case]]:
    one, two, four = scene(56, 42, 1)[..., 0], scene(56, 42, 2), scene(56, 42, 4)
    colours = scene(56, 42)

    def palette(**options: object) -> Case:
        table = np.arange(768).reshape(256, 3) * 7 % 256
        image = of(one, "P")
        image.putpalette(table.astype(np.uint8).tobytes())
        shown = table.astype(np.uint8)[one]
        alpha = np.full(one.shape, 255, np.uint8)
        form = str(options.pop("form", "PNG"))
        clear = options.get("transparency")
        if isinstance(clear, int):
            alpha[one == clear] = 0
        elif isinstance(clear, bytes):
            alpha = np.frombuffer(clear.ljust(256, b"\xff"), np.uint8)[one]
        return Case(encoded(image, form, **options), over(shown, alpha), 1)

    def bits(form: str) -> Case:
        dark = (one > 128).astype(np.uint8) * 255
        return Case(
            encoded(of(one, "L").point(lambda v: 255 * (v > 128)).convert("1"), form), gray(dark)
        )

    def clear(mode: str, kind: object, where: npt.NDArray[np.bool_], base: Array) -> Case:
        image = of(base, mode)
        alpha = np.where(where, 0, 255).astype(np.uint8)
        full = gray(base) if mode == "L" else base
        return Case(encoded(image, "PNG", transparency=kind), over(full, alpha))

    def deep(kind: int, bands: int) -> Case:
        data, values = deep_png(kind, bands)
        if bands == 1:
            return Case(data, gray((values[..., 0] / 257).round().astype(np.uint8)))
        eight = (values / 257).round().astype(np.uint8)
        if bands == 3:
            return Case(data, eight)
        colour = gray(eight[..., 0]) if bands == 2 else eight[..., :3]
        return Case(data, over(colour, eight[..., -1]), 1)

    def deep_tiff(bits: int, photometric: int, order: str = "<") -> Case:
        values = one.astype(np.uint32) * ((2**bits - 1) // 255)
        if bits == 16:
            strip = values.astype(f"{order}u2").tobytes()
        else:
            pairs = values.reshape(-1, 2)
            packed = (pairs[:, 0] << 12 | pairs[:, 1]).astype(">u4")
            strip = b"".join(int(pair).to_bytes(3, "big") for pair in packed)
        eight = (values / (2**bits - 1) * 255).round().astype(np.uint8)
        data = tiff(56, 42, bits, photometric, strip, order)
        return Case(data, gray(eight if photometric else 255 - eight))

    def numbers(mode: str) -> Case:
        kind, top = (np.int32, 65535) if mode == "I" else (np.float32, 1.0)
        values = (one / 255 * top).astype(kind)
        data = encoded(Image.fromarray(values), "TIFF")
        return Case(data, gray((values / top * 255).round().astype(np.uint8)), 1)

    def lab() -> Case:
        ab = np.zeros((42, 56), np.uint8)  # signed in a file
        data = encoded(of(np.stack([one, ab, ab], axis=-1), "LAB"), "TIFF")
        light = (one / 255 * 100 + 16) / 116  # CIE L*, neutral
        y = np.where(light > 6 / 29, light**3, 3 * (6 / 29) ** 2 * (light - 4 / 29))
        s = np.where(y <= 0.0031308, 12.92 * y, 1.055 * np.maximum(y, 0) ** (1 / 2.4) - 0.055)
        return Case(data, gray((np.clip(s, 0, 1) * 255).round().astype(np.uint8)), 2)

    return {
        "png 1 bit": lambda: bits("PNG"),
        "tiff 1 bit, group 4": lambda: bits("TIFF"),
        "bmp 1 bit": lambda: bits("BMP"),
        "png gray": lambda: Case(encoded(of(one, "L"), "PNG"), gray(one)),
        "tiff gray": lambda: Case(encoded(of(one, "L"), "TIFF"), gray(one)),
        "bmp gray": lambda: Case(encoded(of(one, "L"), "BMP"), gray(one)),
        "png gray and alpha": lambda: Case(
            encoded(of(two, "LA"), "PNG"), over(gray(two[..., 0]), two[..., 1]), 1
        ),
        "tiff gray and alpha": lambda: Case(
            encoded(of(two, "LA"), "TIFF"), over(gray(two[..., 0]), two[..., 1]), 1
        ),
        **{
            f"{form.lower()} rgb and alpha": lambda f=form, o=options: Case(
                encoded(of(four, "RGBA"), f, **o), over(four[..., :3], four[..., 3]), 1
            )
            for form, options in (
                ("PNG", {}),
                ("TIFF", {}),
                ("WEBP", {"lossless": True, "exact": True}),
            )
        },
        "png palette": palette,
        "png palette, one clear": lambda: palette(transparency=3),
        "png palette with alpha": lambda: palette(transparency=bytes(range(0, 256, 2))),
        "tiff palette": lambda: palette(form="TIFF"),
        "bmp palette": lambda: palette(form="BMP"),
        "gif, one clear": lambda: palette(form="GIF", transparency=5),
        "png rgb, one clear": lambda: clear(
            "RGB", (0, 60, 120), (colours == (0, 60, 120)).all(-1), colours
        ),
        "png gray, one clear": lambda: clear("L", 255, one == 255, one),
        "png 16 bit gray": lambda: deep(0, 1),
        "png 16 bit rgb": lambda: deep(2, 3),
        "png 16 bit gray and alpha": lambda: deep(4, 2),
        "png 16 bit rgb and alpha": lambda: deep(6, 4),
        "tiff 16 bit gray": lambda: deep_tiff(16, 1),
        "tiff 16 bit gray, big-endian": lambda: deep_tiff(16, 1, ">"),
        "tiff 16 bit gray, white is 0": lambda: deep_tiff(16, 0),
        "tiff 12 bit gray": lambda: deep_tiff(12, 1),
        "tiff integers": lambda: numbers("I"),
        "tiff floats": lambda: numbers("F"),
        "tiff lab": lab,
        "tiff cmyk": lambda: Case(encoded(of(four, "CMYK"), "TIFF"), inked(four)),
    }


def _profiled() -> dict[str, Callable[[], Case]]:
    colours, one = scene(56, 42), scene(56, 42, 1)[..., 0]
    two, four = scene(56, 42, 2), scene(56, 42, 4)
    p3, adobe = profiles.rgb(profiles.DISPLAY_P3), profiles.rgb(profiles.ADOBE, 2.2)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    def kept(profile: bytes, form: str = "PNG") -> Case:
        return Case(encoded(of(colours), form, icc_profile=profile), colours)

    def jpeg() -> Case:
        data = encoded(of(colours), "JPEG", icc_profile=p3, quality=90)
        return Case(data, reread(data), profile=p3)

    def turned() -> Case:
        exif = Image.Exif()
        exif[0x0112] = 6
        data = encoded(of(colours), "PNG", icc_profile=p3, exif=exif)
        return Case(data, np.ascontiguousarray(np.rot90(colours, -1)), profile=p3)

    def alpha() -> Case:
        inside = converted(np.ascontiguousarray(four[..., :3]), "RGB", p3)
        data = encoded(of(four, "RGBA"), "PNG", icc_profile=p3)
        return Case(data, over(inside, four[..., 3]), 1)

    def gray_alpha() -> Case:
        inside = converted(np.ascontiguousarray(two[..., 0]), "L", profiles.gray(1.8))
        data = encoded(of(two, "LA"), "PNG", icc_profile=profiles.gray(1.8))
        return Case(data, over(inside, two[..., 1]), 1)

    def inks(form: str) -> Case:
        data = encoded(of(four, "CMYK"), form, icc_profile=profiles.cmyk())
        stored = np.asarray(Image.open(io.BytesIO(data)))
        return Case(data, converted(np.ascontiguousarray(stored), "CMYK", profiles.cmyk()))

    def palette() -> Case:
        image = of(one, "P")
        image.putpalette(bytes(range(256)) * 3)
        shown = np.asarray(image.convert("RGB"))
        return Case(encoded(image, "PNG", icc_profile=p3), shown, profile=p3)

    return {
        "srgb profile of LittleCMS": lambda: kept(srgb),
        "srgb profile by hand": lambda: kept(profiles.rgb(profiles.SRGB)),
        "srgb profile in a tiff": lambda: kept(srgb, "TIFF"),
        "display p3 png": lambda: Case(
            encoded(of(colours), "PNG", icc_profile=p3), colours, profile=p3
        ),
        "display p3 jpeg": jpeg,
        "display p3 webp": lambda: Case(
            encoded(of(colours), "WEBP", lossless=True, icc_profile=p3), colours, profile=p3
        ),
        "display p3, turned": turned,
        "display p3 with alpha": alpha,
        "display p3 palette": palette,
        "adobe rgb tiff": lambda: Case(
            encoded(of(colours), "TIFF", icc_profile=adobe), colours, profile=adobe
        ),
        "gray profile": lambda: Case(
            encoded(of(one, "L"), "PNG", icc_profile=profiles.gray(1.8)),
            gray(one),
            profile=profiles.gray(1.8),
        ),
        "gray profile with alpha": gray_alpha,
        "cmyk profile, tiff": lambda: inks("TIFF"),
        "cmyk profile, jpeg": lambda: inks("JPEG"),
        "a gray profile on colours": lambda: kept(profiles.gray(1.8)),
        "a cmyk profile on colours": lambda: kept(profiles.cmyk()),
        "a broken profile": lambda: kept(b"no profile at all"),
        "a cut profile": lambda: kept(p3[:200]),
    }


def _sizes() -> dict[str, Callable[[], Case]]:
    sizes = [
        (4, 9),
        (9, 4),
        (5, 1000),
        (800, 4),
        (29, 27),
        (333, 97),
        (640, 480),
        (501, 499),
        (1100, 450),
    ]
    return {
        f"{width}x{height}": lambda w=width, h=height: Case(
            encoded(of(scene(w, h)), "PNG", compress_level=1), scene(w, h)
        )
        for width, height in sizes
    }


MAKERS = {**_lossless(), **_lossy(), **_turned(), **_modes(), **_profiled(), **_sizes()}
"""Name to maker: nothing is made before it is asked for."""


@cache
def case(name: str) -> Case:
    return MAKERS[name]()
