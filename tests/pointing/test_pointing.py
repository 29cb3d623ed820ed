"""What a model wrote becomes places in the original; what it wrote badly is repaired, or said."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qvq_mlx.core.image_options import Region
from qvq_mlx.core.places import Box, Coordinates, Point, PointedImage
from qvq_mlx.families import ModelType, coordinates_of
from qvq_mlx.pointing.in_text import found, readable
from qvq_mlx.pointing.lenient_json import Row, Table, Value, outermost
from qvq_mlx.pointing.on_pictures import report
from qvq_mlx.records.runs import ImageRecord
from qvq_mlx.render.unmarked import Spelling
from qvq_mlx.store import registry
from qvq_mlx.store.card_text import card_text
from qvq_mlx.store.cardfile import read_cards

THOUSANDTHS, PIXELS = Coordinates.RELATIVE_1000, Coordinates.RESIZED_PIXELS
# as large as a thousandth is fine: what a model writes is what is expected
UNIT = ImageRecord("a.png", 1000, 1000, 980, 980, 1225, "0" * 64, None, None)


def places(answer: str, coordinates: Coordinates = THOUSANDTHS, *, asked: bool = False):
    """(boxes, points, codes of problems) of an answer about one picture of 1000 x 1000."""
    [image] = report(answer, [UNIT], coordinates, asked=asked)
    boxes = [(box.label, box.x1, box.y1, box.x2, box.y2) for box in image.boxes]
    points = [(point.label, point.x, point.y) for point in image.points]
    return boxes, points, [problem.code for problem in image.problems]


A = (1, 2, 30, 40)
B = (5, 6, 70, 80)
DOG, CAT = ("dog", *A), ("cat", *B)


@pytest.mark.parametrize(
    ("answer", "boxes", "codes"),
    [
        # the tokens of Qwen2-VL and QVQ
        (
            (
                "<|object_ref_start|>dog<|object_ref_end|><|box_start|>(1,2),(30,40)<|box_end|>, "
                "<|object_ref_start|>cat<|object_ref_end|><|box_start|>(5,6),(70,80)<|box_end|>."
            ),
            [DOG, CAT],
            [],
        ),
        ("<|object_ref_start|>dog<|object_ref_end|>(1,2),(30,40)", [DOG], []),
        ("<|object_ref_start|>dog<|object_ref_end|>: ( 1 , 2 ) , ( 30 , 40 )", [DOG], []),
        ("<|box_start|>(1,2),(30,40)<|box_end|>", [(None, *A)], []),
        ("<|box_start|>(1,2),(30,40)(5,6),(70,80)<|box_end|>", [(None, *A), (None, *B)], []),
        ("<|box_start|>(1,2),(30,40)", [(None, *A)], ["cut"]),
        ("<|box_start|>(1,2),(30,4", [], ["cut"]),
        ("<|box_start|>(1,2),(30,40),5<|box_end|>", [], ["count"]),
        ("<|quad_start|>(1,2),(30,5),(30,40),(2,40)<|quad_end|>", [(None, *A)], ["polygon"]),
        # the JSON of Qwen2.5-VL and Qwen3-VL
        ('```json\n[\n\t{"bbox_2d": [1, 2, 30, 40], "label": "dog"}\n]\n```', [DOG], []),
        ('Here: {"label": "dog", "bbox_2d": [1, 2, 30, 40]} and more', [DOG], []),
        ('{"objects": [{"label": "dog", "bbox": [1, 2, 30, 40]}]}', [DOG], []),
        # broken
        ('[{"bbox_2d": [1,2,30,40], "label": "dog"}, {"bbox_2d": [5, 6, 7', [DOG], ["cut", "cut"]),
        ('[{"bbox_2d": [1,2,30,40], "label": "dog"}, {"bbox', [DOG], ["cut"]),
        ('[{"bbox_2d": [1,2,30,40,], "label": "dog",},]', [DOG], []),
        ("[{'bbox_2d': [1, 2, 30, 40], 'label': 'dog'}]", [DOG], []),
        ("[{'bbox_2d': [1, 2, 30, 40], 'label': 'dog's'}]", [("dog's", *A)], []),
        ('{"bbox_2d": [1,2,30,40], "label": "the "big" dog"}', [('the "big" dog', *A)], []),
        ("{bbox_2d: (1, 2, 30, 40), label: dog}", [DOG], []),
        ('{"bbox_2d": [1, 2, 30, 40] "label": "dog"}', [DOG], []),
        ('[{"bbox_2d": [1, 2, 30, 40], "label": "dog"]', [DOG], []),
        ('{"bbox_2d": [1, 2, 30, 40}, {"label": "cat", "bbox_2d": [5, 6, 70, 80]}', None, []),
        ('{"label": "dog\n, "bbox_2d": [1, 2, 30, 40]}', [DOG], []),
        # numbers
        ('{"bbox_2d": ["1, 2", "30, 40"], "label": "dog"}', [DOG], []),
        ('{"bbox_2d": ["1", "2", "30", "40"], "label": "dog"}', [DOG], []),
        ('{"bbox_2d": "[1, 2, 30, 40]", "label": "dog"}', [DOG], []),
        ('{"bbox_2d": "(1,2),(30,40)", "label": "dog"}', [DOG], []),
        ('{"bbox_2d": [1.2, 1.5, 29.9, 40.4], "label": "dog"}', [DOG], []),
        ('{"bbox_2d": [30, 40, 1, 2], "label": "dog"}', [DOG], ["swapped"]),
        ('{"bbox_2d": [-5, 2, 1200, 40]}', [(None, 0, 2, 1000, 40)], ["clamped"]),
        ('{"bbox_2d": [1, 2, 30]}', [], ["count"]),
        ('{"bbox_2d": [1, 2, 30, 40, 50]}', [], ["count"]),
        ('{"bbox_2d": [1, 2, "here", 40]}', [], ["count"]),
        ('{"bbox_2d": "nowhere"}', [], ["count"]),
        ('{"bbox_2d": [1, 2, 30, 1e999]}', [], ["number"]),
        ('{"bbox_2d": [5, 5, 5, 9]}', [(None, 5, 5, 6, 9)], ["empty"]),
        ('{"bbox_2d": []}, {"bbox_2d": null}', [], []),
        # several, and other keys
        ('{"bboxes": [[1,2,30,40], [5,6,70,80]]}', [(None, *A), (None, *B)], []),
        ('{"bbox_2d": [1,2,30,40, 5,6,70,80]}', [(None, *A), (None, *B)], []),
        ('{"bbox_2d": [[1, 2], [30, 40]], "label": "dog"}', [DOG], []),
        ('{"bbox_2d": [[[1, 2, 30, 40]]], "label": "dog"}', [DOG], []),
        ('{"bbox_2d": [[1,2], [30,2], [30,40], [1,40]]}', [(None, *A)], ["polygon"]),
        ('{"Box-2D": [1,2,30,40], "class": "dog"}', [DOG], []),
        ('{"bounding_box": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}, "name": "dog"}', [DOG], []),
        ('{"bndbox": {"xmin": 1, "ymin": 2, "xmax": 30, "ymax": 40}}', [(None, *A)], []),
        ('{"box": {"x": 1, "y": 2, "width": 29, "height": 38}}', [(None, *A)], []),
        ('{"boxes": [{"x1": 1, "y1": 2, "x2": 30, "y2": 40}]}', [(None, *A)], []),
        ('{"boxes": [{"box": [1, 2, 30, 40], "label": "dog"}]}', [DOG], []),
        ('{"bbox_2d": [1, 2, 30, 40], "label": 7}', [("7", *A)], []),
        # what is none
        ("The lines meet at (1,2),(3,4); sorted: [1, 2, 3, 4], {a: [1, 2, 3, 4]}", [], []),
        ('{"x1": 1, "y1": 2, "x2": 3, "y2": 4}', [], []),
        ("\\boxed{3}", [], []),
        ("", [], []),
    ],
)
def test_boxes_as_they_are_written(answer: str, boxes, codes: list[str]) -> None:
    found_boxes, points, found_codes = places(answer)
    if boxes is not None:
        assert found_boxes == boxes
    else:  # one bracket closes another's: the second box is whole all the same
        assert CAT in found_boxes
    assert found_codes == codes
    assert not points


@pytest.mark.parametrize(
    ("answer", "points", "codes"),
    [
        ("<|point_start|>(4,5)<|point_end|>", [(None, 4, 5)], []),
        ("<|object_ref_start|>eye<|object_ref_end|><|point_start|>(4,5)<|point_end|>", None, []),
        ('[{"point_2d": [4, 5], "label": "eye"}]', [("eye", 4, 5)], []),
        ('{"point_2d": ["4", "5"], "label": "eye"}', [("eye", 4, 5)], []),
        ('{"points": [[4, 5], [6, 7]], "label": "eye"}', [("eye", 4, 5), ("eye", 6, 7)], []),
        ('{"point": {"x": 4, "y": 5}, "label": "eye"}', [("eye", 4, 5)], []),
        ('{"coordinate": [4, 5], "label": "eye"}', [("eye", 4, 5)], []),
        ('<points x1="4" y1="5" alt="eye">eye</points>', [("eye", 4, 5)], []),
        ("<points x1='4' y1='5' x2='6' y2='7' alt='eye'>", [("eye", 4, 5), ("eye", 6, 7)], []),
        ('<point x="4" y="5" alt="eye"/>', [("eye", 4, 5)], []),
        ('<points x1="4" y2="5">', [], ["count"]),
        ('{"point_2d": [4, 5, 6]}', [], ["count"]),
        ('{"point_2d": [1000, 1001]}', [(None, 999, 999)], ["clamped"]),
    ],
)
def test_points_as_they_are_written(answer: str, points, codes: list[str]) -> None:
    boxes, found_points, found_codes = places(answer)
    assert found_points == (points if points is not None else [("eye", 4, 5)])
    assert found_codes == codes
    assert not boxes


def test_four_numbers_are_a_box_only_where_one_was_asked_for() -> None:
    for answer, label in (
        ("(1,2),(30,40)", None),
        ("The dog is at (1, 2), (30, 40).", None),
        ("[1, 2, 30, 40]", None),
        ('{"dog": [1, 2, 30, 40]}', "dog"),
        ("[[1, 2, 30, 40]]", None),
    ):
        assert places(answer) == ([], [], [])
        assert places(answer, asked=True) == ([(label, *A)], [], ["bare"])
    named = '{"bbox_2d": [1, 2, 30, 40], "size": [1, 2, 3, 4]}'
    assert places(named, asked=True) == places(named) == ([(None, *A)], [], [])


# ------------------------------------------------------------------ where it lies


SIDES = st.integers(4, 5000)


@given(
    st.tuples(SIDES, SIDES),
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.sampled_from(Coordinates),
    st.booleans(),
    st.data(),
)
def test_an_edge_lands_within_half_a_pixel(whole, factors, coordinates, cropped, data) -> None:
    shown = (factors[0] * 28, factors[1] * 28)
    crop = None
    if cropped:
        left, top = data.draw(st.integers(0, whole[0] - 1)), data.draw(st.integers(0, whole[1] - 1))
        width = data.draw(st.integers(1, whole[0] - left))
        crop = Region(left, top, width, data.draw(st.integers(1, whole[1] - top)))
    image = ImageRecord("a", *whole, *shown, 1, "", None, crop)
    seen = crop or Region(0, 0, *whole)
    unit = (1000, 1000) if coordinates is THOUSANDTHS else shown
    x1, x2 = sorted(data.draw(st.tuples(*[st.integers(0, unit[0])] * 2)))
    y1, y2 = sorted(data.draw(st.tuples(*[st.integers(0, unit[1])] * 2)))
    [pointed] = report(json.dumps({"bbox_2d": [x1, y1, x2, y2]}), [image], coordinates)
    [box] = pointed.boxes
    exact = (
        seen.x_px + x1 * seen.width_px / unit[0],
        seen.y_px + y1 * seen.height_px / unit[1],
        seen.x_px + x2 * seen.width_px / unit[0],
        seen.y_px + y2 * seen.height_px / unit[1],
    )
    assert seen.x_px <= box.x1 < box.x2 <= seen.x_px + seen.width_px
    assert seen.y_px <= box.y1 < box.y2 <= seen.y_px + seen.height_px
    for edge, other, place, far in (
        *((box.x1, box.x2, exact[0], exact[2]), (box.x2, box.x1, exact[2], exact[0])),
        *((box.y1, box.y2, exact[1], exact[3]), (box.y2, box.y1, exact[3], exact[1])),
    ):
        # a box that is thinner than a pixel is made one wide
        assert abs(edge - place) <= (0.5 if abs(place - far) >= 1 else 1.5), (edge, other)
    assert all(problem.code == "empty" for problem in pointed.problems)


def test_halves_go_up() -> None:
    image = replace(UNIT, source_width_px=500)
    [pointed] = report('{"bbox_2d": [1, 0, 3, 1000]}', [image], THOUSANDTHS)
    assert pointed.boxes == (Box(None, 1, 0, 2, 1000),)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=4))
def test_whatever_the_numbers_are_a_place_is_in_the_picture(numbers: list[float]) -> None:
    image = ImageRecord("a", 300, 200, 56, 56, 4, "", None, Region(10, 20, 30, 40))
    answer = json.dumps({"bbox_2d": numbers, "point_2d": numbers})
    for coordinates in Coordinates:
        [pointed] = report(answer, [image], coordinates)
        for box in pointed.boxes:
            assert 10 <= box.x1 < box.x2 <= 40
            assert 20 <= box.y1 < box.y2 <= 60
        for point in pointed.points:
            assert 10 <= point.x < 40
            assert 20 <= point.y < 60


# ------------------------------------------------------------------ which picture


def several(answer: str, images: list[ImageRecord]) -> list[list[str | None]]:
    """The labels of the boxes in each picture."""
    pointing = report(answer, images, THOUSANDTHS)
    return [[box.label for box in image.boxes] for image in pointing]


IMAGES = [replace(UNIT, path=name) for name in ("a.png", "pictures/b.png", "c.png")]


def entry(label: str, **more: object) -> str:
    return json.dumps({"bbox_2d": [1, 2, 30, 40], "label": label, **more})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (entry("x", image=2), [[], ["x"], []]),
        (entry("x", image="3"), [[], [], ["x"]]),
        (entry("x", image_index=1) + entry("y", image_index=3), [["x"], [], ["y"]]),
        (entry("x", image=0) + entry("y", image=2), [["x"], [], ["y"]]),  # counted from 0
        (entry("x", image="Picture 2"), [[], ["x"], []]),
        (entry("x", image="b.png"), [[], ["x"], []]),
        (json.dumps({"image": 2, "objects": [{"box": [1, 2, 3, 4], "label": "x"}]}), None),
        ("Picture 1: " + entry("x") + "\nPicture 3: " + entry("y"), [["x"], [], ["y"]]),
        ("In image #2 " + entry("Picture 3") + entry("y"), [[], ["Picture 3", "y"], []]),
        ("图片3 " + entry("x"), [[], [], ["x"]]),
        ("Picture 2: <|box_start|>(1,2),(3,4)<|box_end|>", [[], [None], []]),
    ],
)
def test_which_picture_a_box_is_in(answer: str, expected) -> None:
    assert several(answer, IMAGES) == (expected or [[], ["x"], []])
    assert not any(image.problems for image in report(answer, IMAGES, THOUSANDTHS))


@pytest.mark.parametrize("answer", [entry("x"), entry("x", image=9), "Picture 7 " + entry("x")])
def test_where_it_is_not_said_the_first_picture_is_taken_and_reported(answer: str) -> None:
    assert several(answer, IMAGES) == [["x"], [], []]
    first, *_ = report(answer, IMAGES, THOUSANDTHS)
    assert [problem.code for problem in first.problems] == ["picture"]


def test_pages_are_named_by_their_number() -> None:
    pages = [replace(UNIT, path="report.pdf", page=page) for page in (4, 7)]
    assert several("Page 7: " + entry("x"), pages) == [[], ["x"]]
    assert [image.page for image in report(entry("x"), pages, THOUSANDTHS)] == [4, 7]


# ------------------------------------------------------------------ broken and hostile


def plain(value: Value) -> object:
    """As json.loads would have it, names of true and false aside."""
    if isinstance(value, Row):
        return [plain(item) for item in value.items]
    if isinstance(value, Table):
        return {key: plain(inner) for key, inner in value.pairs}
    return value


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON_VALUES = st.recursive(
    st.none() | st.integers(-(10**9), 10**9).map(float) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
OUTERMOST = st.lists(JSON_VALUES, min_size=1) | st.dictionaries(TEXT, JSON_VALUES, min_size=1)


@settings(max_examples=60)
@given(OUTERMOST, st.booleans(), st.sampled_from([None, 0, 2]), st.text("abc \n"))
def test_strict_json_is_read_as_json_is(value, escaped, indent, around) -> None:
    text = json.dumps(value, ensure_ascii=escaped, indent=indent)
    [read] = outermost(around + text + around)
    assert plain(read) == value
    assert (around + text)[read.start : read.end] == text


SCRAPS = st.sampled_from(
    [
        *('[{"bbox_2d": [1, 2, 30, 40], "label": "dog"}]', "<|box_start|>(1,2),(3,4)<|box_end|>"),
        *("[", "]", "{", "}", "(", ")", '"', "'", ",", ":", "\\", "\n", " ", "1", "-1.5e300"),
        *(
            "bbox_2d",
            "null",
            "<|box_start|>",
            "<|quad_end|>",
            "<|object_ref_start|>",
            "<|",
            "Picture 2",
        ),
    ]
)


@settings(max_examples=150)
@given(st.lists(SCRAPS | st.text(max_size=5), max_size=60).map("".join))
def test_no_answer_breaks_it(answer: str) -> None:
    for image in report(answer, IMAGES, THOUSANDTHS, asked=True):
        assert all(0 <= box.x1 < box.x2 <= 1000 for box in image.boxes)
    for one in found(answer):
        assert 0 <= one.at <= len(answer)


@given(st.lists(st.tuples(*[st.integers(0, 1000)] * 4), min_size=1, max_size=8), st.data())
def test_a_cut_list_keeps_the_objects_before_the_cut(boxes, data) -> None:
    objects = [json.dumps({"bbox_2d": list(box), "label": "x"}) for box in boxes]
    text = "[" + ", ".join(objects) + "]"
    cut = data.draw(st.integers(0, len(text)))
    ends = [len(", ".join(objects[: number + 1])) + 1 for number in range(len(objects))]
    whole = sum(end <= cut for end in ends)
    marks = [one for one in found(text[:cut]) if hasattr(one, "numbers")]
    assert len(marks) in (whole, whole + 1)  # a box that is closed before its object is
    expected = [tuple(map(float, box)) for box in boxes]
    assert [mark.numbers for mark in marks] == expected[: len(marks)]


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    "scrap",
    [
        *("[", "{", "(", "[(", "[}", '["', "{'a':'", '{"box":', '{"box":[1,2,3,4],', '"\\'),
        *(
            "<|box_start|>",
            "<|box_start|>(1,",
            " <|box_end|>",
            "Picture 1",
            "( ",
            "[' ",
            "[,",
            "{:",
        ),
        *('{"label":"', "[1 2 ", "\\u", "<|object_ref_end|>   (", "<"),
        *("<points ", '<points x1="1" ', "<point x1='"),
    ],
)
def test_it_is_linear(scrap: str) -> None:
    """A search that went back over its text would take minutes."""
    text = scrap * (50_000 // len(scrap)) + " " * 1000
    began = time.process_time()
    found(text, bare=True)
    readable(text)
    Spelling().feed(text)
    assert time.process_time() - began < 5.0


# ------------------------------------------------------------------ for people


def test_a_person_reads_no_tokens() -> None:
    said = "<|object_ref_start|>a dog<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>, right."
    assert readable(said) == "a dog (1,2)-(3,4), right."
    assert readable("at <|point_start|>(1,2)<|point_end|>") == "at (1,2)"
    assert readable("x <|box_start|>(1,2") == "x (1,2"
    assert readable("no <|im_end|> of ours, x < y") == "no <|im_end|> of ours, x < y"


PARTS = st.sampled_from(
    [
        *(
            "<|box_start|>",
            "<|box_end|>",
            "(1,2),(3,4)",
            "<|object_ref_start|>",
            "a dog",
            " ",
            "\n",
        ),
        *(
            "<|object_ref_end|>",
            "<",
            "<|",
            "<|box_",
            "|>",
            "x" * 250,
            "<|point_start|>",
            "\\[ 1 < 2 \\]",
        ),
    ]
)


@settings(max_examples=100)
@given(st.lists(PARTS, max_size=12).map("".join), st.data())
def test_how_the_text_is_cut_does_not_matter(text: str, data) -> None:
    spelling, shown, rest = Spelling(), "", text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        shown += spelling.feed(rest[:size])
        rest = rest[size:]
    assert shown + spelling.close() == readable(text)


# ------------------------------------------------------------------ the card's fact


def test_every_card_that_sees_says_how_it_points() -> None:
    for card in registry.cards():
        assert card.boxes is coordinates_of(card.family), card.name
        assert (card.boxes is PIXELS) == (card.family == ModelType.QWEN2_5_VL)


def test_a_card_that_does_not_say_points_as_its_family_does(tmp_path: Path) -> None:
    head = 'name = "x"\nsummary = ""\nlicence = "MIT"\n'
    path = tmp_path / "card.toml"
    path.write_text(head + 'family = "qwen2_5_vl"\n')
    [card] = read_cards(path)
    assert card.boxes is PIXELS
    path.write_text(head + 'family = "qwen2_5_vl"\nboxes = "relative-1000"\n')
    [card] = read_cards(path)
    assert card.boxes is THOUSANDTHS
    path.write_text(card_text(card))
    assert read_cards(path) == (card,)


def test_nothing_is_pointed_at_is_nothing() -> None:
    assert not report("no", [UNIT], THOUSANDTHS)[0].said
    assert report('{"bbox": [1]}', [UNIT], THOUSANDTHS)[0].said
    assert report(entry("x"), [], THOUSANDTHS) == ()
    image = PointedImage("a", None, 9, 9, (), (Point(None, 1, 1),), ())
    assert image.count == 1
