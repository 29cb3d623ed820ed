"""What a PNG states and Pillow leaves out."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.image_options import ImageOptions
from qvq_mlx.core.picture import Picture
from tests.support import profiles
from tests.support.corpus import gray, over, png, scene

EXACT = VisionLimits(factor_px=1, min_pixels=1, max_pixels=2**40)
WIDTH, HEIGHT = 56, 42
KINDS = {"gray": (0, 1), "rgb": (2, 3), "gray and alpha": (4, 2), "rgb and alpha": (6, 4)}


def read(data: bytes) -> np.ndarray:
    picture = images.read("-", EXACT, images.ImageSources(io.BytesIO(data), ""), ImageOptions())[0]
    assert isinstance(picture, Picture)
    return np.frombuffer(picture.rgb, np.uint8).reshape(picture.height_px, picture.width_px, 3)


def rows(values: np.ndarray, depth: int) -> bytes:
    """Unfiltered rows of `values` (height, width, samples)."""
    out = b""
    for row in values.reshape(values.shape[0], -1):
        if depth == 16:
            out += b"\0" + row.astype(">u2").tobytes()
            continue
        text = "".join(f"{int(value):0{depth}b}" for value in row)
        text += "0" * (-len(text) % 8)
        out += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
    return out


def near(data: bytes, expected: np.ndarray, slack: float = 0) -> None:
    assert np.abs(read(data) - expected.astype(float)).max() <= slack


def srgb(linear: np.ndarray) -> np.ndarray:
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(np.clip(curve, 0, 1) * 255)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_one_transparent_gray(depth: int) -> None:
    top = (1 << depth) - 1
    values = scene(WIDTH, HEIGHT, 1) >> (8 - depth)
    for clear in {0, top // 2, top}:
        data = png(WIDTH, HEIGHT, depth, 0, rows(values, depth), b"tRNS" + struct.pack(">H", clear))
        shown = gray((values[..., 0].astype(int) * 255 // top).astype(np.uint8))
        near(data, over(shown, np.where(values[..., 0] == clear, 0, 255).astype(np.uint8)))


@pytest.mark.parametrize("bands", [1, 3])
def test_one_transparent_colour_of_sixteen_bits(bands: int) -> None:
    values = scene(WIDTH, HEIGHT, bands).astype(np.uint16) * 257
    values[:8, :8] = 0x1234  # transparent
    values[8:16, :8] = 0x1235  # and its neighbour, which has the same high byte, is not
    head = b"tRNS" + struct.pack(f">{bands}H", *(0x1234,) * bands)
    data = png(WIDTH, HEIGHT, 16, 0 if bands == 1 else 2, rows(values, 16), head)
    shown = np.round(values / 257).astype(np.uint8)
    clear = (values == 0x1234).all(axis=-1)
    shown = shown if bands == 3 else gray(shown[..., 0])
    near(data, over(shown, np.where(clear, 0, 255).astype(np.uint8)))


@pytest.mark.parametrize("kind", KINDS)
def test_sixteen_bits_are_rounded_not_cut(kind: str) -> None:
    number, bands = KINDS[kind]
    values = np.minimum(scene(WIDTH, HEIGHT, bands).astype(int) * 257 + 200, 65535)
    shown = np.round(values / 257).astype(np.uint8)
    colours = shown[..., :3] if bands > 2 else gray(shown[..., 0])
    expected = over(colours, shown[..., -1]) if bands in (2, 4) else colours
    near(png(WIDTH, HEIGHT, 16, number, rows(values, 16)), expected, bands in (2, 4))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("gamma", [1.0, 0.55556])
@pytest.mark.parametrize("kind", KINDS)
def test_a_gamma_without_a_profile(depth: int, gamma: float, kind: str) -> None:
    number, bands = KINDS[kind]
    values = scene(WIDTH, HEIGHT, bands).astype(int) * (257 if depth == 16 else 1)
    if bands in (2, 4):
        values[..., -1] = 2**depth - 1
    head = b"gAMA" + struct.pack(">I", round(gamma * 100000))
    light = (values / (2**depth - 1)) ** (1 / gamma)
    colours = srgb(light[..., :3] if bands > 2 else light[..., [0, 0, 0]])
    near(png(WIDTH, HEIGHT, depth, number, rows(values, depth), head), colours, 1)


def test_linear_light_of_sixteen_bits_has_all_its_shadows() -> None:
    values = np.repeat(np.arange(2048).reshape(32, 64, 1), 3, axis=-1)
    data = png(64, 32, 16, 2, rows(values, 16), b"gAMA" + struct.pack(">I", 100000))
    assert len(np.unique(read(data))) > 45  # eight bits of it would be eight shades
    near(data, srgb(values / 65535), 1)


def chromaticity(*points: float) -> bytes:
    return b"cHRM" + struct.pack(">8I", *(round(point * 100000) for point in points))


def test_primaries_without_a_profile_are_as_those_of_a_profile() -> None:
    values = scene(WIDTH, HEIGHT, 3)
    p3 = chromaticity(0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
    linear = np.where(
        values / 255 <= 0.04045, values / 255 / 12.92, ((values / 255 + 0.055) / 1.055) ** 2.4
    )
    matrix = np.linalg.inv(np.array(profiles.SRGB)) @ np.array(profiles.DISPLAY_P3)
    expected = srgb(np.clip(linear @ matrix.T, 0, 1))
    head = b"gAMA" + struct.pack(">I", 45455)
    near(png(WIDTH, HEIGHT, 8, 2, rows(values, 8), head, p3), expected, 2)


@pytest.mark.parametrize("chunks", [(b"gAMA\0\0\xb1\x8f",), (b"gAMA\0\x01\x86\xa0", b"sRGB\0")])
def test_what_says_srgb_stays_to_the_bit(chunks: tuple[bytes, ...]) -> None:
    values = scene(WIDTH, HEIGHT, 3)
    srgb_points = chromaticity(0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
    near(png(WIDTH, HEIGHT, 8, 2, rows(values, 8), *chunks, srgb_points), values)


def pq(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084, from light to numbers."""
    y = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


@pytest.mark.parametrize("depth", [8, 16])
def test_pq_is_toned_down_to_srgb(depth: int) -> None:
    """Up to three quarters of diffuse white it is that light; above, it rises up to white."""
    nits = np.linspace(0, 1000, 64)
    values = np.round(np.tile(pq(nits)[None, :, None], (8, 1, 3)) * (2**depth - 1))
    head = b"cICP" + bytes((9, 16, 0, 1))
    found = read(png(64, 8, depth, 2, rows(values, depth), head))[0, :, 0].astype(int)
    dark = nits < 0.75 * 203
    assert np.abs(found - srgb(nits / 203))[dark].max() <= (1 if depth == 16 else 3)
    assert (np.diff(found) >= 0).all()
    assert found[-1] >= 254
    assert found[dark][-1] < found[32] < 254


def test_hlg_is_toned_down_to_srgb() -> None:
    """BT.2100: 75 % of the signal is diffuse white, 203 cd/m² on a display of 1,000."""
    values = np.repeat(np.linspace(0, 65535, 65).round()[None, :, None], 3, axis=-1).repeat(
        8, axis=0
    )
    found = read(png(65, 8, 16, 2, rows(values, 16), b"cICP" + bytes((9, 18, 0, 1))))[0, :, 0]
    assert (np.diff(found.astype(int)) >= 0).all()
    assert found[-1] >= 254
    assert 225 < found[48] < 254
