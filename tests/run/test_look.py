"""`--look`: regions are cut from the original, said, recorded and drawn, and nothing goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qvq_mlx.core.image_options import Region
from qvq_mlx.core.places import Box
from qvq_mlx.core.tokens import Generation
from qvq_mlx.run.locate import locating
from qvq_mlx.run.regions import region_around
from tests.conftest import ScriptedEngine, World
from tests.images.test_annotate import STORED, stored

Build = Callable[..., World]
CLOSING = "\n\n**Final Answer**\n\n"
ANSWER = ["I look at the region. ", CLOSING, "\\boxed{7}"]
WIDTH, HEIGHT = 1000, 800
BOX = "<|box_start|>(250,300),(450,500)<|box_end|>"
REGION = [234, 227, 466, 413]  # with a margin: 16 of 200 px, 13 of 160 px


def ground() -> Image.Image:
    """A picture whose colours say where a pixel is: red the column, green the row."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = columns * 255 // WIDTH, rows * 255 // HEIGHT
    return Image.fromarray(pixels)


@pytest.fixture
def page(tmp_path: Path) -> str:
    path = tmp_path / "page.png"
    ground().save(path)
    return str(path)


def looking(*says: str) -> ScriptedEngine:
    return ScriptedEngine(["never said"], list(says), others=[ANSWER])


def asked(w: World, *options: str) -> dict[str, object]:
    assert w.run("ask", "-m", "tiny", "--json", *options) == 0, w.err
    found: dict[str, object] = json.loads(w.out)
    return found


def edges(evidence: object) -> list[list[int]]:
    assert isinstance(evidence, list)
    return [[one[key] for key in ("x1", "y1", "x2", "y2")] for one in evidence]


def corner_colours(rgb: bytes, size: tuple[int, int]) -> list[tuple[float, float]]:
    """Column and row of the original under the first and the last pixel of what a model sees."""
    pixels = np.frombuffer(rgb, np.uint8).reshape(size[1], size[0], 3).astype(float)
    where = [(pixel[0] / 255 * WIDTH, pixel[1] / 255 * HEIGHT) for pixel in pixels.reshape(-1, 3)]
    return [where[0], where[-1]]


def test_the_region_that_a_model_points_at_is_a_further_picture(world: Build, page: str) -> None:
    engine = looking(f"<|object_ref_start|>the sum<|object_ref_end|>{BOX}")
    w = world(engine=engine)
    found = asked(w, page, "What is the sum?", "--look", "1")
    assert engine.asked[0][0] == locating("What is the sum?")
    assert edges(found["evidence"]) == [REGION]
    [evidence] = found["evidence"]  # type: ignore[misc]
    assert (evidence["picture"], evidence["label"]) == (0, "the sum")
    [(text, [crop])] = engine.added
    assert text == "<picture>What is the sum?"
    assert (crop.width_px, crop.height_px) == (evidence["width_px"], evidence["height_px"])
    assert crop.seen == Region(REGION[0], REGION[1], REGION[2] - REGION[0], REGION[3] - REGION[1])
    assert found["answer"] == "\\boxed{7}"
    first, second = engine.generations
    assert isinstance(first, Generation)
    assert first.continuation is second.continuation is not None


@pytest.mark.parametrize("orientation", STORED)
def test_what_is_cut_is_what_is_told_whatever_the_orientation(
    world: Build, tmp_path: Path, orientation: int
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(stored(ground(), orientation))
    engine = looking(BOX)
    found = asked(world(engine=engine), str(path), "What?", "--look", "1")
    [(x1, y1, x2, y2)] = edges(found["evidence"])
    [(_, [crop])] = engine.added
    first, last = corner_colours(crop.rgb, (crop.width_px, crop.height_px))
    step = (x2 - x1) / crop.width_px + 4  # a pixel of what is seen, and the rounding of a colour
    assert [x1, y1, x2, y2] == REGION
    assert first == pytest.approx((x1, y1), abs=step)
    assert last == pytest.approx((x2, y2), abs=step)


def test_a_crop_and_a_page_compose(world: Build, tmp_path: Path) -> None:
    path = tmp_path / "pages.tiff"
    ground().save(path, save_all=True, append_images=[ground().rotate(180)])
    engine = looking("<|box_start|>(0,0),(500,500)<|box_end|>")
    options = ("--look", "1", "--crop", "200,100,600,600", "--page", "2")
    found = asked(world(engine=engine), str(path), "What?", *options)
    assert edges(found["evidence"]) == [[200, 100, 524, 424]]
    [(_, [crop])] = engine.added
    turned, _ = corner_colours(crop.rgb, (crop.width_px, crop.height_px))
    assert turned == pytest.approx((WIDTH - 200, HEIGHT - 100), abs=6)
    assert crop.page == 2


def test_several_boxes_are_several_regions_up_to_the_bound(world: Build, page: str) -> None:
    boxes = [f"<|box_start|>({x},0),({x + 90},90)<|box_end|>" for x in (0, 0, 200, 400, 600)]
    engine = looking(*boxes)
    found = asked(world(engine=engine), page, "What?", "--look", "3")
    assert len(edges(found["evidence"])) == 3
    said = [notice["text"] for notice in found["notices"]]  # type: ignore[attr-defined]
    assert any("was looked at before" in text for text in said)
    assert any("no more may be" in text for text in said)
    assert engine.added[0][0] == "<picture>" * 3 + "What?"


@pytest.mark.parametrize(
    "reply",
    ["I cannot say.", "(1,2", "<|box_start|>(0,0),(1000,1000)<|box_end|>", "", "[[[[" * 500],
)
def test_a_reply_without_a_region_is_said_and_the_question_asked_as_ever(
    world: Build, page: str, reply: str
) -> None:
    engine = looking(reply)
    found = asked(world(engine=engine), page, "What?", "--look", "2")
    assert found["evidence"] == []
    assert [notice["code"] for notice in found["notices"]] == ["look"]  # type: ignore[attr-defined]
    assert engine.added == []
    assert [question for question, *_ in engine.asked] == [locating("What?"), "What?"]
    assert found["answer"] == "\\boxed{7}"


def test_a_box_outside_of_the_picture_is_moved_to_its_edge(world: Build, page: str) -> None:
    engine = looking("<|box_start|>(900,900),(1400,1900)<|box_end|>")
    found = asked(world(engine=engine), page, "What?", "--look", "1")
    [(x1, y1, x2, y2)] = edges(found["evidence"])
    assert (x1, y1, x2, y2) == (884, 708, WIDTH, HEIGHT)


def test_by_default_a_model_that_finds_nothing_is_not_asked(world: Build, page: str) -> None:
    engine = ScriptedEngine(ANSWER)
    found = asked(world(engine=engine), page, "What?")
    assert [question for question, *_ in engine.asked] == ["What?"]
    assert (found["evidence"], found["notices"]) == ([], [])


def test_the_terminal_shows_where_and_so_does_a_saved_run(world: Build, page: str) -> None:
    w = world(engine=looking(BOX), tty=True, err_tty=True)
    assert w.run("ask", "-m", "tiny", page, "What?", "--look", "1") == 0
    line = "looked closer at 234,227\u2013466,413"
    assert line in w.out
    again = world()
    assert again.run("last", "--jsonl") == 0
    assert '"type": "looked"' in again.out
    shown = world(tty=True, err_tty=True)
    assert shown.run("log", "show") == 0
    assert line in shown.out


def test_regions_are_drawn_where_they_were_cut(world: Build, page: str, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    w = world(engine=looking(BOX))
    assert w.run("ask", "-m", "tiny", page, "What?", "--look", "1", "--annotate", str(out)) == 0
    drawn = np.asarray(Image.open(BytesIO(out.read_bytes())).convert("RGB")).astype(int)
    changed = np.abs(drawn - np.asarray(ground()).astype(int)).sum(axis=2) > 60
    x1, _, x2, y2 = REGION
    rows, columns = np.nonzero(changed[y2 - 40 : y2 + 40])
    assert (columns.min(), columns.max() + 1) == (x1, x2)
    assert rows.max() + y2 - 40 + 1 == y2
    saved = tmp_path / "again.png"
    assert world().run("last", "--annotate", str(saved)) == 0
    assert saved.read_bytes() == out.read_bytes()


def test_a_double_check_sees_the_region_too(world: Build, page: str) -> None:
    engine = ScriptedEngine(["never said"], [BOX], others=[ANSWER, ANSWER])
    asked(world(engine=engine), page, "What?", "--look", "1", "--double-check")
    assert [pictures for _, pictures, _ in engine.asked] == [1, 2]


def test_a_vote_goes_on_from_the_region(world: Build, page: str) -> None:
    engine = ScriptedEngine(["never said"], [BOX], others=[ANSWER, ANSWER])
    found = asked(world(engine=engine), page, "What?", "--look", "1", "--vote", "2")
    assert edges(found["evidence"]) == [REGION]
    assert found["vote"] is not None


@pytest.mark.parametrize(
    ("given", "said"), [("0", "auto, off"), ("x", "auto, off"), ("17", "1 to 16")]
)
def test_a_number_that_is_none_is_refused(world: Build, page: str, given: str, said: str) -> None:
    w = world(engine=looking(BOX))
    assert w.run("ask", "-m", "tiny", page, "What?", "--look", given) == 2
    assert "auto, off, or a number from 1 to 16" in w.err
    assert "--look" in w.err


def test_a_region_stays_within_what_was_seen_and_has_a_size() -> None:
    within = Region(100, 50, 60, 20)
    for box in (
        Box(None, 100, 50, 101, 51),
        Box(None, 159, 69, 160, 70),
        Box(None, 100, 50, 160, 70),
    ):
        region = region_around(box, within)
        assert within.x_px <= region.x_px
        assert region.x_px + region.width_px <= within.x_px + within.width_px
        assert within.y_px <= region.y_px
        assert region.y_px + region.height_px <= within.y_px + within.height_px
        assert region.width_px >= 28
        assert region.height_px == 20
