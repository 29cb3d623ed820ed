"""A video file becomes a Clip, or one clear line; the command line says which frames."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.clip import Clip
from qvq_mlx.core.errors import (
    ImageSizeError,
    ImageUnreadableError,
    InputError,
    NoVideoError,
    UsageError,
)
from qvq_mlx.core.image_names import looks_like_image
from qvq_mlx.core.image_options import Crop, Detail, Frames, ImageOptions, Pages
from qvq_mlx.core.spans import parse_frames, parse_span
from qvq_mlx.families import ModelType
from qvq_mlx.images import containers, film, video
from qvq_mlx.images.footage import Footage, take, tokens_of
from qvq_mlx.records.typed import typed
from qvq_mlx.store import registry
from qvq_mlx.store.stated import stated
from tests.conftest import ROOT, World
from tests.support import seeds
from tests.support.films import FRAMES, HEIGHT, RATE, WIDTH, Steady, record
from tests.support.spelling import hint_of, telling

TAKES = VisionLimits(video=True)
REFERENCE = ROOT / "tests" / "data" / "video" / "reference.json"
PLAIN = ImageOptions()


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of each kind. The names say nothing."""
    folder = tmp_path_factory.mktemp("videos")
    made = {}
    for kind, codec in (
        ("mp4", "mpeg4"),
        ("mov", "mpeg4"),
        ("avi", "mjpeg"),
        ("mkv", "mpeg4"),
        ("webm", "libvpx"),
    ):
        path = record(folder / f"made.{kind}", codec)
        made[kind] = path.rename(folder / f"{kind}-without-a-name")
    return made


def steady(name: str, width_px: int, height_px: int, frames: int, rate: float) -> Footage:
    return Footage(name, width_px, height_px, Steady(frames, rate), frames / rate)


def read(path: Path | bytes, look: ImageOptions = PLAIN, limits: VisionLimits = TAKES) -> Clip:
    if isinstance(path, bytes):
        [clip] = images.read(
            "-", limits, images.ImageSources(cast("io.BytesIO", _Pipe(path))), look
        )
    else:
        [clip] = images.read(str(path), limits, images.ImageSources(io.BytesIO()), look)
    assert isinstance(clip, Clip)
    return clip


class _Pipe(io.BytesIO):
    def isatty(self) -> bool:
        return False


def red(clip: Clip, number: int) -> float:
    """The share of frame `number` that is red."""
    image = Image.frombytes("RGB", (clip.width_px, clip.height_px), clip.frames[number])
    channel = image.getchannel("R").point(lambda value: 255 if value > 155 else 0)
    return channel.histogram()[255] / (clip.width_px * clip.height_px)


@pytest.mark.parametrize("kind", ["mp4", "mov", "avi", "mkv", "webm"])
def test_every_kind_is_read_by_its_content(videos: dict[str, Path], kind: str) -> None:
    clip = read(videos[kind])
    assert (clip.source_width_px, clip.source_height_px) == (WIDTH, HEIGHT)
    assert clip.duration_s == pytest.approx(2.0)
    assert clip.fps == pytest.approx(2.0)
    assert [round(time_s * RATE) for time_s in clip.times_s] == [0, 13, 26, 39]
    for number, time_s in enumerate(clip.times_s):
        assert red(clip, number) == pytest.approx((round(time_s * RATE) + 1) / FRAMES, abs=0.03)
    assert clip.tokens == 2 * (clip.height_px // 28) * (clip.width_px // 28)
    assert clip.sha256 == images.hashlib.sha256(videos[kind].read_bytes()).hexdigest()


def test_stdin_and_a_file_give_the_same(videos: dict[str, Path]) -> None:
    piped, opened = read(videos["webm"].read_bytes()), read(videos["webm"])
    assert piped.frames == opened.frames
    assert piped.sha256 == opened.sha256


def test_the_receipt_says_what_was_taken(videos: dict[str, Path]) -> None:
    path = videos["mp4"]
    assert read(path).receipt == f"{path.name} 96×64 2.0 s · 4 frames → 392×280 · 280 tokens"
    part = read(path, ImageOptions(frames=Frames(count=1, span_s=(0.5, 1.5))))
    assert (
        part.receipt == f"{path.name} 96×64 2.0 s, 0.5 s to 0.5 s · 1 frame → 392×280 · 140 tokens"
    )


def test_a_span_and_a_number_of_frames(videos: dict[str, Path]) -> None:
    part = read(videos["avi"], ImageOptions(frames=Frames(count=5, span_s=(0.5, 1.5))))
    assert [round(time_s * RATE) for time_s in part.times_s] == [10, 15, 20, 25, 30]
    assert part.span_s == (0.5, 1.5)
    assert part.steps == 3
    assert part.step_times_s == pytest.approx((0.625, 1.125, 1.5))
    for number, index in enumerate((10, 15, 20, 25, 30)):
        assert red(part, number) == pytest.approx((index + 1) / FRAMES, abs=0.03)
    denser = read(videos["avi"], ImageOptions(frames=Frames(fps=10)))
    assert len(denser.frames) == 20
    assert denser.step_s == pytest.approx(0.2)
    rest = read(videos["avi"], ImageOptions(frames=Frames(span_s=(1.0, None))))
    assert rest.times_s[0] == 1.0
    assert rest.times_s[-1] == pytest.approx(1.95)


def test_far_frames_are_the_same_when_they_are_sought(tmp_path: Path) -> None:
    path = record(tmp_path / "long.mp4", frames=1200)
    clip = read(path, ImageOptions(frames=Frames(count=3)))
    assert max(b - a for a, b in zip(clip.times_s, clip.times_s[1:], strict=False)) * RATE > (
        film.SEEK_FRAMES
    )
    middle = red(clip, 1)
    assert middle == pytest.approx(0.5, abs=0.02)
    near = read(path, ImageOptions(frames=Frames(count=9, span_s=(0.0, 30.0))))
    assert red(near, 8) == pytest.approx(middle, abs=0.005)


def test_the_rotation_of_a_phone_is_applied(videos: dict[str, Path], tmp_path: Path) -> None:
    data = videos["mp4"].read_bytes()
    matrix = data.index(b"tkhd") + 44  # version 0: 40 bytes of other fields before it
    one, w = 0x10000, 0x40000000
    turned = struct.pack(">9i", 0, one, 0, -one, 0, 0, HEIGHT << 16, 0, w)  # 90° clockwise
    path = tmp_path / "turned"
    path.write_bytes(data[:matrix] + turned + data[matrix + 36 :])
    clip = read(path, ImageOptions(frames=Frames(count=2)))
    assert (clip.source_width_px, clip.source_height_px) == (HEIGHT, WIDTH)
    first = Image.frombytes("RGB", (clip.width_px, clip.height_px), read(path).frames[1])
    left, top = clip.width_px // 8, clip.height_px // 8
    assert first.getpixel((left, top))[0] > 155  # what was left is now at the top
    assert first.getpixel((clip.width_px - left, top))[0] > 155
    assert first.getpixel((left, clip.height_px - top))[0] < 155


def test_what_is_broken_is_one_line(videos: dict[str, Path], tmp_path: Path) -> None:
    mp4, avi, webm = (videos[kind].read_bytes() for kind in ("mp4", "avi", "webm"))
    path = tmp_path / "broken"
    for data, words in (
        (mp4[: len(mp4) // 2], "no video can be decoded"),
        (mp4[:64], "no video can be decoded"),
        (mp4.replace(b"vide", b"soun"), "holds sound only"),
        (avi[: len(avi) // 2], "frames can be decoded"),
        (webm[: len(webm) * 2 // 3], "frames can be decoded"),
        (b"\x1a\x45\xdf\xa3" + bytes(500), "no video can be decoded"),
        (b"RIFF\0\0\0\0AVI LIST", "no video can be decoded"),
    ):
        path.write_bytes(data)
        with pytest.raises(ImageUnreadableError, match=words) as raised:
            read(path)
        assert "\n" not in raised.value.message


def test_the_whole_part_of_a_cut_off_video_can_be_asked_about(
    videos: dict[str, Path], tmp_path: Path
) -> None:
    data = videos["avi"].read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ImageUnreadableError) as raised:
        read(path)
    span = parse_span(hint_of(raised.value).split("--span ")[1].split()[0])
    clip = read(path, ImageOptions(frames=Frames(span_s=span)))
    assert 0.5 < clip.times_s[-1] < 2.0


def test_libraries_are_silent(
    videos: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(videos["mp4"].read_bytes())
    begin = data.index(b"mdat") + 200
    data[begin : begin + 400] = bytes(range(200)) * 2
    path = tmp_path / "noisy"
    path.write_bytes(data)
    with suppress(InputError):  # FFmpeg may make up what is damaged: only silence is asked for
        read(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.seeded
def test_mutated_files_end_in_a_clip_or_one_line(
    videos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "MAX_DECODE_S", 5.0)
    draw = seeds.dice("video")
    path = tmp_path / "mutated"
    messages: list[str] = []
    clips = 0
    for _ in range(48):
        data = bytearray(videos[draw.choice(list(videos))].read_bytes())
        match draw.randrange(3):
            case 0:
                del data[draw.randrange(16, len(data)) :]
            case 1:
                for _ in range(draw.randint(1, 30)):
                    data[draw.randrange(12, len(data))] ^= 1 << draw.randrange(8)
            case _:  # lies in the header, where the numbers are
                begin = draw.choice((12, max(12, len(data) - 2000)))
                for _ in range(draw.randint(1, 8)):
                    at = draw.randrange(begin, min(begin + 2000, len(data) - 4))
                    data[at : at + 4] = draw.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
        path.write_bytes(data)
        try:
            clip = read(path)
        except (InputError, UsageError) as error:
            messages.append(error.message)
        else:
            assert len(clip.frames) == len(clip.times_s)
            assert {len(frame) for frame in clip.frames} == {clip.width_px * clip.height_px * 3}
            clips += 1
    assert clips
    assert messages
    assert not any("\n" in message for message in messages)


def test_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(b"\0\0\0\x1cftypisom")
        file.truncate(100 * 2**30)
    with pytest.raises(ImageSizeError, match="102,400 MiB is too large"):
        read(path)


def test_decoding_ends_in_time(videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "MAX_DECODE_S", -1.0)
    with pytest.raises(ImageUnreadableError, check=telling("--span")):
        read(videos["mp4"])


@pytest.mark.parametrize(
    ("head", "is_one"),
    [
        (b"\0\0\0\x1cftypisom", True),
        (b"\0\0\0\x14ftypqt  ", True),
        (b"\0\0\0\x18ftypheic", False),
        (b"\0\0\0\x18ftypmif1", False),
        (b"\0\0\0\x18ftypavif", False),
        (b"\x89PNG\r\n\x1a\n", False),
        (b"RIFF\0\0\0\0WEBPVP8 ", False),
        (b"GIF89a", False),
        (b"", False),
    ],
)
def test_pictures_are_no_videos(head: bytes, is_one: bool) -> None:
    assert containers.is_video(head) is is_one


def test_frames_and_spans_equal_the_reference() -> None:
    taken = json.loads(REFERENCE.read_text())["taken"]
    same = total = 0
    for case in taken:
        footage = steady("v", 448, 252, case["frames"], case["rate"])
        frames = Frames(
            fps=None if case["fps"] == 2.0 else min(case["fps"], case["rate"]),
            span_s=tuple(case["span"]) if case["span"] else None,
        )
        if case["fps"] > case["rate"]:
            continue
        try:
            ours = take(footage, frames, 10**9, TAKES).indices
        except UsageError:  # more than the 768 frames that the reference stops at in silence
            assert len(case["indices"]) == 768
            assert frames.fps is not None
            continue
        assert len(ours) == len(case["indices"])
        apart = [abs(a - b) for a, b in zip(ours, case["indices"], strict=True)]
        assert max(apart) <= 1  # the reference divides in 32 bit: halves may fall the other way
        same, total = same + apart.count(0), total + len(apart)
    assert total > 3000
    assert same / total > 0.995


def test_sizes_equal_the_reference() -> None:
    """With its own bound on the whole clip, which is wider than any that is used."""
    for case in json.loads(REFERENCE.read_text())["sized"]:
        footage = steady("v", case["width"], case["height"], 10**6, 30.0)
        limits = VisionLimits(factor_px=case["factor"], video=True)
        found = take(footage, Frames(count=case["count"]), 115_200, limits)
        assert [found.height_px, found.width_px] == case["size"]


@settings(max_examples=200)
@example(width=5600, height=28, count=1000, rate=30.0, detail=4096, factor=28)
@example(width=5600, height=28, count=1000, rate=8.0, detail=8192, factor=28)
@given(
    width=st.integers(1, 8000),
    height=st.integers(1, 4000),
    count=st.integers(1, 10**6),
    rate=st.floats(0.1, 240),
    detail=st.sampled_from([*Detail, 300, 5000]),
    factor=st.sampled_from([28, 32]),
)
def test_no_clip_takes_more_than_its_detail(
    width: int, height: int, count: int, rate: float, detail: Detail | int, factor: int
) -> None:
    footage = steady("v", width, height, count, rate)
    limits = VisionLimits(factor_px=factor, video=True)
    budget_tokens = tokens_of(detail)
    try:
        found = take(footage, Frames(), budget_tokens, limits)
    except ImageSizeError:
        assert max(width, height) > 200 * min(width, height)
        return
    assert found.tokens <= budget_tokens
    assert 1 <= len(found.indices) <= min(count, 768)
    assert list(found.indices) == sorted(set(found.indices))
    assert found.indices[-1] < count
    if max(width, height) <= 4 * min(width, height):
        assert found.tokens >= 100 * -(-len(found.indices) // 2)


def test_what_is_asked_for_by_number_is_given_or_refused() -> None:
    footage = steady("v.mp4", 320, 180, 3600, 30.0)

    def refusal(frames: Frames, tokens: int = 4096) -> UsageError:
        with pytest.raises(UsageError) as raised:
            take(footage, frames, tokens, TAKES)
        return raised.value

    assert hint_of(refusal(Frames(count=4000))) == "qvq ask --frames 3600 ..."
    assert hint_of(refusal(Frames(count=100))) == "qvq ask --frames 56 ..."
    assert hint_of(refusal(Frames(fps=2))) == "qvq ask --frames 56 ..."
    assert hint_of(refusal(Frames(fps=31))) == "qvq ask --fps 30 ..."
    assert hint_of(refusal(Frames(span_s=(121, None)))) == "qvq ask --span 0s-120.0s ..."
    assert hint_of(refusal(Frames(), tokens=100)) == "qvq ask --detail 144 ..."
    for count in (1, 2, 5, 56):
        assert len(take(footage, Frames(count=count), 4096, TAKES).indices) == count
    assert len(take(footage, Frames(), 4096, TAKES).indices) == 56
    with pytest.raises(UsageError, match="16,384"):
        tokens_of(20_000)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("3s-12s", (3, 12)),
        ("3-12", (3, 12)),
        ("0:03-0:12", (3, 12)),
        ("0.5s-1.25", (0.5, 1.25)),
        ("1:02:03.5-1:02:04", (3723.5, 3724)),
        ("90s-", (90, None)),
        (" 3s - 12s ", (3, 12)),
        ("3s–12s", (3, 12)),
    ],
)
def test_spans_are_read(text: str, span: tuple[float, float | None]) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize(
    "text", ["", "-", "3s", "12-3", "3-3", "a-b", "1:2:3:4-5", "-3--1", "nan-4"]
)
def test_no_span_is_guessed(text: str) -> None:
    with pytest.raises(UsageError):
        parse_span(text)


def test_fps_and_frames_exclude_each_other() -> None:
    with pytest.raises(UsageError, check=telling("--fps and --frames")):
        parse_frames(1.0, 4, None)
    with pytest.raises(UsageError, match="above 0"):
        parse_frames(0.0, None, None)
    with pytest.raises(UsageError, match="above 0"):
        parse_frames(float("nan"), None, None)


def test_a_video_has_the_form_of_an_image() -> None:
    for name in ("a.mp4", "a b.MOV", "a.m4v", "a.mkv", "a.webm", "a.avi"):
        assert looks_like_image(name)


def test_crops_and_pages_are_for_pictures(videos: dict[str, Path]) -> None:
    for look in (ImageOptions(crop=Crop(0, 0, 9, 9)), ImageOptions(pages=Pages(((1, 2),)))):
        with pytest.raises(UsageError, match="is for pictures"):
            read(videos["mp4"], look)


def test_the_cards_say_who_takes_videos() -> None:
    for card in registry.cards():
        takes = card.family and card.name.startswith(("qwen2-vl", "qwen2.5-vl", "qwen3"))
        assert card.vision.video is bool(takes), card.name


def test_the_catalogue_says_who_takes_videos(world: Callable[..., World]) -> None:
    w = world([])
    assert w.run("models", "--json") == 0
    takes = {model["name"]: model["takes_video"] for model in json.loads(w.out)["models"]}
    assert takes["qwen2.5-vl-7b"]
    assert not takes["qvq-72b-preview"]
    shown = world([])
    assert shown.run("show", "qvq") == 0
    assert "sees\tpictures\n" in shown.out


@pytest.mark.parametrize(
    ("name", "template", "takes"),
    [
        ("mine", None, True),
        ("mine", "<|vision_start|><|video_pad|><|vision_end|>", True),
        ("mine", "<|vision_start|><|image_pad|><|vision_end|>", False),
        ("someone/QVQ-tuned", "<|vision_start|><|video_pad|><|vision_end|>", False),
    ],
)
def test_a_folder_that_no_card_knows_takes_what_its_template_has(
    tmp_path: Path, name: str, template: str | None, takes: bool
) -> None:
    from qvq_mlx.core.card import ModelCard

    config = {"model_type": str(ModelType.QWEN2_VL), "vision_config": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    if template is not None:
        (tmp_path / "chat_template.jinja").write_text(template)
    card = stated(ModelCard(name=name, summary="", family="", licence=""), tmp_path)
    assert card.vision.video is takes


def test_a_model_that_takes_none_refuses(
    videos: dict[str, Path], world: Callable[..., World]
) -> None:
    with pytest.raises(NoVideoError):
        read(videos["mp4"], limits=VisionLimits())
    w = world([])
    assert w.run("ask", "-m", "tiny", str(videos["mp4"]), "what?") == 2
    assert w.err.startswith(
        f"error[no-video]: qvq-tiny takes pictures only, and {videos['mp4']} is a"
    )
    hint = w.err.splitlines()[1].removeprefix("  try: qvq pull ")
    assert registry.find(hint).vision.video
    assert w.out == ""


def test_options_for_videos_need_one(world: Callable[..., World]) -> None:
    w = world([])
    picture = str(ROOT / "examples" / "shapes.png")
    assert w.run("ask", "-m", "tiny", "--fps", "1", picture, "what?") == 2
    assert "no new one is given" in w.err


def test_a_clip_among_pictures_is_asked_and_recorded(
    videos: dict[str, Path], world: Callable[..., World], tmp_path: Path
) -> None:
    from tests.engine.families import write

    folder = write(ModelType.QWEN2_5_VL, tmp_path / "model")
    picture = tmp_path / "small.png"
    Image.new("RGB", (56, 56), "red").save(picture)
    w = world()
    arguments = ("--json", "--max-tokens", "3", "--frames", "3", "--span", "0.5-1.5")
    sources = (str(picture), str(videos["webm"]), str(picture))
    assert w.run("ask", "-m", str(folder), *arguments, *sources, "what?") == 3
    found = json.loads(w.out)["images"]
    assert [image["path"] for image in found] == list(sources)
    assert [image["video"] is None for image in found] == [True, False, True]
    clip = found[1]["video"]
    assert (clip["frames"], clip["start_s"], clip["end_s"]) == (3, 0.5, 1.5)
    assert clip["times_s"] == [0.5, 1.0, 1.5]
    assert clip["fps"] == pytest.approx(3 / 21 * RATE)
    assert found[1]["tokens"] == 2 * 140
    again = world()
    assert again.run("ask", "-c", "-v", "--max-tokens", "3", "and then?") == 3
    receipt = "96×64 2.0 s, 0.5 s to 1.5 s · 3 frames → 392×280 · 280 tokens"
    assert receipt in again.err
    third = world()
    assert third.run("ask", "-c", "--fps", "1", "and then?") == 2
    assert "no new one is given" in third.err
    watched = world(tty=True, err_tty=True, size=(120, 24))
    watched.run("last")
    assert receipt in watched.out + watched.err


def test_a_look_at_a_video_survives_the_history() -> None:
    for frames in (Frames(), Frames(fps=1.5, span_s=(1, 2.5)), Frames(count=3, span_s=(0.5, None))):
        look = ImageOptions(frames=frames)
        assert typed(ImageOptions, json.loads(json.dumps(asdict(look)))) == look
