"""What `--detail`, `--crop` and `--background` mean: parsers, regions, limits."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.core.card import OWN_MAX_TOKENS, VisionLimits
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.image_options import (
    Crop,
    Detail,
    ImageOptions,
    ImageSize,
    Region,
    TokenRange,
    image_options_for,
    parse_crop,
    parse_detail,
    region_of,
)
from qvq_mlx.images.colour import background_of
from qvq_mlx.images.detail import limited
from qvq_mlx.images.resize import smart_resize
from qvq_mlx.run.image_budget import share
from tests.support.spelling import telling

sides = st.integers(4, 20_000)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        *(("low", Detail.LOW), ("AUTO", Detail.AUTO), (" high ", Detail.HIGH), ("max", Detail.MAX)),
        *(("1", 1), ("1280", 1280), ("016384", 16384)),
        ("1280-16384", TokenRange(1280, 16384)),
    ],
)
def test_detail(text: str, detail: ImageSize) -> None:
    assert parse_detail(text) == detail


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1.5", "1,280", "medium", "1e3", "٣", "9" * 10, "9-8", "0-5"]
)
def test_no_detail(text: str) -> None:
    with pytest.raises(UsageError, check=telling("--detail is .*low, auto, high, max, a number")):
        parse_detail(text)


@pytest.mark.parametrize(
    ("text", "crop"),
    [
        ("0,0,10,20", Crop(0, 0, 10, 20)),
        (" 5, 6, 7, 8 ", Crop(5, 6, 7, 8)),
        ("10%,10%,50%,50%", Crop(10, 10, 50, 50, percent=True)),
        ("0.5%,0%,99.5%,100%", Crop(0.5, 0, 99.5, 100, percent=True)),
    ],
)
def test_crop(text: str, crop: Crop) -> None:
    assert parse_crop(text) == crop


@pytest.mark.parametrize(
    "text",
    [
        *("", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1.5,0,2,2", "-1,0,2,2", "0,0,10%,10%"),
        *("0,0,0,5", "0%,0%,5%,0%", "60%,0%,41%,10%", "inf,0,1,1", "1e9,0,1,1", "0x1,0,1,1"),
    ],
)
def test_no_crop(text: str) -> None:
    with pytest.raises(UsageError, check=telling("--crop is ")):
        parse_crop(text)


@given(st.text(max_size=40))
def test_any_text_is_a_value_or_a_usage_error(text: str) -> None:
    for parse in (parse_detail, parse_crop, background_of):
        with suppress(UsageError):
            parse(text)


@given(sides, sides, st.data())
def test_pixels_are_taken_as_they_are(width: int, height: int, data: st.DataObject) -> None:
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, 2 * width)), data.draw(st.integers(1, 2 * height))
    crop = parse_crop(f"{x},{y},{w},{h}")
    if x + w <= width and y + h <= height:
        assert region_of(crop, width, height, "a.png") == Region(x, y, w, h)
        return
    with pytest.raises(
        UsageError, check=telling(f"a.png: --crop reaches to .* {width}×{height} pixels")
    ):
        region_of(crop, width, height, "a.png")


@given(sides, sides, st.lists(st.integers(1, 999), min_size=1, max_size=5, unique=True))
def test_parts_in_percent_tile_the_picture(width: int, height: int, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), 1000]
    found = [
        region_of(parse_crop(f"{a / 10:.1f}%,0%,{(b - a) / 10:.1f}%,100%"), width, height, "a.png")
        for a, b in pairwise(edges)
    ]
    assert all(region.width_px > 0 and region.height_px == height for region in found)
    assert all(region.x_px + region.width_px <= width for region in found)
    if width >= 2000:  # narrower, a sliver of 0.1 % may be less than a pixel
        assert found[0].x_px == 0
        assert found[-1].x_px + found[-1].width_px == width
        for left, right in pairwise(found):
            assert left.x_px + left.width_px == right.x_px


def test_looks_go_to_the_images_one_after_the_other() -> None:
    one, two = ["a.png"], ["a.png", "b.png"]
    assert image_options_for(one, [], [], ImageOptions()) == (ImageOptions(),)
    assert image_options_for(two, ["low"], [], ImageOptions(background="red")) == (
        ImageOptions(detail=Detail.LOW, background="red"),
    )
    found = image_options_for(two, ["low", "900"], ["1,2,3,4"], ImageOptions())
    assert [look.detail for look in found] == [Detail.LOW, 900]
    assert [look.crop for look in found] == [Crop(1, 2, 3, 4)] * 2
    assert image_options_for([], [], [], ImageOptions()) == (ImageOptions(),)


@pytest.mark.parametrize(
    ("images", "details", "crops", "told"),
    [
        (1, ["low", "high"], [], "--detail is given 2 times, and there is 1 image"),
        (3, ["low"], ["0,0,1,1"] * 2, "--crop is given 2 times, and there are 3 images"),
        (0, ["low"], [], "--detail is given once, and there are no images"),
    ],
)
def test_an_option_too_many_is_refused(
    images: int, details: list[str], crops: list[str], told: str
) -> None:
    with pytest.raises(UsageError, check=telling(told)):
        image_options_for(["a.png"] * images, details, crops, ImageOptions())


# ---------------------------------------------------------------- detail as limits


@pytest.mark.parametrize(
    ("detail", "own", "tokens"),
    [
        *((Detail.LOW, 0, 256), (Detail.AUTO, 0, 1280), (Detail.HIGH, 0, 2560)),
        *((Detail.MAX, 0, OWN_MAX_TOKENS), (Detail.MAX, 6000, 6000), (Detail.HIGH, 1500, 1500)),
        *((Detail.LOW, 1300, 256), (777, 0, 777)),
    ],
)
@pytest.mark.parametrize("factor", [28, 32])
def test_the_tokens_of_a_detail(detail: Detail | int, own: int, tokens: int, factor: int) -> None:
    area = factor**2
    limits = VisionLimits(factor, 4 * area, 1280 * area, own_max_pixels=own * area)
    found = limited(limits, detail)
    assert found.max_tokens == tokens
    height, width = smart_resize(12_000, 16_000, found)
    assert 0.9 * tokens < height * width / area <= tokens


@pytest.mark.parametrize(
    ("side_px", "least", "most"), [(56, 1280, 1320), (1120, 1560, 1640), (9000, 16000, 16384)]
)
def test_a_range_enlarges_a_small_picture(side_px: int, least: int, most: int) -> None:
    """As VLMEvalKit shows QVQ its pictures: min_pixels 1280*28*28, max_pixels 16384*28*28."""
    limits = limited(VisionLimits(), TokenRange(1280, 16384))
    height, width = smart_resize(side_px, side_px, limits)
    assert least <= height * width // 28**2 <= most


@pytest.mark.parametrize("text", ["2-100", "1280-99999"])
def test_a_range_outside_of_the_model_is_refused(text: str) -> None:
    with pytest.raises(UsageError, check=telling("this model takes 4 to 16,384 image tokens")):
        limited(VisionLimits(), parse_detail(text))


def test_a_model_of_few_tokens_gives_no_more() -> None:
    tiny = VisionLimits(28, 12544, 19600, own_max_pixels=19600)
    for detail in Detail:
        assert limited(tiny, detail).max_tokens == 25
    for number in (15, 26):
        with pytest.raises(
            UsageError, check=telling(f"--detail {number}: this model takes 16 to 25")
        ):
            limited(tiny, number)
    assert limited(tiny, 16).max_pixels == 12544


@given(st.lists(st.tuples(st.integers(1, 3000), st.booleans()), max_size=12), st.integers(0, 9000))
def test_sharing(pictures: list[tuple[int, bool]], room: int) -> None:
    wanted, fixed = [tokens for tokens, _ in pictures], [is_fixed for _, is_fixed in pictures]

    def total(each: int) -> int:
        return sum(t if keeps else min(t, each) for t, keeps in pictures)

    each = share(wanted, fixed, room)
    if each is None:
        assert all(fixed) or total(1) > room
        return
    assert total(each) <= room
    assert total(each + 1) > room or total(each) == sum(wanted)
