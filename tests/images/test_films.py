"""Healthy films of unusual timing are read, and their times are those that ffprobe prints."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.clip import Clip
from qvq_mlx.core.errors import ImageUnreadableError, UsageError
from qvq_mlx.core.image_options import Frames, ImageOptions
from qvq_mlx.images import film
from tests.support.films import FRAMES, RATE, record

TAKES = VisionLimits(video=True)
UNEVEN = [0.0, 0.05, 0.1, 1.0, 1.05, 2.5, 2.6, 2.7, 3.9, 4.0]
needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not here")


def read(path: Path, frames: Frames = Frames()) -> Clip:  # noqa: B008  (it is frozen)
    sources = images.ImageSources(io.BytesIO(), "")
    clip = images.read(str(path), TAKES, sources, ImageOptions(frames=frames))[0]
    assert isinstance(clip, Clip)
    return clip


def listed(path: Path) -> film.Reel:
    return film.listed(path.read_bytes(), time.monotonic() + 60)


def red(clip: Clip, number: int) -> float:
    """The share of frame `number` that is red."""
    image = Image.frombytes("RGB", (clip.width_px, clip.height_px), clip.frames[number])
    return float((np.asarray(image)[..., 0] > 155).mean())


def probed(path: Path) -> list[float]:
    """The times of all frames that ffprobe decodes."""
    argv = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-of", "json"]
    argv += ["-show_entries", "frame=best_effort_timestamp_time", str(path)]
    said = subprocess.run(argv, capture_output=True, check=True).stdout
    return sorted(float(f["best_effort_timestamp_time"]) for f in json.loads(said)["frames"])


def ffmpeg(*words: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, words)], check=True)


def trimmed(folder: Path) -> Path:
    """From 0.5 s on, without encoding again: the edit list hides what the key frame needs."""
    ffmpeg("-ss", "0.5", "-i", record(folder / "whole.mp4", gop=40), "-c", "copy", folder / "a.mp4")
    return folder / "a.mp4"


def late(folder: Path) -> Path:
    record(folder / "sound.mkv", sound_s=4.0)
    later = ("-itsoffset", "0.7", "-i", folder / "sound.mkv", "-i", folder / "sound.mkv")
    ffmpeg(*later, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", folder / "a.mov")
    return folder / "a.mov"


def b_frames(folder: Path) -> Path:
    ffmpeg("-i", record(folder / "plain.mp4"), "-c:v", "mpeg4", "-bf", "2", folder / "a.mp4")
    return folder / "a.mp4"


def fragmented(folder: Path) -> Path:
    return record(folder / "a.mp4", options={"movflags": "frag_keyframe+empty_moov"})


MADE: dict[str, Callable[[Path], Path]] = {
    "sound that outlasts the picture, mkv": lambda f: record(f / "a.mkv", sound_s=4.0),
    "sound that outlasts the picture, mov": lambda f: record(f / "a.mov", sound_s=4.0),
    "a rate that varies, mp4": lambda f: record(f / "a.mp4", frames=10, times_s=UNEVEN),
    "a rate that varies, mkv": lambda f: record(f / "a.mkv", frames=10, times_s=UNEVEN),
    "a late start": lambda f: record(f / "a.mkv", times_s=[1.5 + n / RATE for n in range(FRAMES)]),
    "fragments": fragmented,
    "vp8 with hidden frames": lambda f: record(f / "a.webm", "libvpx"),
    "mjpeg": lambda f: record(f / "a.avi", "mjpeg"),
}
CUT: dict[str, Callable[[Path], Path]] = {
    "an edit list": trimmed,
    "a late start beside sound": late,
    "frames in another order": b_frames,
}


@needs_ffmpeg
@pytest.mark.parametrize("name", [*MADE, *CUT])
def test_times_are_those_of_ffprobe(name: str, tmp_path: Path) -> None:
    path = {**MADE, **CUT}[name](tmp_path)
    reel, expected = listed(path), probed(path)
    assert len(reel.stamps) == len(expected)
    assert reel.times_s == pytest.approx(expected, abs=0.5 / RATE)
    clip = read(path)
    assert all(any(abs(at - there) < 0.5 / RATE for there in expected) for at in clip.times_s)


@needs_ffmpeg
def test_an_edit_list_hides_what_it_hides(tmp_path: Path) -> None:
    path = trimmed(tmp_path)
    clip = read(path)
    assert clip.duration_s == pytest.approx(1.5, abs=1 / RATE)
    assert red(clip, 0) == pytest.approx(11 / FRAMES, abs=0.04)  # what was shown at 0.5 s


def test_the_pictures_length_is_the_clips(tmp_path: Path) -> None:
    clip = read(record(tmp_path / "a.mkv", sound_s=4.0))
    assert clip.duration_s == pytest.approx(2.0, abs=0.01)
    assert clip.times_s[-1] == pytest.approx(1.95, abs=0.01)


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_a_span_of_a_rate_that_varies(kind: str, tmp_path: Path) -> None:
    path = record(tmp_path / f"a.{kind}", frames=10, times_s=UNEVEN)
    clip = read(path, Frames(span_s=(1.0, 2.65)))
    assert clip.times_s == pytest.approx((1.0, 1.05, 2.5, 2.6))
    for number, index in enumerate((3, 4, 5, 6)):
        assert red(clip, number) == pytest.approx((index + 1) / 10, abs=0.04)
    whole = read(path)
    assert whole.duration_s == pytest.approx(
        4.05, abs=0.4
    )  # how long the last one stays is a guess
    with pytest.raises(UsageError, match="no frame lies in that"):
        read(path, Frames(span_s=(1.2, 2.4)))


def test_frames_of_a_rate_that_varies_are_even_in_time(tmp_path: Path) -> None:
    times_s = [n / 20 for n in range(20)] + [1 + n / 2 for n in range(9)]
    clip = read(record(tmp_path / "a.mkv", frames=29, times_s=times_s), Frames(count=6))
    assert clip.times_s == pytest.approx((0.0, 1.0, 2.0, 3.0, 4.0, 5.0), abs=0.01)


def test_a_late_start_has_its_own_clock(tmp_path: Path) -> None:
    path = record(tmp_path / "a.mkv", times_s=[1.5 + n / RATE for n in range(FRAMES)])
    clip = read(path, Frames(span_s=(2.0, 3.0)))
    assert clip.times_s[0] == pytest.approx(2.0, abs=0.01)
    assert red(clip, 0) == pytest.approx(11 / FRAMES, abs=0.04)
    assert clip.duration_s == pytest.approx(2.0, abs=0.06)


@pytest.mark.parametrize(
    ("kind", "codec"), [("mkv", "mpeg4"), ("webm", "libvpx"), ("avi", "mjpeg")]
)
def test_a_cut_film_is_still_said_to_be_cut(kind: str, codec: str, tmp_path: Path) -> None:
    path = record(tmp_path / f"a.{kind}", codec, frames=200)
    data = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ImageUnreadableError, match="cut off or damaged"):
            read(path)


def test_a_cut_mp4_whose_index_comes_first(tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", frames=200, options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    with pytest.raises(ImageUnreadableError, match=r"of 200 frames can be decoded"):
        read(path)
    assert len(read(path, Frames(span_s=(0.0, 3.0))).frames) == 6


def test_no_film_opens_another_file(tmp_path: Path) -> None:
    """A playlist that names a file is no film, whatever it is called."""
    record(tmp_path / "secret.mp4")
    path = tmp_path / "list.mp4"
    path.write_text(f"ffconcat version 1.0\nfile {tmp_path}/secret.mp4\n")
    with pytest.raises(ImageUnreadableError, match="is text"):
        read(path)
