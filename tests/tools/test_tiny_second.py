"""The second generation's pictures and questions: true answers, true boxes, rows like prompts."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from qvq_mlx.engine.prompt import positions
from tests.conftest import ROOT
from tools.tiny import hub
from tools.tiny.packing import IGNORED, PADDING, PREFIX, Encoder, Row
from tools.tiny.pictures import CLEAN, Wear
from tools.tiny.scenes import COLORS, KINDS
from tools.tiny.second import packing
from tools.tiny.second.cases import Case, held_out
from tools.tiny.second.compare_questions import compare_example
from tools.tiny.second.pages import draw_page
from tools.tiny.second.pictures import grounding, seen, take
from tools.tiny.second.place_questions import neighbour, position_example
from tools.tiny.second.questions import example, following
from tools.tiny.second.replies import BOXED_TASKS, TASKS, place
from tools.tiny.second.scenes import Expression, Item, Shapes
from tools.tiny.second.wordings import Asker

TOKENIZER = ROOT / "models" / "qvq-tiny" / "tokenizer.json"
BUCKET = (140, 140)


def item(name: str, x: float, y: float, row: int) -> Item:
    color, kind = name.split()
    return Item(kind, color, row, (x - 0.08, y - 0.08, x + 0.08, y + 0.08))


GRID = Shapes(
    (
        item("red circle", 0.2, 0.2, 0),
        item("blue star", 0.5, 0.2, 0),
        item("green square", 0.8, 0.2, 0),
        item("blue circle", 0.2, 0.7, 1),
        item("red star", 0.8, 0.7, 1),
    )
)


def scenes(family: str, count: int, wear: Wear = CLEAN) -> list[Shapes]:
    rng = Random("scenes")
    return [take(rng, family, BUCKET, wear).scene for _ in range(count)]  # type: ignore[misc]


# ---------------------------------------------------------------------------------- comparing


def test_what_is_compared_is_counted_twice_and_judged_by_what_was_asked() -> None:
    rng = Random(1)
    seen_rules = set()
    for scene in scenes("shapes", 150):
        asked = compare_example(Asker(rng), scene)
        one, two = map(int, re.findall(r"That makes (\d+)\.", asked.thinking))
        names = re.search(r"compare the ([\w ]+) and the ([\w ]+)[.]", asked.thinking)
        assert names is not None
        for name, count in zip(names.groups(), (one, two), strict=True):
            words = name.split()
            kinds = [kind for kind in KINDS if f"{kind}s" in words]
            colors = [color for color in COLORS if color in words]
            true = sum(
                (not kinds or i.kind in kinds) and (not colors or i.color in colors)
                for i in scene.items
            )
            assert count == true
        polarity = re.search(r"Asked: (.*)\?", asked.thinking)
        assert polarity is not None
        seen_rules.add(re.sub(r"(the|more) [\w ]+s (more|fewer)?", r"\1 x \2", polarity[1]))
        expected = {
            "which are more": "equal" if one == two else names[1] if one > two else names[2],
            "which are fewer": "equal" if one == two else names[1] if one < two else names[2],
            "are they equally many": "yes" if one == two else "no",
        }.get(polarity[1])
        if expected is None:
            match polarity[1].split():
                case ["how", "many", "more", *_]:
                    expected = str(abs(one - two))
                case [*_, "more"]:
                    expected = "yes" if one > two else "no"
                case _:
                    expected = "yes" if one < two else "no"
        assert asked.answer == expected.removesuffix(" shapes")
    assert len(seen_rules) >= 4


# ---------------------------------------------------------------------------------- positions


@pytest.mark.parametrize(
    ("wanted", "axis", "sign", "beside"),
    [
        (1, 0, -1, "red circle"),
        (1, 0, 1, "green square"),
        (0, 1, 1, "blue circle"),
        (4, 1, -1, "green square"),
        (4, 0, -1, "blue circle"),
        (0, 0, -1, None),
        (1, 1, 1, None),  # two lie below it, and neither in its column
    ],
)
def test_a_neighbour_is_the_next_in_its_row_or_column(
    wanted: int, axis: int, sign: int, beside: str | None
) -> None:
    found = neighbour(GRID.items, GRID.items[wanted], axis, sign)
    assert (f"{found.color} {found.kind}" if found else None) == beside


def test_positions_have_true_answers() -> None:
    rng = Random(2)
    answers = Counter()
    for _ in range(400):
        asked = position_example(Asker(rng), GRID)
        if asked is None:
            continue
        answers[asked.answer] += 1
        corner = re.search(r"In the (\w+) (\w+) corner is the (.*)\.$", asked.thinking)
        if corner:
            true = {
                ("upper", "left"): "red circle",
                ("upper", "right"): "green square",
                ("lower", "left"): "blue circle",
                ("lower", "right"): "red star",
            }
            assert asked.answer == corner[3] == true[corner[1], corner[2]]
        row = re.search(r"count the shapes in the (\w+) row", asked.thinking)
        if row:
            assert asked.answer == {"first": "3", "top": "3"}.get(row[1], "2")
        order = re.search(r"From left to right: the ([\w ]+), then the ([\w ]+)\. Asked: is the "
                          r"([\w ]+) (left|right) of", asked.thinking)  # fmt: skip
        if order:
            assert (order[3] == order[1]) == ((order[4] == "left") == (asked.answer == "yes"))
    assert {"yes", "no", "3", "2", "red circle", "red star"} <= set(answers)


def test_nothing_is_asked_about_places_of_a_turned_picture() -> None:
    rng = Random(3)
    turned = Wear(1.0, 0.0, 0.0, 0.0)
    for family in ("shapes", "chart", "expression", "word"):
        for _ in range(15):
            picture = take(rng, family, BUCKET, turned)
            assert not picture.scene.upright
            tasks = {example(rng, picture.scene).task for _ in range(25)}
            assert not tasks & {"position", "find"}


# ----------------------------------------------------------------------------------- pointing


def test_an_item_fills_its_box() -> None:
    rng = Random(5)
    for _ in range(40):
        picture = take(rng, "shapes", BUCKET, CLEAN)
        assert isinstance(picture.scene, Shapes)
        pixels = np.asarray(picture.image).astype(int)
        ground = np.array(picture.background)
        height, width, _ = pixels.shape
        for one in picture.scene.items:
            left, top, right, bottom = one.box
            assert 0 <= left < right <= 1.02
            assert 0 <= top < bottom <= 1.02
            part = pixels[
                int(top * height) : int(bottom * height) + 1,
                int(left * width) : int(right * width) + 1,
            ]
            painted = np.abs(part - ground).sum(-1) > 60
            # hollow shapes paint little, but all of them reach from edge to edge
            assert painted.any(0).mean() > 0.9
            assert painted.any(1).mean() > 0.9


def test_a_box_is_written_as_qwen2_vl_writes_it() -> None:
    text = place("red star", (0.1, 0.2, 0.5004, 1.2)).text
    assert text == (
        "<|object_ref_start|>red star<|object_ref_end|><|box_start|>(100,200),(500,1000)<|box_end|>"
    )


def test_what_is_found_is_what_was_asked_for() -> None:
    for case in held_out(4, ("find",), 60):
        names = {one.name for one in case.places}
        assert len(names) == 1
        name = names.pop()
        assert name in case.question.lower() or f"{name}s" in case.question.lower()
        if len(case.places) > 1:
            assert f"That makes {len(case.places)}." in case.thinking


# -------------------------------------------------------------------------------------- pages


def test_the_crop_holds_what_the_page_holds_there() -> None:
    rng = Random(6)
    for _ in range(25):
        page = draw_page(rng, BUCKET)
        left, top, right, bottom = page.box
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert (right - left) * (bottom - top) < 0.2  # a small part
        width, height = page.image.size
        there = page.image.crop((int(left * width), int(top * height),
                                 int(right * width) + 1, int(bottom * height) + 1))  # fmt: skip
        part = np.asarray(there.resize((24, 24))).astype(int)
        crop = np.asarray(page.crop.image.resize((24, 24))).astype(int)
        assert np.abs(part.mean((0, 1)) - crop.mean((0, 1))).max() < 60
        inside = [m for m in page.crop.marks if 0 <= m.x <= page.crop.image.width]
        assert len(inside) == len(page.crop.marks)


# ------------------------------------------------------------------------------ sums and words


def test_sums_are_worked_out_rightly() -> None:
    rng = Random(7)
    for _ in range(400):
        scene = take(rng, "expression", BUCKET, CLEAN).scene
        assert isinstance(scene, Expression)
        asked = example(rng, scene)
        if asked.places:
            continue
        assert int(asked.answer) == scene.result
        for left, sign, right, result in re.findall(r"(\d+) ([+-]) (\d+) = (\d+)", asked.thinking):
            value = int(left) + int(right) if sign == "+" else int(left) - int(right)
            assert value == int(result)


def test_a_follow_up_is_about_the_same_scene() -> None:
    rng = Random(8)
    for scene in scenes("shapes", 30):
        asked = following(rng, scene)
        assert asked is not None
        assert asked.task == "count"
        marks = re.findall(r"\((\d+)\)", asked.thinking)
        assert asked.answer == (marks[-1] if marks else "0")


# ---------------------------------------------------------------------------------- held out


def test_a_seed_gives_the_same_cases_and_another_seed_others() -> None:
    def shown(cases: list[Case]) -> list[tuple[str, str, bytes]]:
        return [(case.question, case.answer, case.image.tobytes()) for case in cases]

    assert shown(held_out(9, TASKS, 22)) == shown(held_out(9, TASKS, 22))
    assert shown(held_out(9, TASKS, 22)) != shown(held_out(10, TASKS, 22))


def test_every_task_can_be_asked_in_words_that_are_held_out() -> None:
    for case in held_out(11, TASKS, 2 * len(TASKS), held_out_words=True):
        assert case.task in TASKS
        assert case.places or case.answer
        assert (case.task in BOXED_TASKS) == (not case.places and case.crop is None)


# -------------------------------------------------------------------------------------- rows


@pytest.fixture(scope="module")
def encode() -> Encoder:
    return packing.encoder(Path(TOKENIZER))


def branches(row: Row) -> list[list[int]]:
    """The columns of each branch with the prefix before them."""
    segments = np.array(row.segments)
    return [
        np.flatnonzero((segments == PREFIX) | (segments == branch)).tolist()
        for branch in range(1, row.branches + 1)
    ]


def check_row(row: Row, crop: tuple[int, int] | None) -> None:
    """Each branch is a prompt of its own: its positions are those of the engine."""
    assert len(row.ids) <= packing.ROW_TOKENS
    for columns in branches(row):
        ids = [row.ids[i] for i in columns]
        starts = ids.count(hub.VISION_START)
        grids = [row.grid] if starts == 1 else [row.grid, crop]
        expected = positions(ids, grids, hub.IMAGE_PAD)  # type: ignore[arg-type]
        assert np.array_equal(np.array([row.positions[i] for i in columns]).T, expected)
        labels = [row.labels[i] for i in columns]
        learned = [i for i, label in enumerate(labels) if label != IGNORED]
        assert learned
        assert all(labels[i] == ids[i] for i in learned)
        assert ids[learned[-1]] == hub.IM_END
        cells = [row.cells[i] for i in columns if row.cells[i] >= 0]
        assert cells == list(range(len(cells)))


def test_a_row_of_questions_is_a_row_of_prompts(encode: Encoder) -> None:
    rng = Random(12)
    for family in packing.FAMILIES * 6:
        scene = take(rng, family, BUCKET).scene
        check_row(packing.pack_row(rng, encode, scene, BUCKET, packing.Mix()), None)


def test_a_page_is_a_row_of_prompts_with_two_pictures(encode: Encoder) -> None:
    rng = Random(13)
    pictures = Counter()
    for _ in range(25):
        page = draw_page(rng, BUCKET)
        row = packing.pack_page(rng, encode, page, BUCKET, packing.Mix())
        width, height = packing.crop_size(page)
        check_row(row, (height // hub.CELL_PX, width // hub.CELL_PX))
        pictures[row.ids.count(hub.VISION_START)] += 1
    assert len(pictures) > 1


def test_a_batch_holds_every_crop(encode: Encoder) -> None:
    batch = packing.text_batch(Random(14), encode, 10, packing.Mix())
    assert [row for row, _, _ in batch.crops] == [0, 1]
    for _, pixels, truth in batch.crops:
        cells = pixels.shape[0] // hub.CELL_PX * (pixels.shape[1] // hub.CELL_PX)
        assert cells == len(truth) <= 25
    labels = batch.arrays["labels"]
    assert (batch.arrays["weights"][labels != IGNORED] > 0).all()
    assert (batch.arrays["segments"][labels != IGNORED] != PADDING).all()


def test_the_grounding_head_is_told_what_lies_where() -> None:
    rng = Random(15)
    picture = take(rng, "shapes", BUCKET, CLEAN)
    truth = grounding(picture, BUCKET)
    assert seen(picture, BUCKET).shape == (140, 140, 3)
    assert isinstance(picture.scene, Shapes)
    assert truth.shape[0] == 25
    assert truth.any(1).sum() >= min(2, len(picture.scene.items)) - 1
