"""A scripted answer's boxes land on the original, whatever lies between: through the whole program,
and the drawing by itself.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from qvq_mlx import images
from qvq_mlx.core.errors import ExitCode, ImageChangedError, NoAnswerError, OutputError
from qvq_mlx.core.events import AnswerDelta
from qvq_mlx.core.image_options import Region
from qvq_mlx.core.places import Box, Coordinates, Point, PointedImage
from qvq_mlx.core.request import Sampling
from qvq_mlx.history import Ending, Run
from qvq_mlx.images import annotate
from qvq_mlx.images.originals import original
from qvq_mlx.pointing.on_pictures import report
from qvq_mlx.records.runs import VERSION, ImageRecord, RequestRecord
from qvq_mlx.run import pointed
from qvq_mlx.settings import config
from qvq_mlx.store import registry
from tests.conftest import ROOT
from tests.support import seeds

FILL = (250, 200, 10)
FAMILIES = ("qvq-72b-preview", "qwen2-vl-7b", "qwen2.5-vl-7b", "qwen3-vl-8b-thinking")
# EXIF orientation: how a stored picture is made of an upright one
STORED = {
    1: (),
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90),
    6: (Image.Transpose.ROTATE_90,),
    7: (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_270),
    8: (Image.Transpose.ROTATE_270,),
}


def scene(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    """A grey picture with one filled rectangle: columns x1 <= x < x2, rows y1 <= y < y2."""
    image = Image.new("RGB", (width, height), (90, 90, 90))
    x1, y1, x2, y2 = box
    ImageDraw.Draw(image).rectangle((x1, y1, x2 - 1, y2 - 1), FILL)
    return image


def kept_nothing(_sha256: str) -> bytes | None:
    """Every source is on the disk."""
    return None


def stored(image: Image.Image, orientation: int) -> bytes:
    """A lossless file whose EXIF says how to turn it upright again."""
    for turn in STORED[orientation]:
        image = image.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, "PNG", exif=exif)
    return out.getvalue()


def outline(image: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """The edges of what is drawn in this colour, by looking at every pixel."""
    pixels = np.asarray(image.convert("RGB"))
    rows, columns = np.nonzero((pixels == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def model_numbers(name: str, box: tuple[int, ...], whole: tuple[int, int], shown: tuple[int, int]):
    """What a perfect model of this family would write, from its own conventions."""
    if name.startswith("qwen2.5"):
        scale = [side / full for side, full in zip(shown, whole, strict=True)] * 2
    else:
        scale = [1000 / full for full in whole] * 2
    return [round(value * factor) for value, factor in zip(box, scale, strict=True)]


def said(name: str, numbers: list[int], label: str = "") -> str:
    """An answer in the family's own way of pointing."""
    x1, y1, x2, y2 = numbers
    if name.startswith(("qvq", "qwen2-")):
        ref = f"<|object_ref_start|>{label}<|object_ref_end|>" if label else ""
        return f"{ref}<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
    entry = {"bbox_2d": numbers, **({"label": label} if label else {})}
    return "```json\n" + json.dumps([entry]) + "\n```"


def words(name: str, answer: str) -> list[str]:
    """The answer behind what the family's thinking ends with."""
    if name.startswith("qvq"):
        return ["So it is there.", "\n\n**Final Answer**\n\n", answer]
    return ["It is there.\n</think>\n\n", answer] if "thinking" in name else [answer]


def state(path: Path, **values: object) -> None:
    """Put a file with other values in the place of a link to a JSON file."""
    stated = json.loads(path.read_text())
    path.unlink()
    path.write_text(json.dumps({**stated, **values}))


@pytest.fixture
def folder_of(tmp_path: Path):
    """Weights under a model's name that state its family, which says how it points."""

    def make(name: str) -> str:
        folder = tmp_path / f"{name}-here"
        if not folder.exists():
            folder.mkdir()
            for path in (ROOT / "models" / "qvq-tiny").iterdir():
                (folder / path.name).symlink_to(path)
            card = registry.find(name)
            state(folder / "config.json", model_type=card.family)
            limits = {"min_pixels": 3136, "max_pixels": card.vision.max_pixels}
            state(folder / "preprocessor_config.json", **limits)
        return str(folder)

    return make


@pytest.mark.sampled(3)
@pytest.mark.seeded
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("orientation", STORED)
def test_a_box_lands_on_its_object(world, tmp_path, folder_of, name, orientation) -> None:
    rng = seeds.dice(f"{name} {orientation}")
    width, height = rng.randrange(300, 900), rng.randrange(300, 900)
    x1, y1 = rng.randrange(40, width // 2), rng.randrange(40, height // 2)
    box = (x1, y1, rng.randrange(x1 + 60, width), rng.randrange(y1 + 60, height))
    source, out = tmp_path / "photo.png", tmp_path / "out.png"
    source.write_bytes(stored(scene(width, height, box), orientation))
    card, _ = registry.resolve(folder_of(name), tmp_path)
    shown = images.smart_resize(height, width, card.vision)[::-1]
    answer = said(name, model_numbers(name, box, (width, height), shown))
    w = world(words(name, answer))
    argv = ("ask", "-m", folder_of(name), "-i", str(source), "-Q", "Where?", "--force")
    assert w.run(*argv, "--annotate", str(out)) == 0, w.err
    assert w.out == answer + "\n"  # in a pipe the answer stays what the model wrote
    drawn = Image.open(out)
    assert drawn.size == (width, height)
    found = outline(drawn, annotate.COLOURS[0])
    assert max(abs(a - b) for a, b in zip(found, box, strict=True)) <= 1
    # upright: what was filled is still there, within the outline
    filled = outline(drawn, FILL)
    assert all(abs(a - b) <= 4 for a, b in zip(filled, box, strict=True))
    w = world(words(name, answer))
    assert w.run(*argv, "--boxes") == 0, w.err
    [image] = json.loads(w.out)["images"]
    [entry] = image["boxes"]
    assert (image["width_px"], image["height_px"]) == (width, height)
    corners = [entry[key] for key in ("x1", "y1", "x2", "y2")]
    assert max(abs(a - b) for a, b in zip(corners, box, strict=True)) <= 1
    assert image["problems"] == []


@pytest.mark.seeded
@pytest.mark.parametrize("coordinates", Coordinates)
def test_a_box_in_a_crop_lands_on_the_whole_original(tmp_path: Path, coordinates) -> None:
    rng = seeds.dice("crop")
    for number in range(6):
        width, height = rng.randrange(500, 1400), rng.randrange(500, 1400)
        crop = Region(rng.randrange(100), rng.randrange(100), 350, 300)
        x1, y1 = crop.x_px + rng.randrange(200), crop.y_px + rng.randrange(150)
        box = (x1, y1, x1 + rng.randrange(60, 150), y1 + rng.randrange(60, 150))
        shown = (700, 588) if number % 2 else (364, 308)  # the model saw it larger than it is
        name = "qwen2.5" if coordinates is Coordinates.RESIZED_PIXELS else "qwen3"
        inner = [box[0] - crop.x_px, box[1] - crop.y_px, box[2] - crop.x_px, box[3] - crop.y_px]
        numbers = model_numbers(name, tuple(inner), (350, 300), shown)
        data = stored(scene(width, height, box), 6)
        source = tmp_path / "photo.png"
        source.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        record = ImageRecord(str(source), width, height, *shown, 1, sha256, None, crop)
        pointing = report(said(name, numbers), [record], coordinates)
        then = RequestRecord(VERSION, "request", "?", name, (record,), None, 9, Sampling())
        [out] = pointed.annotate(tmp_path / "out.png", then, pointing, kept_nothing)
        found = outline(Image.open(out), annotate.COLOURS[0])
        assert max(abs(a - b) for a, b in zip(found, box, strict=True)) <= 1


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("orientation", [1, 5, 8])
def test_a_box_in_what_crop_left_lands(world, tmp_path, folder_of, name, orientation) -> None:
    whole, crop, box = (800, 600), (200, 100, 400, 300), (260, 160, 520, 340)
    source, out = tmp_path / "photo.png", tmp_path / "out.png"
    source.write_bytes(stored(scene(*whole, box), orientation))
    card, _ = registry.resolve(folder_of(name), tmp_path)
    shown = images.smart_resize(crop[3], crop[2], card.vision)[::-1]
    inner = (box[0] - crop[0], box[1] - crop[1], box[2] - crop[0], box[3] - crop[1])
    answer = said(name, model_numbers(name, inner, crop[2:], shown))
    w = world(words(name, answer))
    argv = ("ask", "-m", folder_of(name), "-i", str(source), "-Q", "Where?", "--force")
    crops = ("--crop", ",".join(map(str, crop)), "--detail", "max")
    assert w.run(*argv, *crops, "--annotate", str(out)) == 0, w.err
    with Image.open(out) as drawn:
        assert drawn.size == whole
        found = outline(drawn, annotate.COLOURS[0])
    assert max(abs(a - b) for a, b in zip(found, box, strict=True)) <= 1


def test_a_page_is_drawn_on_and_what_lay_under_it(world, tmp_path: Path, folder_of) -> None:
    source, out = tmp_path / "pages.tiff", tmp_path / "out.png"
    blank = Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    blank.save(source, save_all=True, append_images=[blank.resize((200, 100))])
    w = world([said("qvq", [250, 300, 750, 600])])
    argv = ("ask", "-m", folder_of("qwen2-vl-7b"), "-i", str(source), "-Q", "?", "--force")
    code = w.run(*argv, "--page", "2", "--background", "#00ff00", "--annotate", str(out))
    assert code == 0, w.err
    with Image.open(out) as drawn:
        assert drawn.size == (200, 100)
        assert drawn.getpixel((5, 5)) == (0, 255, 0)
        assert outline(drawn, annotate.COLOURS[0]) == (50, 30, 150, 60)


def test_a_large_picture_lands_where_the_numbers_say(world, tmp_path, folder_of) -> None:
    """A thousandth is four pixels here: the box is at what the model said, not a pixel off."""
    source, out = tmp_path / "photo.jpg", tmp_path / "out.png"
    scene(4000, 3000, (400, 300, 2000, 1500)).save(source, quality=95)
    answer = said("qvq", [100, 100, 500, 500], "gold")
    w = world(words("qvq", answer))
    folder = folder_of("qvq-72b-preview")
    code = w.run(
        *("ask", "-m", folder, "-i", str(source), "-Q", "?", "--force", "--annotate", str(out))
    )
    assert code == 0, w.err
    pixels = np.asarray(Image.open(out))
    line = (pixels == annotate.COLOURS[0]).all(axis=2)
    columns, rows = np.nonzero(line[900])[0], np.nonzero(line[:, 1900])[0]
    assert (columns.min(), columns.max() + 1) == (400, 2000)
    assert (rows.min(), rows.max() + 1) == (300, 1500)


def test_a_crowd_is_no_loop(world, tmp_path: Path, folder_of) -> None:
    """Two hundred boxes with one label: what guards against repetition lets them through."""
    rng, source = random.Random(1), tmp_path / "a.png"
    scene(400, 300, (10, 10, 50, 50)).save(source)
    lines = [
        said("qwen3", [rng.randrange(500), rng.randrange(500), 600, 700], "person")[9:-5]
        for _ in range(200)
    ]
    w = world(["[", *(piece for line in lines for piece in (line, ",\n")), "]"])
    argv = ("ask", "-m", folder_of("qwen2-vl-7b"), str(source), "?", "--force", "--boxes")
    assert w.run(*argv) == 0, w.err
    assert len(json.loads(w.out)["images"][0]["boxes"]) == 200


def test_stdin_is_drawn_on_too(world, tmp_path: Path, folder_of) -> None:
    box, out = (100, 120, 300, 250), tmp_path / "out.webp"
    answer = said("qwen3", [250, 300, 750, 625])
    w = world([answer], stdin=stored(scene(400, 400, box), 8))
    code = w.run("ask", "-m", folder_of("qwen2-vl-7b"), "-", "?", "--force", "--annotate", str(out))
    assert code == 0, w.err
    with Image.open(out) as image:
        assert image.format == "WEBP"


def test_several_pictures_have_a_file_each(world, tmp_path: Path, folder_of) -> None:
    for name in ("a.png", "b.png", "c.png"):
        scene(400, 300, (10, 10, 50, 50)).save(tmp_path / name)
    sources = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")]
    answer = '[{"bbox_2d": [0, 0, 500, 500], "image": 3}, {"point_2d": [10, 10], "image": "a.png"}]'
    w = world([answer], err_tty=True)
    argv = ("ask", "-m", folder_of("qwen2-vl-7b"), *sources, "?", "--force")
    assert w.run(*argv, "--annotate", str(tmp_path / "out.png")) == 0, w.err
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out-1.png", "out-3.png"]
    assert "annotated: " in w.err
    assert "out-3.png" in w.err


def test_what_points_at_nothing_is_said(world, tmp_path: Path, folder_of) -> None:
    source, out = tmp_path / "a.png", tmp_path / "out.png"
    scene(400, 300, (10, 10, 50, 50)).save(source)
    argv = ("ask", "-m", folder_of("qwen2-vl-7b"), str(source), "?", "--force")
    w = world(["There is none."])
    assert w.run(*argv, "--boxes") == ExitCode.OK
    assert json.loads(w.out)["images"][0]["boxes"] == []
    w = world(["There is none."])
    assert w.run(*argv, "--annotate", str(out)) == ExitCode.NO_ANSWER
    assert w.out == "There is none.\n"
    assert "out.png is not written" in w.err
    assert not out.exists()


def test_a_cut_off_list_keeps_what_is_whole(world, tmp_path: Path, folder_of) -> None:
    source, out = tmp_path / "a.png", tmp_path / "out.png"
    scene(400, 300, (10, 10, 50, 50)).save(source)
    cut = ['[{"bbox_2d": [0, 0, 500, 500]}, ', '{"bbox_2d": [9, 9, 90, 9', "0]}]"]
    argv = ("ask", "-m", folder_of("qwen2-vl-7b"), str(source), "?", "--force", "--max-tokens", "2")
    w = world(cut)
    assert w.run(*argv, "--boxes") == ExitCode.NO_ANSWER
    document = json.loads(w.out)
    assert document["complete"] is False
    assert [box["x2"] for box in document["images"][0]["boxes"]] == [200]
    assert {problem["code"] for problem in document["images"][0]["problems"]} == {"cut"}
    w = world(cut)
    assert w.run(*argv, "--annotate", str(out)) == ExitCode.NO_ANSWER
    assert out.exists()
    assert "--max-tokens" in w.err


def test_json_says_what_is_pointed_at(world, tmp_path: Path, folder_of) -> None:
    source = tmp_path / "a.png"
    scene(400, 300, (10, 10, 50, 50)).save(source)
    argv = ("ask", "-m", folder_of("qwen2-vl-7b"), str(source), "?", "--force", "--json")
    w = world([said("qvq", [0, 0, 500, 1000], "gold")])
    assert w.run(*argv) == 0
    box = {"label": "gold", "x1": 0, "y1": 0, "x2": 200, "y2": 300}
    assert json.loads(w.out)["pointing"][0]["boxes"] == [box]
    w = world(["The lines meet at (1,2),(3,4), and [1, 2, 3, 4] is sorted."])
    assert w.run(*argv) == 0
    assert json.loads(w.out)["pointing"] is None


def test_a_person_reads_no_tokens(world, tmp_path: Path, folder_of) -> None:
    source = tmp_path / "a.png"
    scene(400, 300, (10, 10, 50, 50)).save(source)
    parts = ["Here: <|object_ref_start|>", "gold", "<|object_ref_end|>", "<|box_", "start|>"]
    w = world([*parts, "(0,0),(500,", "1000)", "<|box_end|>", " and no more."], tty=True)
    assert w.run("ask", "-m", folder_of("qwen2-vl-7b"), str(source), "?", "--force") == 0
    assert "Here: gold (0,0)-(500,1000) and no more." in w.out
    assert "<|" not in w.out
    assert "400×300 px:" in w.out
    assert "  gold  (0,0)-(200,300)" in w.out  # in the picture's own pixels


def test_a_saved_run_is_drawn_again(world, tmp_path: Path) -> None:
    data = stored(scene(400, 300, (10, 20, 50, 60)), 6)
    source, out = tmp_path / "a.png", tmp_path / "out.png"
    source.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    image = ImageRecord(str(source), 400, 300, 392, 308, 154, sha256, None, None)
    then = RequestRecord(VERSION, "request", "?", "qwen2.5-vl-7b", (image,), None, 9, Sampling())
    w = world([])
    request = pointed.with_coordinates(then, config.read(w.env))
    assert request.boxes is Coordinates.RESIZED_PIXELS  # as its card says
    assert pointed.with_coordinates(replace(then, model="gone"), config.read(w.env)).boxes is None
    answer = said("qwen2.5", model_numbers("qwen2.5", (10, 20, 50, 60), (400, 300), (392, 308)))

    def run(text: str) -> Run:
        return Run(tmp_path / "a.jsonl", "a", None, request, (AnswerDelta(text, 1),), Ending.KILLED)

    assert pointed.draw_again(run(answer), out, config.read(w.env), w.env) == (out,)
    with Image.open(out) as drawn:
        assert outline(drawn, annotate.COLOURS[0]) == (10, 20, 50, 60)
    with pytest.raises(NoAnswerError, match="points at nothing"):
        pointed.draw_again(run("Nowhere."), out, config.read(w.env), w.env)
    source.write_bytes(data + b"\n")
    with pytest.raises(ImageChangedError, match="has changed"):
        pointed.draw_again(run(answer), out, config.read(w.env), w.env)


def test_the_last_run_says_what_it_pointed_at(world, tmp_path: Path, folder_of) -> None:
    box, out = (100, 120, 300, 250), tmp_path / "out.png"
    answer = said("qvq", [250, 300, 750, 625], "gold")
    w = world([answer], stdin=stored(scene(400, 400, box), 8))
    assert w.run("ask", "-m", folder_of("qwen2-vl-7b"), "-", "-Q", "?", "--force") == 0, w.err
    for command in (("last",), ("log", "show", "--no-play")):
        w = world([])
        assert w.run(*command, "--boxes") == 0, w.err
        [image] = json.loads(w.out)["images"]
        assert image["boxes"] == [{"label": "gold", "x1": 100, "y1": 120, "x2": 300, "y2": 250}]
        w = world([])
        assert w.run(*command, "--annotate", str(out)) == 0, w.err  # piped in, and kept
        assert w.out == f"{out}\n"
        with Image.open(out) as drawn:
            # the label stands above the box
            left, _, right, bottom = outline(drawn, annotate.COLOURS[0])
        assert (left, right, bottom) == (100, 300, 250)
        out.unlink()
        assert world([]).run(*command, "--json", "--annotate", str(out)) == ExitCode.USAGE


def test_options_that_cannot_be_honoured_are_refused(world, tmp_path: Path, folder_of) -> None:
    source = tmp_path / "a.png"
    scene(400, 300, (10, 10, 50, 50)).save(source)
    before = source.read_bytes()
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "folder.png").mkdir()
    argv = ("ask", "-m", folder_of("qwen2-vl-7b"), str(source), "?", "--force")
    for target, why in (
        ("a.png", "which it would replace"),
        ("link.png", "which it would replace"),
        ("folder.png", "is a folder"),
        ("out.gif", "says no format"),
        ("none/out.png", "there is no folder"),
    ):
        w = world(["never asked"])
        assert w.run(*argv, "--annotate", str(tmp_path / target)) == ExitCode.USAGE
        assert why in w.err
        assert w.out == ""
    for options in (("--boxes", "--json"), ("--boxes", "-x"), ("--show",)):
        w = world(["never asked"])
        assert w.run(*argv, *options) == ExitCode.USAGE
    assert source.read_bytes() == before
    assert not list(tmp_path.glob(".qvq-*"))


def test_a_picture_that_has_changed_is_not_drawn_on(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(stored(scene(40, 40, (5, 5, 9, 9)), 1))
    with pytest.raises(ImageChangedError, match="has changed"):
        original(str(source), None, "0" * 64, kept_nothing)


def test_a_terminal_without_pictures_says_so(world, tmp_path: Path, folder_of) -> None:
    source = tmp_path / "a.png"
    scene(400, 300, (10, 10, 50, 50)).save(source)
    w = world(["None."], tty=True, environ={"TERM": "dumb"})
    argv = ("ask", "-m", folder_of("qwen2-vl-7b"), str(source), "?", "--force", "--show")
    assert w.run(*argv) == 0
    assert "this terminal shows no pictures; --annotate OUT.png writes a file" in w.out


LABELS = st.one_of(
    st.none(), st.text(max_size=80), st.sampled_from(["猫", "\ud800", "\x1b[2J", "🦊"])
)
EDGES = st.integers(0, 119)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(LABELS, EDGES, EDGES, st.integers(1, 60), st.integers(1, 60)), max_size=12),
    st.lists(st.tuples(LABELS, EDGES, EDGES), max_size=4),
)
def test_whatever_a_label_spells_something_is_drawn(boxes, points) -> None:
    image = PointedImage(
        *("a", None, 120, 120),
        boxes=tuple(
            Box(label, x, y, min(x + w, 120), min(y + h, 120)) for label, x, y, w, h in boxes
        ),
        points=tuple(Point(label, x, y) for label, x, y in points),
        problems=(),
    )
    drawn = annotate.drawn((120, 120), bytes(120 * 120 * 3), image)
    assert drawn.size == (120, 120)
    assert (len(boxes) + len(points) == 0) == (drawn.getextrema() == ((0, 0),) * 3)


def test_labels_keep_out_of_each_others_way() -> None:
    boxes = tuple(Box(f"object {n}", 300, 200 + n, 900, 700) for n in range(4))
    apart, alone = (
        annotate.drawn(
            (1200, 900), bytes(1200 * 900 * 3), PointedImage("a", None, 1200, 900, these, (), ())
        )
        for these in (boxes, boxes[:1])
    )
    outline_px = 2 * 3 * (600 + 500)
    label_px = coloured(alone)[annotate.COLOURS[0]] - outline_px
    assert label_px > 1000
    # the last box lies over the others' outlines, and no label over another
    assert all(coloured(apart)[colour] > 0.9 * label_px for colour in annotate.COLOURS[:4])


def coloured(image: Image.Image) -> dict[tuple[int, int, int], int]:
    """How many pixels there are of each colour."""
    return {colour: count for count, colour in image.getcolors(2**24)}


def test_a_picture_is_replaced_whole_or_stays(tmp_path: Path) -> None:
    out = tmp_path / "out.webp"
    out.write_bytes(b"before")
    out.chmod(0o640)
    with pytest.raises(OutputError, match="cannot be written"):
        annotate.Target(out).write(Image.new("RGB", (17_000, 4)))  # more than WebP can hold
    assert out.read_bytes() == b"before"
    annotate.Target(out).write(Image.new("RGB", (20, 20)))
    with Image.open(out) as image:
        assert image.size == (20, 20)
    assert out.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["out.webp"]


def test_a_preview_is_small() -> None:
    assert Image.open(io.BytesIO(annotate.preview(Image.new("RGB", (4000, 2000)), 800))).size == (
        800,
        400,
    )
