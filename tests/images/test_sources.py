"""Where pictures come from, apart from the web, and which of their pages and frames are read."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shlex
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qvq_mlx import images
from qvq_mlx.core.card import ModelCard, VisionLimits
from qvq_mlx.core.errors import (
    ExitCode,
    ImageNotFoundError,
    ImageSizeError,
    ImageUnreadableError,
    InputError,
    QvqError,
    StoppedError,
    UsageError,
)
from qvq_mlx.core.image_options import MAX_PICTURES, ImageOptions, Pages, parse_pages
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Request
from qvq_mlx.images import data_uri, mac, pdf, sources
from qvq_mlx.images.frames import MAX_COUNT, frames
from qvq_mlx.images.globs import expanded, natural
from qvq_mlx.images.pages import Sheet, pages_of
from qvq_mlx.run import image_budget
from qvq_mlx.run.inputs import subjects_of
from qvq_mlx.system import programs
from tests.conftest import EXAMPLES, World
from tests.support import seeds
from tests.support.pdfs import BLUE, RED, encrypted, nested_forms, stream
from tests.support.pdfs import pdf as written
from tests.support.spelling import hint_of, sentence_of, telling
from tests.support.waiting import eventually

EXACT = VisionLimits(min_pixels=1, max_pixels=2**40)
COLOURS = ("red", "blue", "lime", "yellow", "black", "white", "cyan", "magenta", "gray", "orange")

pillow_heif.register_heif_opener()


def read(
    source: str, look: str = "", stdin: bytes = b"", path: str | None = None
) -> tuple[Picture, ...]:
    image_sources = images.ImageSources(io.BytesIO(stdin), path)
    return images.read(
        source, EXACT, image_sources, ImageOptions(pages=parse_pages(look) if look else Pages())
    )


def refused(source: str, kind: type[QvqError], look: str = "", stdin: bytes = b"") -> QvqError:
    with pytest.raises(QvqError) as caught:
        read(source, look, stdin)
    assert type(caught.value) is kind, caught.value.message
    assert "\n" not in caught.value.message
    return caught.value


def encoded(colours: Sequence[str], form: str, size: tuple[int, int] = (56, 28)) -> bytes:
    """One picture per colour, in one file."""
    first, *rest = (Image.new("RGB", size, colour) for colour in colours)
    options: dict[str, object] = {"lossless": True} if form == "WEBP" else {}
    if form in ("AVIF", "HEIF"):
        options = {"quality": 95}
    if form == "GIF":
        options = {"optimize": False}
    out = io.BytesIO()
    first.save(out, form, save_all=True, append_images=rest, **options)  # type: ignore[arg-type]
    return out.getvalue()


def colour(picture: Picture) -> str:
    """Which of COLOURS the middle pixel is."""
    shape = (picture.height_px, picture.width_px, 3)
    seen = np.frombuffer(picture.rgb, np.uint8).reshape(shape)
    middle = seen[shape[0] // 2, shape[1] // 2].astype(int)
    found = Image.new("RGB", (1, 1))
    distances = {}
    for name in COLOURS:
        found.paste(name, (0, 0, 1, 1))
        pixel = found.getpixel((0, 0))
        distances[name] = int(np.abs(middle - np.array(pixel)).sum())
    assert min(distances.values()) <= 12
    return min(distances, key=lambda name: distances[name])


PNG = encoded(["red"], "PNG")


def _screen() -> bytes:
    """A picture of two colours, red in the middle."""
    image = Image.open(io.BytesIO(PNG)).convert("RGB")
    image.putpixel((0, 0), (0, 0, 255))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


SCREEN = _screen()


# ---------------------------------------------------------------- data URIs


def uri(content: bytes, head: str = "data:image/png;base64") -> str:
    return f"{head},{base64.b64encode(content).decode()}"


def test_data_uris_of_looser_writers() -> None:
    for head in ("data:image/png; base64", "data:image/png;charset=x ;Base64 "):
        assert colour(read(uri(PNG, head))[0]) == "red"
    content = next(
        data
        for data in (encoded(["red"], "PNG") + bytes([n]) * 3 for n in range(256))
        if {b"-", b"_"} & {bytes([c]) for c in base64.urlsafe_b64encode(data)}
    )
    safe = "data:image/png;base64," + base64.urlsafe_b64encode(content).decode()
    assert colour(read(safe)[0]) == "red"


def test_a_file_url_without_a_host(tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(PNG)
    for scheme in ("file:", "FILE:"):
        assert colour(read(f"{scheme}{tmp_path}/a%20b.png")[0]) == "red"


def test_data_uris() -> None:
    percent = "data:image/png," + "".join(f"%{byte:02x}" for byte in PNG)
    plain = uri(PNG)
    for source in (
        plain,
        plain.rstrip("="),
        plain.replace("=", "%3D"),
        percent,
        uri(PNG, "DATA:;Base64"),
    ):
        (picture,) = read(source)
        assert colour(picture) == "red"
        assert picture.sha256 == hashlib.sha256(PNG).hexdigest()
        assert picture.name == source[:32] + "…"
    wrapped = plain[:60] + "\n" + plain[60:]
    assert colour(read(wrapped)[0]) == "red"
    assert colour(read(uri(PNG, "data:text/html;charset=utf-8;base64"))[0]) == "red"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("data:image/png;base64", "has no comma"),
        ("data:image/png;base64,", "holds no bytes"),
        ("data:,", "holds no bytes"),
        ("data:image/png;base64,iVBO*w0K", "its base64 is cut off or damaged"),
        ("data:image/png;base64,A", "its base64 is cut off or damaged"),
        ("data:image/png;base64,iVBORw0KGgo=", "the PNG is cut off or damaged"),
        ("data:,Hello", "is text, not a picture"),
        ("data:image/svg+xml,%3Csvg%3E%3C/svg%3E", "is an SVG drawing"),
        ("data:image/png,图", "is text, not a picture"),
    ],
)
def test_data_uris_that_hold_no_picture(source: str, says: str) -> None:
    assert says in refused(source, ImageUnreadableError).message


def test_a_data_uri_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_uri, "MAX_CHARACTERS", 100)
    error = refused("data:image/png;base64," + "A" * 79, ImageSizeError)
    assert error.message.endswith("101 characters are too many; the limit is 100")
    assert len(error.message) < 120


# ---------------------------------------------------------------- patterns


def test_a_pattern_names_files_in_natural_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("img10.png", "IMG2.png", "img1.png", ".img0.png", "img3.txt", "a/img4.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    (tmp_path / "img5.png").mkdir()
    assert expanded("*.png") == ("img1.png", "IMG2.png", "img10.png")
    assert expanded("img?.*") == ("img1.png", "img3.txt")
    assert expanded("[iI]*[12].png") == ("img1.png", "IMG2.png")
    assert expanded("**/img4.png") == ("a/img4.png",)
    assert expanded("~/i*1.png") == (f"{tmp_path}/img1.png",)
    assert expanded(f"file://{tmp_path}/*") == (f"file://{tmp_path}/*",)
    for source in (
        "img1.png",
        "-",
        "clip",
        "https://a/*.png",
        "data:image/png;base64,?*",
        "nul\0*",
    ):
        assert expanded(source) == (source,)
    subjects = subjects_of(Request("?", ("img*.png", "IMG2.png"), "tiny"))
    assert [one.name for one in subjects] == ["img1.png", "img10.png", "IMG2.png"]


def test_what_exists_is_no_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("shot[1].png", "shot1.png", "what?.png"):
        (tmp_path / name).write_bytes(PNG)
    assert expanded("shot[1].png") == ("shot[1].png",)
    assert expanded("what?.png") == ("what?.png",)
    assert expanded("shot[12].png") == ("shot1.png",)


def test_a_pattern_that_names_nothing_or_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shots").mkdir()
    for pattern, folder in (("*.png", "."), ("shots/*.png", "shots"), ("no/*/a.png", ".")):
        with pytest.raises(ImageNotFoundError) as caught:
            expanded(pattern)
        assert caught.value.message == f"{pattern}: no file matches"
        assert (caught.value.exit_code, hint_of(caught.value)) == (6, f"ls -l {folder}")
    for number in range(MAX_PICTURES + 1):
        (tmp_path / "shots" / f"{number}.png").write_bytes(b"")
    with pytest.raises(ImageSizeError, match="more than 128 files match"):
        expanded("shots/*")


@given(st.lists(st.text(max_size=12), max_size=8))
def test_the_natural_order_is_one(names: list[str]) -> None:
    backwards = names[::-1]
    backwards.sort(key=natural)
    assert backwards == sorted(names, key=natural)


def test_the_natural_order() -> None:
    names = ["b1", "img10", "img2", "Img1", "img2a", "img02", "a", "img"]
    expected = ["a", "b1", "img", "Img1", "img02", "img2", "img2a", "img10"]
    assert sorted(names, key=natural) == expected


def test_a_question_takes_so_many_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    image_sources = images.ImageSources(io.BytesIO())
    card = ModelCard("any", "", "", "", vision=EXACT)

    def shared(count: int) -> int:
        looks = [ImageOptions()] * count
        read = lambda _index, look: images.read(str(tmp_path / "a.png"), EXACT, image_sources, look)  # noqa: E731
        return len(
            image_budget.fit_images(card, looks, None, 0, read, lambda wanted: wanted).pictures
        )

    assert shared(MAX_PICTURES) == MAX_PICTURES
    with pytest.raises(ImageSizeError, match="beyond the 128 pictures"):
        shared(MAX_PICTURES + 1)


# ---------------------------------------------------------------- pipes


NEEDS_FD = pytest.mark.skipif(not Path("/dev/fd/0").exists(), reason="/dev/fd is not here")


@NEEDS_FD
def test_a_pipe_that_the_shell_made_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    code = (
        "import io, sys\nfrom qvq_mlx import images\nfrom qvq_mlx.core.card import VisionLimits\n"
        "picture, = images.read(sys.argv[1], VisionLimits(), images.ImageSources(io.BytesIO()))\n"
        "print(sys.argv[1] == picture.name, picture.source_width_px)"
    )
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} <(cat {tmp_path}/a.png)"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "True 56\n"


@NEEDS_FD
def test_a_pipe_is_bounded_and_may_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 2**16)

    def feed(into: int, content: bytes) -> None:
        with suppress(BrokenPipeError), os.fdopen(into, "wb") as file:
            file.write(content)

    for content, kind, says in (
        (b"", ImageUnreadableError, "the pipe holds no bytes"),
        (bytes(2**17), ImageSizeError, "the pipe holds more than 0 MiB"),
    ):
        out, into = os.pipe()
        threading.Thread(target=feed, args=(into, content), daemon=True).start()
        assert says in refused(f"/dev/fd/{out}", kind).message
        os.close(out)


# ---------------------------------------------------------------- other programs


@pytest.fixture
def tools(tmp_path: Path) -> Callable[[str, str], str]:
    """Put a program that is a shell script on a PATH of its own; the PATH.

    What macOS's own say and write: https://ss64.com/mac/screencapture.html (-i: Esc writes no
    file), https://ss64.com/mac/osascript.html, https://ss64.com/mac/sips.html.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "red.png").write_bytes(PNG)
    (tmp_path / "screen.png").write_bytes(SCREEN)

    def add(name: str, script: str) -> str:
        path = folder / name
        path.write_text(
            f"#!/bin/sh\nSCREEN={tmp_path}/screen.png\nPICTURE={tmp_path}/red.png\nLOG={tmp_path}/log\n{script}\n"
        )
        path.chmod(0o755)
        return str(folder)

    return add


def failed(source: str, path: str, kind: type[QvqError]) -> QvqError:
    with pytest.raises(QvqError) as caught:
        read(source, path=path)
    assert type(caught.value) is kind, caught.value.message
    assert "\n" not in caught.value.message
    return caught.value


def test_the_screen(tools: Callable[[str, str], str], tmp_path: Path) -> None:
    path = tools("screencapture", 'echo "$@" > $LOG; for last; do :; done; cp $SCREEN "$last"')
    (picture,) = read("screen", path=path)
    assert (picture.name, colour(picture), picture.page) == ("screen", "red", None)
    assert picture.sha256 == hashlib.sha256(SCREEN).hexdigest()
    words = (tmp_path / "log").read_text().split()
    assert words[:4] == ["-i", "-x", "-t", "png"]
    assert not Path(words[4]).parent.exists()


def test_a_screenshot_that_is_given_up_is_an_interrupt(tools: Callable[[str, str], str]) -> None:
    for script in ("exit 0", "exit 1", 'for last; do :; done; : > "$last"'):
        error = failed("screen", tools("screencapture", script), StoppedError)
        assert error.exit_code is ExitCode.INTERRUPTED
        assert error.message == "screen: no part of the screen was marked"
        assert hint_of(error) == ""  # whoever pressed Esc knows how to ask again


def test_a_screen_that_may_not_be_recorded_is_refused_before_it_is_taken(
    tools: Callable[[str, str], str], tmp_path: Path
) -> None:
    """screencapture itself ends with 0 and a picture of the wallpaper:
    https://github.com/sonichi/sutando/issues/2942.
    """
    path = tools("screencapture", 'touch $LOG; for last; do :; done; cp $SCREEN "$last"')
    with pytest.raises(ImageUnreadableError, match="may not record the screen") as caught:
        mac.screenshot(path, 2**20, lambda: False)
    assert "Privacy_ScreenCapture" in hint_of(caught.value)
    assert not (tmp_path / "log").exists()
    for answer in (True, None):  # None: not a Mac, or one that cannot be asked
        assert mac.screenshot(path, 2**20, lambda answer=answer: answer) == SCREEN
    assert mac.screen_access() is None or sys.platform == "darwin"


def test_a_screen_of_one_colour_is_refused(tools: Callable[[str, str], str]) -> None:
    path = tools("screencapture", 'for last; do :; done; cp $PICTURE "$last"')
    error = failed("screen", path, ImageUnreadableError)
    assert "one colour" in error.message
    assert "Privacy_ScreenCapture" in hint_of(error)


def test_two_captures_at_once_have_a_line_of_their_own(tools: Callable[[str, str], str]) -> None:
    said = "screencapture: cannot run two interactive screen captures at a time"
    error = failed(
        "screen", tools("screencapture", f"echo '{said}' >&2; exit 1"), ImageUnreadableError
    )
    assert error.message.startswith("screen: another capture waits")


def test_a_clipboard_that_says_nothing_may_be_waiting_for_a_person(
    tools: Callable[[str, str], str],
) -> None:
    """https://developer.apple.com/documentation/appkit/nspasteboard/accessbehavior-swift.enum"""
    path = tools("osascript", "sleep 60")
    with pytest.raises(ImageUnreadableError, match="macOS may be asking"):
        mac.pasteboard(f"{path}/osascript", 2**20, wait_s=0.2)


def test_a_screenshot_that_is_not_allowed(tools: Callable[[str, str], str]) -> None:
    path = tools("screencapture", "echo 'could not create image\n from rect' >&2; exit 1")
    error = failed("screen", path, ImageUnreadableError)
    assert error.message == "screen: screencapture says: could not create image from rect"
    assert hint_of(error).startswith("open 'x-apple.systempreferences:")


def test_no_tool_is_here(tmp_path: Path) -> None:
    assert (
        "screencapture, a part of macOS, is not"
        in failed("screen", str(tmp_path), ImageUnreadableError).message
    )
    error = failed("clip", str(tmp_path), ImageUnreadableError)
    assert error.message == (
        "clip: none of osascript, wl-paste and xclip is here to ask the clipboard"
    )
    assert hint_of(error) == 'qvq ask - "question" < image.png'


def test_the_clipboard_of_macos(tools: Callable[[str, str], str], tmp_path: Path) -> None:
    copy = 'echo "$1 $2 $3" > $LOG; for last; do :; done; cp $PICTURE "$last"; echo'
    (picture,) = read("clip", path=tools("osascript", copy))
    assert (picture.name, colour(picture)) == ("clip", "red")
    assert (tmp_path / "log").read_text() == "-l JavaScript -e\n"
    # a file that was copied in the Finder
    (picture,) = read("clip", path=tools("osascript", 'echo "[\\"$PICTURE\\"]"'))
    assert (picture.name, colour(picture)) == ("clip", "red")
    assert (
        failed("clip", tools("osascript", "echo"), ImageUnreadableError).message
        == "clip: no picture is on the clipboard"
    )
    path = tools("osascript", "echo 'execution error: no' >&2; exit 1")
    assert failed("clip", path, ImageUnreadableError).message == (
        "clip: osascript says: execution error: no"
    )
    path = tools("osascript", """echo '["/no/such/file.png"]'""")
    failed("clip", path, ImageNotFoundError)


def test_several_files_on_the_clipboard_are_several_pictures(
    tools: Callable[[str, str], str], tmp_path: Path
) -> None:
    """Each is an item of the pasteboard of its own:
    https://developer.apple.com/documentation/appkit/nspasteboarditem.
    """
    path = tools("osascript", 'echo "[\\"/a.png\\", \\"/b c.png\\"]"; echo once >> $LOG')
    image_sources = images.ImageSources(io.BytesIO(), path)
    assert images.expanded("clip", image_sources) == ("/a.png", "/b c.png")
    assert "2 files are on the clipboard" in failed("clip", path, ImageUnreadableError).message
    one = images.ImageSources(io.BytesIO(), tools("osascript", 'echo "[\\"$PICTURE\\"]"'))
    assert images.expanded("clip", one) == ("clip",)
    assert one.kept["clip"] == (tmp_path / "red.png").read_bytes()


def test_a_promised_file_and_one_that_is_gone_are_told(tools: Callable[[str, str], str]) -> None:
    """https://developer.apple.com/documentation/appkit/nsfilepromisereceiver, and a file reference
    URL (file:///.file/id=...) whose file is gone has no path:
    https://developer.apple.com/documentation/foundation/nsurl/filepathurl.
    """
    promised = failed("clip", tools("osascript", "echo promised"), ImageUnreadableError)
    assert "promised there and not written yet" in promised.message
    gone = failed("clip", tools("osascript", "echo '[null]'"), ImageUnreadableError)
    assert gone.message == "clip: a file that was copied is no longer there"
    assert "filePathURL" in mac._PASTEBOARD


def test_the_script_for_the_clipboard_is_javascript_of_one_function() -> None:
    assert mac._PASTEBOARD.count("function run(argv)") == 1
    assert mac._PASTEBOARD.count("{") == mac._PASTEBOARD.count("}")
    assert '"' not in mac._PASTEBOARD


def test_the_clipboards_of_linux(tools: Callable[[str, str], str]) -> None:
    offers = 'case "$*" in *TARGETS*) printf "TARGETS\\ntext/html\\nimage/jpeg\\nimage/png\\n";;'
    path = tools("xclip", offers + ' *"-t image/png"*) cat $PICTURE;; esac')
    assert colour(read("clip", path=path)[0]) == "red"
    # wl-paste is asked before xclip
    path = tools("wl-paste", 'case "$*" in *--list-types*) echo text/plain;; esac')
    error = failed("clip", path, ImageUnreadableError)
    assert error.message == "clip: no picture is on the clipboard"
    assert hint_of(error).endswith("/wl-paste --list-types")
    script = 'case "$*" in *--list-types*) echo image/tiff;; *) echo gone >&2; exit 1;; esac'
    error = failed("clip", tools("wl-paste", script), ImageUnreadableError)
    assert error.message == "clip: the clipboard's picture did not come (gone)"


def test_a_clipboard_without_end(
    tools: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 2**20)
    path = tools(
        "wl-paste", 'case "$*" in *--list-types*) echo image/png;; *) cat /dev/zero;; esac'
    )
    assert "holds more than 1 MiB" in failed("clip", path, ImageSizeError).message


def test_a_program_that_hangs_is_killed_with_all_it_started(
    tools: Callable[[str, str], str], tmp_path: Path
) -> None:
    path = tools("slow", "sleep 30000 & echo $! > $LOG; echo began; wait")
    assert programs.run([f"{path}/slow"], 100, wait_s=3.0).late  # time to start the sleeper
    sleeper = int((tmp_path / "log").read_text())
    eventually(lambda: not is_alive(sleeper))


def is_alive(pid: int) -> bool:
    """A process that nobody waits for stays a zombie where process 1 does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False)
    return done.stdout.strip()[:1] not in (b"", b"Z")


def test_what_cannot_be_taken_twice_is_kept(
    tools: Callable[[str, str], str], tmp_path: Path
) -> None:
    script = 'echo once >> $LOG; for last; do :; done; cp $SCREEN "$last"'
    image_sources = images.ImageSources(io.BytesIO(PNG), tools("screencapture", script))
    for source in ("screen", "screen", "-", "-"):
        assert colour(images.read(source, EXACT, image_sources)[0]) == "red"
    assert (tmp_path / "log").read_text() == "once\n"
    assert sorted(image_sources.kept) == ["-", "screen"]
    images.read(str(tmp_path / "red.png"), EXACT, image_sources)
    images.read(uri(PNG), EXACT, image_sources)
    assert len(image_sources.kept) == 2


def test_a_file_called_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip").write_bytes(PNG)
    assert read("./clip")[0].name == "./clip"
    failed("clip", str(tmp_path), ImageUnreadableError)


# ---------------------------------------------------------------- HEIC and AVIF


@pytest.mark.parametrize("form", ["HEIF", "AVIF"])
def test_heic_and_avif(form: str) -> None:
    content = encoded(["blue"], form)
    (picture,) = read("-", stdin=content)
    assert (colour(picture), picture.source_width_px, picture.page) == ("blue", 56, None)
    assert picture.sha256 == hashlib.sha256(content).hexdigest()
    error = refused("-", ImageUnreadableError, stdin=content[: len(content) // 2])
    assert error.message.startswith("-: the ")
    assert "cut off or damaged" in error.message


@pytest.mark.parametrize("form", ["HEIF", "AVIF"])
def test_an_orientation_is_applied_once(form: str) -> None:
    stored = Image.new("RGB", (64, 32), "black")
    stored.paste("white", (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right: the white half comes to the top
    out = io.BytesIO()
    stored.save(out, form, exif=exif.tobytes(), quality=95)
    (picture,) = read("-", stdin=out.getvalue())
    assert (picture.source_width_px, picture.source_height_px) == (32, 64)
    seen = np.frombuffer(picture.rgb, np.uint8).reshape(picture.height_px, picture.width_px, 3)
    assert seen[2].min() > 200
    assert seen[-3].max() < 50


def test_the_main_picture_of_a_heic_is_the_default() -> None:
    heif = pillow_heif.HeifFile()
    for name in COLOURS[:3]:
        heif.add_from_pillow(Image.new("RGB", (64, 64), name))
    out = io.BytesIO()
    heif.save(out, primary_index=1, quality=95)
    content = out.getvalue()
    assert [(colour(p), p.page, p.pages) for p in read("-", stdin=content)] == [("blue", 2, 3)]
    assert [colour(p) for p in read("-", "1-", content)] == ["red", "blue", "lime"]


def test_a_heic_that_lies_about_its_size_is_refused() -> None:
    out = io.BytesIO()
    Image.new("RGB", (800, 600), "red").save(out, "HEIF")
    content = bytearray(out.getvalue())
    at = content.find(b"ispe")
    while at >= 0:
        content[at + 8 : at + 16] = (64).to_bytes(4, "big") * 2
        at = content.find(b"ispe", at + 4)
    refused("-", ImageUnreadableError, stdin=bytes(content))


def test_sips_serves_where_the_plugin_is_missing(
    tools: Callable[[str, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(["blue"], "HEIF")
    (tmp_path / "a.heic").write_bytes(content)
    source = str(tmp_path / "a.heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # an import of it fails
    monkeypatch.setattr("PIL.Image.OPEN", {k: v for k, v in Image.OPEN.items() if k != "HEIF"})
    empty = tmp_path / "none"
    empty.mkdir()
    error = failed(source, str(empty), ImageUnreadableError)
    assert error.message.endswith("is a HEIC picture, and pillow-heif is not here to read it")
    assert hint_of(error) == "pip install pillow-heif"
    path = tools("sips", 'echo "$@" > $LOG; for last; do :; done; cp $PICTURE "$last"')
    (picture,) = read(source, path=path)
    assert colour(picture) == "red"  # what the stand-in made of it
    assert picture.sha256 == hashlib.sha256(content).hexdigest()
    words = (tmp_path / "log").read_text().split()
    assert (words[:3], words[4]) == (["-s", "format", "png"], "--out")
    error = failed(source, tools("sips", "echo no >&2"), ImageUnreadableError)
    assert error.message.endswith("is a HEIC picture, and pillow-heif is not here to read it")


# ---------------------------------------------------------------- pages


def test_the_first_page_of_a_pdf_at_200_dpi() -> None:
    content = written(RED, BLUE)
    (picture,) = read("-", stdin=content)
    assert (picture.source_width_px, picture.source_height_px) == (200, 400)
    assert (picture.page, picture.pages, colour(picture)) == (1, 2, "red")
    assert picture.sha256 == hashlib.sha256(content).hexdigest()
    (picture,) = read("-", stdin=b"\n" + written(BLUE))
    assert (picture.page, picture.pages, colour(picture)) == (None, 1, "blue")


def test_a_rotated_page_and_a_blank_one() -> None:
    (picture,) = read("-", stdin=written(b"", extra="/Rotate 90"))
    assert (picture.source_width_px, picture.source_height_px) == (400, 200)
    assert set(picture.rgb) == {255}


def test_a_giant_page_is_drawn_at_fewer_dpi() -> None:
    giant = written(RED, box="0 0 14400 7200")
    (sheet,) = pages_of("a.pdf", giant, Pages(), max_pixels=20_000)
    assert isinstance(sheet, Sheet)
    assert (sheet.image.width, sheet.image.height) == (200, 100)
    assert sheet.image.mode == "RGB"
    (sheet,) = pages_of("a.pdf", written(RED, box="0 0 1e9 1e9"), Pages(), max_pixels=20_000)
    assert isinstance(sheet, Sheet)
    assert sheet.image.width * sheet.image.height < 21_000
    error = refused("-", ImageSizeError, stdin=written(RED, box="0 0 14400 20"))
    assert "the model sees at most 200 to 1" in error.message


def test_a_pdf_with_a_password() -> None:
    error = refused("-", ImageUnreadableError, stdin=encrypted())
    assert error.message.startswith("-: the PDF is encrypted, and opens with a password only")
    assert hint_of(error) == "qpdf --decrypt --password=PASSWORD image unlocked.pdf"


@pytest.mark.parametrize("content", [b"%PDF-1.7\n", written(RED)[:150], written()])
def test_a_damaged_pdf(content: bytes) -> None:
    assert "PDF" in refused("-", ImageUnreadableError, stdin=content).message


def test_a_pdf_that_would_take_all_memory_or_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten to the power of nine rectangles, and 160 million bytes of blanks."""
    monkeypatch.setattr(pdf, "MAX_MEMORY_BYTES", 100 * 2**20)
    error = refused("-", ImageSizeError, stdin=nested_forms(9))
    assert error.message == "-: page 1 takes more than 100 MiB of memory"
    press = zlib.compressobj(9)
    blanks = b"".join(press.compress(bytes([32]) * 10**6) for _ in range(160)) + press.flush()
    bomb = written(b"X").replace(stream(b"X"), stream(blanks, "/Filter /FlateDecode"))
    refused("-", ImageSizeError, stdin=bomb)
    monkeypatch.setattr(pdf, "MAX_MEMORY_BYTES", 2**30)
    monkeypatch.setattr(pdf, "DRAW_S", 0.5)
    slow = written(b"0 0 m 600 700 l 0 700 l 600 0 l s\n" * 10**5, box="0 0 2000 2000")
    error = refused("-", ImageUnreadableError, stdin=slow)
    assert error.message.endswith("takes longer than 0.5 s")


def test_memory_of_ours_is_not_counted_as_that_of_the_drawing_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = np.ones(200 * 2**20, np.uint8)
    monkeypatch.setattr(pdf, "MAX_MEMORY_BYTES", 150 * 2**20)
    assert len(read("-", stdin=written(RED))) == int(ours[-1])


def test_a_crash_of_the_drawing_process_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_MEMORY_BYTES", 0)  # it ends before it has begun
    refused("-", ImageSizeError, stdin=written(RED))
    monkeypatch.setattr(pdf.pdf_process, "__file__", "/no/such/file.py")
    error = refused("-", ImageUnreadableError, stdin=written(RED))
    assert error.message == "-: the PDF cannot be drawn: PDFium ended with 2"


@pytest.mark.seeded
def test_no_damage_to_a_pdf_surprises() -> None:
    dice = seeds.dice("PDF")
    whole = written(RED, BLUE)
    for _ in range(12):
        content = bytearray(whole)
        for _ in range(dice.randrange(1, 6)):
            content[dice.randrange(9, len(content))] = dice.randrange(256)
        try:
            pictures = read("-", "1", bytes(content))
        except InputError as error:
            said = error.message
        else:
            said = "-: was read" if len(pictures) == 1 else ""
        assert said.startswith("-: ")
        assert "\n" not in said


@pytest.mark.seeded
@pytest.mark.parametrize("form", ["HEIF", "AVIF"])
def test_no_damage_to_heic_and_avif_surprises(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    dice = seeds.dice(form)
    whole = encoded(["red"], form)
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(dice.randrange(1, 6)):
            content[dice.randrange(12, len(content))] = dice.randrange(256)
        try:
            read("-", stdin=bytes(content))
            said = "-: was read"
        except InputError as error:
            said = error.message
        assert said.startswith("-: ")
        assert "\n" not in said
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------- frames


MANY = ["GIF", "TIFF", "WEBP", "PNG", "HEIF", "AVIF"]


@pytest.mark.parametrize("form", MANY)
@pytest.mark.parametrize(
    ("look", "expected"),
    [
        ("", [1]),
        ("1", [1]),
        ("3", [3]),
        ("2-4", [2, 3, 4]),
        ("4,1", [4, 1]),
        ("3-,1-3", [3, 4, 5, 1, 2]),
    ],
)
def test_frames_and_pages(form: str, look: str, expected: list[int]) -> None:
    pictures = read("-", look, encoded(COLOURS[:5], form))
    assert [picture.page for picture in pictures] == expected
    assert {picture.pages for picture in pictures} == {5}
    assert [colour(picture) for picture in pictures] == [COLOURS[page - 1] for page in expected]


@pytest.mark.parametrize("form", [*MANY, "PDF"])
@pytest.mark.parametrize("look", ["4", "1-4", "9-", "1,5"])
def test_a_page_that_is_not_there(form: str, look: str) -> None:
    content = written(RED, BLUE, RED) if form == "PDF" else encoded(COLOURS[:3], form)
    error = refused("-", ImageUnreadableError, look, content)
    assert sentence_of(error) == f"-: holds 3 pages, and --page asks for {look}"
    assert hint_of(error) == 'qvq ask --page 1-3 - "question"'


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PDF"])
def test_pages_of_a_single_picture(form: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (56, 28), "red").save(out, form)
    error = refused("-", ImageUnreadableError, "2-3", out.getvalue())
    assert sentence_of(error) == "-: holds one picture, and --page asks for 2-3"
    assert [p.page for p in read("-", "1", out.getvalue())] == [None]
    assert [p.page for p in read("-", "1-", out.getvalue())] == [None]


def test_pages_of_a_tiff_have_sizes_of_their_own_and_thumbnails_are_none() -> None:
    out = io.BytesIO()
    first, thumbnail, second = (Image.new("RGB", (side, 28), "red") for side in (56, 28, 84))
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    first.save(out, "TIFF", save_all=True, append_images=[thumbnail, second])
    found = read("-", "1-", out.getvalue())
    assert [(p.source_width_px, p.page, p.pages) for p in found] == [(56, 1, 2), (84, 2, 2)]


def test_a_phones_second_picture_in_a_jpeg_is_none() -> None:
    out = io.BytesIO()
    first, second = (Image.new("RGB", (56, 28), name) for name in ("red", "blue"))
    first.save(out, "MPO", save_all=True, append_images=[second])
    (picture,) = read("-", stdin=out.getvalue())
    assert (colour(picture), picture.page, picture.pages) == ("red", None, 1)


def test_a_gif_counts_as_pil_counts() -> None:
    for count in (1, 2, 7):
        content = encoded(COLOURS[:count], "GIF")
        with Image.open(io.BytesIO(content)) as image:
            assert len(frames(content).indexes) == getattr(image, "n_frames", 1) == count
        for cut in range(14, len(content), 5):
            try:
                assert 1 <= len(frames(content[:cut]).indexes) <= count
            except (OSError, SyntaxError, IndexError):
                continue


def gif(frame: bytes, count: int, screen: tuple[int, int] = (10, 10)) -> bytes:
    head = b"GIF89a" + b"".join(side.to_bytes(2, "little") for side in screen) + b"\x80\0\0"
    return head + b"\0\0\0\xff\xff\xff" + frame * count + b";"


def gif_frame(width: int, height: int) -> bytes:
    size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    return b",\0\0\0\0" + size + b"\0\x02\x02\x44\x01\0"


def test_no_count_takes_for_ever() -> None:
    begun = time.process_time()
    assert len(frames(gif(gif_frame(10, 10), 10**6)).indexes) == MAX_COUNT
    # a TIFF of pages without end: each points to the next, 2 MiB of them
    page = 18  # bytes: count, one entry, the next page's place
    entry = (
        (256).to_bytes(2, "little")
        + b"\3\0"
        + (1).to_bytes(4, "little")
        + (56).to_bytes(4, "little")
    )
    chain = b"".join(
        b"\1\0" + entry + (8 + page * (number + 1)).to_bytes(4, "little")
        for number in range(120_000)
    )
    try:
        found = len(frames(b"II*\0\x08\0\0\0" + chain).indexes)
    except (OSError, SyntaxError, KeyError, TypeError):
        found = 0
    assert found <= MAX_COUNT
    assert time.process_time() - begun < 5


def test_frames_behind_too_many_pixels_are_refused() -> None:
    wide = gif(gif_frame(4000, 4000), 200, (4000, 4000))
    error = refused("-", ImageSizeError, "200", wide)
    assert error.message.startswith("-: 3,184,000,000 pixels come before page 200;")
    lying = gif(gif_frame(10, 10), 1)[:-1] + gif_frame(65535, 65535) + gif_frame(10, 10) + b";"
    error = refused("-", ImageSizeError, "3", lying)
    assert "an animation on 4,294,836,225 pixels is too large" in error.message


def test_a_count_that_lies() -> None:
    content = bytearray(encoded(COLOURS[:2], "PNG"))
    at = content.find(b"acTL")
    content[at + 4 : at + 8] = (2**31 - 1).to_bytes(4, "big")
    content[at + 12 : at + 16] = zlib.crc32(content[at : at + 12]).to_bytes(4, "big")
    error = refused("-", ImageUnreadableError, "7", bytes(content))
    assert "cut off or damaged" in error.message
    error = refused("-", ImageSizeError, "1-", bytes(content))
    assert "names 10,000 pages, and a question takes 128" in error.message


# ---------------------------------------------------------------- what is typed


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("3", ((3, 3),)),
        ("2-4", ((2, 4),)),
        ("1,3", ((1, 1), (3, 3))),
        ("5-", ((5, None),)),
        (" 2 - 4 , 7 ", ((2, 4), (7, 7))),
        ("007", ((7, 7),)),
    ],
)
def test_what_pages_look_like(text: str, ranges: tuple[tuple[int, int | None], ...]) -> None:
    found = parse_pages(text)
    assert found == Pages(ranges)
    assert parse_pages(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "0",
        "-",
        "-3",
        "4-2",
        "1,",
        ",1",
        "a",
        "1.5",
        "1-2-3",
        "1;2",
        "0-3",
        "+1",
        "1e3",
        "²",
        "1234567",
    ],
)
def test_what_pages_do_not_look_like(text: str) -> None:
    with pytest.raises(UsageError, check=telling("--page is")) as caught:
        parse_pages(text)
    assert caught.value.exit_code is ExitCode.USAGE


PAGES = st.builds(
    Pages,
    st.lists(
        st.tuples(st.integers(1, 40), st.none() | st.integers(0, 9)).map(
            lambda pair: (pair[0], None if pair[1] is None else pair[0] + pair[1])
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
)


@given(PAGES, st.integers(1, 60))
def test_what_is_read_is_what_was_asked_for(wanted: Pages, count: int) -> None:
    assert parse_pages(str(wanted)) == wanted
    found = wanted.within(count)
    if found is None:
        assert any(max(first, last or first) > count for first, last in wanted.ranges)
        return
    assert len(set(found)) == len(found)
    asked = {n for first, last in wanted.ranges for n in range(first, (last or count) + 1)}
    assert set(found) == asked
    assert found[0] == wanted.ranges[0][0]


# ---------------------------------------------------------------- on the command line


WORDS = ["**Final Answer**\n\nblue"]


def test_a_notice_says_what_is_left_out(world: Callable[..., World], tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(written(RED, BLUE, RED))
    source = str(tmp_path / "a.pdf")
    at = world(WORDS)
    assert at.run("ask", "-m", "tiny", "--json", source, "What?") == 0
    assert f'"text": "{source}: page 1 of 3 is read (--page)"' in at.out
    assert '"page": 1' in at.out
    at = world(WORDS)
    assert at.run("ask", "-m", "tiny", "--json", "--page", "2-3", source, "What?") == 0
    assert '"notices": []' in at.out
    assert ('"page": 2' in at.out, '"page": 3' in at.out) == (True, True)


def test_page_on_the_command_line(world: Callable[..., World], tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(written(RED, BLUE, RED))
    for argv, code, says in (
        (["--page", "x"], ExitCode.USAGE, "error[usage]: --page is 'x'; it can be numbers"),
        (["--page", "4"], ExitCode.BAD_INPUT, "holds 3 pages, and --page asks for 4"),
        (["--page", "1", "-i", str(tmp_path / "*.gif")], ExitCode.BAD_INPUT, "no file matches"),
    ):
        at = world(WORDS)
        assert at.run("ask", "-m", "tiny", str(tmp_path / "a.pdf"), "What?", *argv) == code
        assert says in at.err
        assert at.out == ""


def test_fit_counts_the_pages(world: Callable[..., World], tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(written(RED, BLUE, RED))

    def tokens(*argv: str) -> str:
        at = world()
        assert at.run("fit", "tiny", "--json", "-i", str(tmp_path / "*.pdf"), *argv) == 0
        return next(line for line in at.out.splitlines() if '"image_tokens"' in line)

    one, all_three = (
        int(tokens(*argv).split(":")[1].strip(" ,")) for argv in ((), ("--page", "1-"))
    )
    assert all_three == 3 * one


def test_several_sources_keep_their_order(world: Callable[..., World], tmp_path: Path) -> None:
    (tmp_path / "b.pdf").write_bytes(written(RED, BLUE))
    at = world(WORDS, stdin=PNG)
    argv = ("--page", "1", "-", str(tmp_path / "b.pdf"), uri(PNG), str(EXAMPLES / "sha*.png"))
    assert at.run("ask", "-m", "tiny", "--json", *argv, "What?") == 0
    places = [at.out.index(f'"path": "{name}') for name in ("-", f"{tmp_path}/b.pdf", "data:image")]
    assert sorted(places) == places
    assert '/shapes.png"' in at.out[places[-1] :]


def test_qvq_offline_forbids_a_download_too(world: Callable[..., World]) -> None:
    at = world(environ={"QVQ_OFFLINE": "1"})
    assert at.run("pull", "qvq") == ExitCode.USAGE
    assert at.err.startswith("error[usage]: QVQ_OFFLINE is set: nothing is fetched")
