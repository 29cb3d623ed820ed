"""TIFF layouts that Pillow misreads or refuses, held to the numbers that were written."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import ImageUnreadableError
from qvq_mlx.core.image_options import ImageOptions
from qvq_mlx.core.picture import Picture
from tests.support.corpus import over, scene, upright
from tests.support.spelling import hint_of
from tests.support.tiffs import written, ycc_written

EXACT = VisionLimits(factor_px=1, min_pixels=1, max_pixels=2**40)
WIDTH, HEIGHT = 53, 37
COMPRESSIONS = {"none": 1, "lzw": 5, "deflate": 8, "packbits": 32773}


def read(data: bytes) -> np.ndarray:
    picture = images.read("-", EXACT, images.ImageSources(io.BytesIO(data), ""), ImageOptions())[0]
    assert isinstance(picture, Picture)
    return np.frombuffer(picture.rgb, np.uint8).reshape(picture.height_px, picture.width_px, 3)


def near(data: bytes, expected: np.ndarray, slack: int = 0) -> None:
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=-1)
    found = read(data)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= slack


def levels(bands: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of `bits` bits, and the 8 bits that they are."""
    smooth = scene(WIDTH, HEIGHT, bands).astype(float) / 255
    shift = np.arange(WIDTH)[None, :, None] / (300 * WIDTH)
    values = np.round(np.clip(smooth + shift, 0, 1) * (2**bits - 1)).astype(np.uint32)
    return values, np.round(values / (2**bits - 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("bits", [10, 12, 14, 16, 24, 32])
@pytest.mark.parametrize("bands", [1, 3])
def test_whole_numbers(order: str, planar: bool, bits: int, bands: int) -> None:
    values, shown = levels(bands, bits)
    if bits > 16:
        values[0, 0] = 2**bits - 1
        shown[0, 0] = 255
    near(written(values, bits, order=order, planar=planar), shown if bands == 3 else shown[..., 0])


@pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("tile", [None, (32, 16)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_however_they_are_packed(
    compression: int, planar: bool, predictor: int, tile: tuple[int, int] | None, order: str
) -> None:
    values, shown = levels(3, 16)
    data = written(
        values, 16, compression=compression, planar=planar, predictor=predictor, tile=tile,
        order=order,
    )  # fmt: skip
    near(data, shown)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("bits", [16, 24, 32, 64])
@pytest.mark.parametrize("predictor", [1, 3])
@pytest.mark.parametrize("bands", [1, 3])
def test_floats(compression: int, bits: int, predictor: int, bands: int, planar: bool) -> None:
    values, shown = levels(bands, 8)
    floats = values / 255
    for order in "<>":
        data = written(
            floats, bits, kind=3, compression=compression, predictor=predictor, order=order,
            planar=planar,
        )  # fmt: skip
        near(data, shown if bands == 3 else shown[..., 0], 1)


@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_floats_whose_bits_were_subtracted(bits: int, order: str) -> None:
    values, shown = levels(3, 8)
    near(written(values / 255, bits, kind=3, compression=8, predictor=2, order=order), shown, 1)


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("tile", [None, (32, 16)])
def test_strips_of_webp(samples: int, tile: tuple[int, int] | None) -> None:
    values, shown = levels(samples, 8)
    expected = shown if samples == 3 else over(shown[..., :3], shown[..., 3])
    extra = (2,) if samples == 4 else ()
    near(written(values, 8, compression=50001, tile=tile, extra=extra), expected, 1)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_colour_map_with_alpha(bits: int, order: str) -> None:
    table = np.random.default_rng(3).integers(0, 256, (2**bits, 3)).astype(np.uint8)
    numbers, _ = levels(2, bits)
    opaque = np.round(numbers[..., 1] / (2**bits - 1) * 255).astype(np.uint8)
    colour_map = (table.astype(int) * 257).T.ravel().tolist()
    data = written(numbers, bits, photometric=3, colour_map=colour_map, extra=(2,), order=order)
    near(data, over(table[numbers[..., 0]], opaque), 1)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
def test_big_tiff(big: bool, order: str, bits: int) -> None:
    values, shown = levels(3, bits)
    near(written(values, bits, order=order, big=big), shown)


@pytest.mark.parametrize("top", [255, 65535, 65280])
@pytest.mark.parametrize("bits", [4, 8])
def test_a_colour_map_of_eight_bits_and_of_sixteen(top: int, bits: int) -> None:
    table = np.random.default_rng(3).integers(0, 256, (2**bits, 3))
    table[-1] = 255
    numbers = scene(WIDTH, HEIGHT, 1).astype(np.uint32) >> (8 - bits)
    colour_map = (table * top // 255).T.ravel().tolist()
    near(written(numbers, bits, photometric=3, colour_map=colour_map), table[numbers[..., 0]], 1)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", [8, 9])
@pytest.mark.parametrize("alpha", [False, True])
def test_lab(bits: int, photometric: int, alpha: bool) -> None:
    """Neutral grays, by the definition of L*; and what LittleCMS makes of a colour."""
    unit = 1 << (bits - 8)
    light = scene(WIDTH, HEIGHT, 1)[..., 0] / 255 * 100
    top = 255 if bits == 8 else 65535 if photometric == 8 else 65280
    zero = 0 if photometric == 8 else 128 * unit
    stored = [np.round(light / 100 * top), np.full_like(light, zero), np.full_like(light, zero)]
    opaque = scene(WIDTH, HEIGHT, 2)[..., 1]
    if alpha:
        stored.append(np.round(opaque / 255 * (2**bits - 1)))
    f = (light + 16) / 116
    y = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    s = np.where(y <= 0.0031308, 12.92 * y, 1.055 * np.maximum(y, 0) ** (1 / 2.4) - 0.055)
    gray = np.repeat(np.round(np.clip(s, 0, 1) * 255)[..., None], 3, axis=-1).astype(np.uint8)
    data = written(
        np.stack(stored, axis=-1).astype(np.uint32), bits, photometric=photometric,
        extra=(2,) if alpha else (),
    )  # fmt: skip
    near(data, over(gray, opaque) if alpha else gray, 2)


def test_a_colour_in_lab_is_what_littlecms_makes_of_it() -> None:
    from PIL import ImageCms

    flat = np.empty((8, 8, 3), np.uint8)
    flat[...] = (150, 40, 226)  # b is negative
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    way = ImageCms.buildTransform(lab, srgb, "LAB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)
    image = Image.frombytes("LAB", (8, 8), flat.tobytes())
    expected = np.asarray(ImageCms.applyTransform(image, way))
    four = np.concatenate([flat, np.full((8, 8, 1), 255, np.uint8)], axis=-1)
    near(written(four.astype(np.uint32), 8, photometric=8, extra=(2,)), expected, 2)


@pytest.mark.parametrize(("extra", "premultiplied"), [(2, False), (1, True), (0, None)])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("gray", [False, True])
def test_alpha_of_sixteen_bits(
    extra: int, premultiplied: bool | None, planar: bool, gray: bool
) -> None:
    values, shown = levels(2 if gray else 4, 16)
    if premultiplied:
        values[..., :-1] = values[..., :-1] * (values[..., -1:] / 65535)
    colours = np.repeat(shown[..., :1], 3, axis=-1) if gray else shown[..., :3]
    expected = colours if premultiplied is None else over(colours, shown[..., -1])
    data = written(values, 16, photometric=1 if gray else 2, planar=planar, extra=(extra,))
    near(data, expected, 1)


def test_ink_of_sixteen_bits_is_as_that_of_eight() -> None:
    values, shown = levels(4, 16)
    eight = written(shown.astype(np.uint32), 8, photometric=5)
    near(written(values, 16, photometric=5), read(eight))
    near(written(values, 16, photometric=5, planar=True), read(eight))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("shared", [(1, 1), (2, 1), (2, 2), (1, 2), (4, 1), (4, 2), (4, 4)])
@pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("tile", [0, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_luma_and_differences_in_blocks(
    shared: tuple[int, int], compression: int, tile: int, order: str
) -> None:
    across, down = shared
    values = np.array(Image.fromarray(scene(WIDTH, HEIGHT, 3)).convert("YCbCr"))
    for at in (1, 2):
        blocks = values[::down, ::across, at].repeat(down, 0).repeat(across, 1)
        values[..., at] = blocks[:HEIGHT, :WIDTH]
    shown = np.asarray(Image.fromarray(values, "YCbCr").convert("RGB"))
    kind = {"order": order, "compression": compression, "tile": tile}
    near(ycc_written(values, across, down, said=shared != (2, 2), **kind), shown, 1)


def test_what_a_page_states_of_its_luma_is_used() -> None:
    values = np.full((8, 8, 3), (126, 60, 180), np.uint8)
    luma = (529, (2126, 10000, 7152, 10000, 722, 10000))
    spans = (532, (16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1))
    y, cb, cr = (126 - 16) * 255 / 219, (60 - 128) * 127 / 112, (180 - 128) * 127 / 112
    red, blue = y + 2 * (1 - 0.2126) * cr, y + 2 * (1 - 0.0722) * cb
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    colour = np.array([red, green, blue]).clip(0, 255).round().astype(np.uint8)
    data = ycc_written(values, 2, 2, stated=(luma, spans))
    near(data, np.full((8, 8, 3), colour, np.uint8), 1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("extra", [(0,), (2,), (0, 0), (2, 0), (0, 2)])
def test_samples_beside_gray(
    order: str, planar: bool, photometric: int, extra: tuple[int, ...]
) -> None:
    values, shown = levels(1 + len(extra), 8)
    gray = shown[..., :1].astype(float)
    if photometric == 0:
        values[..., 0] = 255 - values[..., 0]
    clear = next((place for place, kind in enumerate(extra, 1) if kind), None)
    if clear is not None:
        values[..., clear] = 255 - values[..., clear] // 2
        alpha = values[..., clear, None] / 255
        gray = gray * alpha + 255 * (1 - alpha)
    data = written(values, 8, photometric=photometric, extra=extra, planar=planar, order=order)
    near(data, gray[..., 0].round().astype(np.uint8), 1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_white_is_zero_in_sixteen_bits(order: str) -> None:
    values, shown = levels(1, 16)
    near(written(65535 - values, 16, photometric=0, order=order), shown[..., 0])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize(
    "how", [{"fill_order": 2}, {"extra": (0,), "planar": True}, {"extra": (2,), "planar": True}]
)
def test_a_colour_map_beside_other_planes_and_of_bits_in_reverse(
    bits: int, how: dict[str, object]
) -> None:
    count = 2**bits
    rng = np.random.default_rng(bits)
    colours = rng.integers(0, 256, (count, 3))
    colours[0] = 255
    samples = 2 if "extra" in how else 1
    values = rng.integers(0, count, (HEIGHT, WIDTH, samples), dtype=np.uint32)
    if samples == 2:
        values[..., 1] = count - 1
    flat = tuple(int(value) * 257 for value in colours.T.ravel())
    data = written(values, bits, photometric=3, colour_map=flat, **how)  # type: ignore[arg-type]
    near(data, colours[values[..., 0]].astype(np.uint8))


@pytest.mark.parametrize("bits", [8, 16])
def test_samples_of_no_stated_kind_are_whole_numbers(bits: int) -> None:
    values, shown = levels(3, bits)
    near(written(values, bits, kind=4), shown)


def edited(data: bytes, tag: int, **what: int) -> bytes:
    """A small TIFF of order < whose entry for `tag` has another number, type or value."""
    at = int.from_bytes(data[4:8], "little") + 2
    while int.from_bytes(data[at : at + 2], "little") != tag:
        at += 12
    number, kind = what.get("number", tag), what.get("kind", data[at + 2])
    value = data[at + 8 : at + 12]
    if "value" in what:
        value = what["value"].to_bytes(4, "little")
    entry = number.to_bytes(2, "little") + bytes((kind, 0)) + data[at + 4 : at + 8] + value
    return data[:at] + entry + data[at + 12 :]


@pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize(
    ("tag", "what", "bands"),
    [
        (262, {"number": 65000}, 1),
        (262, {"number": 65000}, 3),
        (277, {"number": 65000}, 3),
        (258, {"kind": 1}, 1),
        (278, {"value": 0}, 1),
        (279, {"value": 2**20}, 1),
    ],
    ids=["no meaning", "no meaning of colours", "no count", "bytes", "no rows", "too many bytes"],
)
def test_a_slip_of_the_writer_is_no_damage(
    compression: int, tag: int, what: dict[str, int], bands: int
) -> None:
    values, shown = levels(bands, 8)
    one_strip = {"tile": None} | ({} if tag < 278 else {"rows": HEIGHT})
    data = edited(written(values, 8, compression=compression, **one_strip), tag, **what)
    near(data, shown if bands == 3 else shown[..., 0])


@pytest.mark.parametrize("bits", [8, 16])
def test_strips_whose_sizes_nobody_counted(bits: int) -> None:
    values, shown = levels(3, bits)
    near(edited(written(values, bits, rows=HEIGHT), 279, value=0), shown)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_fourth_sample_that_nobody_explains_is_alpha(bits: int) -> None:
    values, shown = levels(4, bits)
    near(written(values, bits), over(shown[..., :3], shown[..., 3]), 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned(orientation: int) -> None:
    values, shown = levels(3, 16)
    near(written(values, 16, planar=True, orientation=orientation), upright(shown, orientation))


def test_white_is_zero_and_bits_in_reverse() -> None:
    values, shown = levels(1, 12)
    near(written(values, 12, photometric=0), 255 - shown[..., 0])
    near(written(values, 12, fill_order=2), shown[..., 0])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"photometric": 32803}, "photometric interpretation 32803"),
        ({"bits_said": (5, 6, 5)}, "samples of several sizes or kinds"),
        ({"kind": 6}, "16 bits"),
        ({"compression": 34887}, "compression LERC"),
        ({"compression": 50002}, "compression JPEG XL"),
        ({"compression": 40000}, "compression 40000"),
    ],
)
def test_what_nobody_here_reads_is_not_called_damaged(
    changes: dict[str, object], says: str
) -> None:
    values, _ = levels(3, 16)
    with pytest.raises(ImageUnreadableError) as caught:
        read(written(values, 16, **changes))
    assert caught.value.message.startswith("-: is a TIFF of a kind that is not supported (")
    assert says in caught.value.message
    assert hint_of(caught.value).startswith("magick image")


@pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_a_cut_strip_is_damaged(compression: int) -> None:
    values, _ = levels(3, 16)
    data = written(values, 16, compression=compression, planar=True)
    with pytest.raises(ImageUnreadableError, match="the TIFF is cut off or damaged"):
        read(data[: len(data) * 2 // 3])
