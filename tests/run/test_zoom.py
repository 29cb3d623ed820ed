"""Models that call a tool to look closer: the region comes while they think, and all is bounded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qvq_mlx.core.image_options import Region
from qvq_mlx.core.tokens import Generation
from qvq_mlx.families import ModelType
from tests.conftest import ScriptedEngine, World
from tests.engine.families import write
from tests.images.test_annotate import STORED, stored
from tests.run.test_look import HEIGHT, REGION, WIDTH, corner_colours, edges, ground
from tests.support.tool_templates import QWEN3_5, QWEN3_VL, coder_call, json_call

Build = Callable[..., World]
BOX = [250, 300, 450, 500]
SPELT = {
    ModelType.QWEN3_VL: (QWEN3_VL, json_call),
    ModelType.QWEN3_5: (QWEN3_5, coder_call),
}
ANSWER = ["I see it now.", "</think>", "\n\n", "\\boxed{7}"]
SHOWN = "<tool_response>\n<picture>\n</tool_response>"


@pytest.fixture(scope="module", params=SPELT, ids=str)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of a family, with a template that knows tools."""
    folder = write(request.param, tmp_path_factory.mktemp("model") / str(request.param))
    (folder / "chat_template.jinja").write_text(SPELT[request.param][0])
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 32_768  # room for several regions
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def call(model: Path, box: object = BOX, picture: object = 0, label: str = "the sum") -> str:
    return SPELT[ModelType(model.name)][1](box, picture, label)


@pytest.fixture
def page(tmp_path: Path) -> str:
    path = tmp_path / "page.png"
    ground().save(path)
    return str(path)


def saying(*turns: Sequence[str]) -> ScriptedEngine:
    return ScriptedEngine(turns[0], others=turns[1:])


def asked(w: World, model: Path, *options: str) -> dict[str, object]:
    assert w.run("ask", "-m", str(model), "--json", *options) == 0, w.err
    found: dict[str, object] = json.loads(w.out)
    return found


def notices(found: dict[str, object]) -> list[str]:
    every = found["notices"]
    assert isinstance(every, list)
    return [one["text"] for one in every if one["code"] == "look"]


@pytest.mark.parametrize("within", [False, True], ids=["behind", "within"])
def test_the_region_comes_while_it_thinks(
    world: Build, model: Path, page: str, within: bool
) -> None:
    closing = [] if within else ["</think>", "\n\n"]
    engine = saying(["It is small. ", *closing, *call(model), "never", " said"], ANSWER)
    found = asked(world(engine=engine), model, page, "What is the sum?", "--look", "3")
    [(question, pictures, system)] = engine.asked
    assert (question, pictures) == ("What is the sum?", 1)
    assert system is not None
    assert "image_zoom_in_tool" in system
    [(text, [crop])] = engine.added
    assert text == SHOWN
    assert edges(found["evidence"]) == [REGION]
    [evidence] = found["evidence"]  # type: ignore[misc]
    assert evidence["label"] == "the sum"
    assert crop.seen == Region(REGION[0], REGION[1], REGION[2] - REGION[0], REGION[3] - REGION[1])
    assert found["answer"] == "\\boxed{7}"
    assert found["thinking"] == "It is small. \n\nI see it now."
    assert found["stop_reason"] == "end"
    assert found["stats"]["look_s"] > 0  # type: ignore[index, call-overload]
    first, second = engine.generations
    assert isinstance(first, Generation)
    assert first.continuation is second.continuation is not None
    assert second.max_tokens == first.max_tokens - (len(call(model)) + 1 + len(closing))


def test_a_model_that_calls_nothing_answers_as_ever(world: Build, model: Path, page: str) -> None:
    engine = saying(ANSWER)
    found = asked(world(engine=engine), model, page, "What?", "--look", "3")
    assert (found["evidence"], notices(found), engine.added) == ([], [], [])
    assert (found["thinking"], found["answer"]) == ("I see it now.", "\\boxed{7}")


@pytest.mark.parametrize("orientation", STORED)
def test_what_is_cut_is_what_is_told_whatever_the_orientation(
    world: Build, model: Path, tmp_path: Path, orientation: int
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(stored(ground(), orientation))
    engine = saying([call(model)], ANSWER)
    found = asked(world(engine=engine), model, str(path), "What?", "--look", "1")
    [(x1, y1, x2, y2)] = edges(found["evidence"])
    [(_, [crop])] = engine.added
    first, last = corner_colours(crop.rgb, (crop.width_px, crop.height_px))
    step = (x2 - x1) / crop.width_px + 4  # a pixel of what is seen, and the rounding of a colour
    assert [x1, y1, x2, y2] == REGION
    assert first == pytest.approx((x1, y1), abs=step)
    assert last == pytest.approx((x2, y2), abs=step)


def test_a_crop_and_a_page_compose(world: Build, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "pages.tiff"
    ground().save(path, save_all=True, append_images=[ground().rotate(180)])
    engine = saying([call(model, [0, 0, 300, 300])], ANSWER)
    options = ("--look", "1", "--crop", "200,100,600,600", "--page", "2")
    found = asked(world(engine=engine), model, str(path), "What?", *options)
    assert edges(found["evidence"]) == [[200, 100, 394, 294]]
    [(_, [crop])] = engine.added
    turned, _ = corner_colours(crop.rgb, (crop.width_px, crop.height_px))
    assert turned == pytest.approx((WIDTH - 200, HEIGHT - 100), abs=6)
    assert crop.page == 2


def test_a_region_of_a_region_is_cut_from_the_original(
    world: Build, model: Path, page: str
) -> None:
    engine = saying([call(model)], [call(model, [0, 0, 500, 500], 1)], ANSWER)
    found = asked(world(engine=engine), model, page, "What?", "--look", "3")
    [outer, (x1, y1, x2, y2)] = edges(found["evidence"])
    assert outer == REGION
    middle = ((REGION[0] + REGION[2]) / 2, (REGION[1] + REGION[3]) / 2)
    pad = 0.08 * (REGION[2] - REGION[0]) / 2
    assert abs(x2 - pad - middle[0]) <= 1
    assert x1 >= REGION[0] - pad - 1
    assert y1 < middle[1] < y2
    assert [one["picture"] for one in found["evidence"]] == [0, 0]  # type: ignore[attr-defined]


BROKEN = {
    "no JSON": "<tool_call>\n{\n</tool_call>",
    "another tool": '<tool_call>{"name": "search", "arguments": {}}</tool_call>',
    "three numbers": json_call([1, 2, 3]),
    "no such picture": json_call(BOX, 9),
    "all of it": json_call([0, 0, 1000, 1000]),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_call_that_cannot_be_followed_is_answered_and_said(
    world: Build, model: Path, page: str, broken: str
) -> None:
    engine = saying(["So. ", broken], [call(model)], ANSWER)
    found = asked(world(engine=engine), model, page, "What?", "--look", "2")
    [reason] = notices(found)
    assert engine.added[0] == (f"<tool_response>\n{reason}\n</tool_response>", ())
    assert edges(found["evidence"]) == [REGION]
    assert found["answer"] == "\\boxed{7}"


def test_a_box_outside_is_moved_to_the_edge_and_said(world: Build, model: Path, page: str) -> None:
    engine = saying([call(model, [900, 900, 1400, 1900])], ANSWER)
    found = asked(world(engine=engine), model, page, "What?", "--look", "1")
    assert edges(found["evidence"]) == [[884, 708, WIDTH, HEIGHT]]
    assert ["moved to the edge" in text for text in notices(found)] == [True]


def test_the_same_region_twice_is_said_and_not_cut(world: Build, model: Path, page: str) -> None:
    engine = saying([call(model)], [call(model)], ANSWER)
    found = asked(world(engine=engine), model, page, "What?", "--look", "3")
    assert edges(found["evidence"]) == [REGION]
    assert ["was looked at before" in text for text in notices(found)] == [True]
    assert found["answer"] == "\\boxed{7}"


def test_a_model_that_asks_without_end_is_asked_for_its_answer(
    world: Build, model: Path, page: str
) -> None:
    engine = saying([call(model)])
    engine.after_closing = ["\\boxed{7}"]
    found = asked(world(engine=engine), model, page, "What?", "--look", "1")
    assert len(engine.generations) == 5, "one region, three reasons, the answer"
    assert found["answer"] == "\\boxed{7}"
    assert (found["concluded_by"], len(edges(found["evidence"]))) == ("loop", 1)
    assert "no more may be" in notices(found)[0]


def test_a_model_that_even_then_asks_is_stopped(world: Build, model: Path, page: str) -> None:
    engine = saying([call(model)])
    engine.after_closing = [call(model)]
    w = world(engine=engine)
    w.run("ask", "-m", str(model), "--json", page, "What?", "--look", "1")
    found = json.loads(w.out)
    assert len(engine.generations) == 5
    assert found["answer"] is None
    assert found["stop_reason"] == "loop"
    assert "goes on asking" in notices(found)[-1]
    assert "<tool_call>" not in json.dumps([found["thinking"], found["partial_answer"]])


def test_a_budget_counts_over_all_turns(world: Build, model: Path, page: str) -> None:
    engine = saying(["a ", "b ", call(model)], ["c ", "d ", "e ", "never"])
    engine.after_closing = ["\\boxed{7}"]
    found = asked(world(engine=engine), model, page, "What?", "--look", "2", "--budget", "5")
    assert found["thinking"] == "a b \n\nc d"
    assert (found["answer"], found["concluded_by"]) == ("\\boxed{7}", "budget")


def test_a_length_that_ends_at_a_call_is_said(world: Build, model: Path, page: str) -> None:
    engine = saying(["a ", call(model)], ANSWER)
    w = world(engine=engine)
    w.run("ask", "-m", str(model), "--json", page, "?", "--look", "2", "--max-tokens", "2")
    found = json.loads(w.out)
    assert (found["answer"], found["stop_reason"]) == (None, "length")


def test_stopping_at_a_call_is_an_interrupt(world: Build, model: Path, page: str) -> None:
    engine = saying(["a ", call(model)], ANSWER)
    engine.on_token = lambda _, control: control._above.stop() if control._above else None
    w = world(engine=engine)
    w.run("ask", "-m", str(model), "--json", page, "What?", "--look", "2")
    assert json.loads(w.out)["stop_reason"] == "interrupt"


@pytest.mark.parametrize(
    "options", [("--vote", "2"), ("--schema", '{"type": "integer"}'), ("--lang", "en")]
)
def test_where_a_call_has_no_room_the_model_points_first(
    world: Build, model: Path, page: str, options: tuple[str, ...]
) -> None:
    pointed = ["<|box_start|>(250,300),(450,500)<|box_end|>"]
    engine = ScriptedEngine(["never"], pointed, others=[ANSWER, ANSWER])
    w = world(engine=engine)
    w.run("ask", "-m", str(model), "--json", page, "What?", "--look", "1", *options)
    assert engine.asked[0][0].startswith("Locate")


def test_it_is_shown_saved_replayed_exported_and_drawn(
    world: Build, model: Path, page: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    engine = saying(["Small. ", call(model)], ANSWER)
    w = world(engine=engine, tty=True, err_tty=True)
    options = ("--look", "1", "--annotate", str(out))
    assert w.run("ask", "-m", str(model), page, "What?", *options) == 0
    line = "looked closer at 234,227–466,413"
    assert line in w.out
    assert "tool_call" not in w.out
    again = world()
    assert again.run("last", "--jsonl") == 0
    kinds = [json.loads(row)["type"] for row in again.out.splitlines()]
    assert kinds.index("thinking") < kinds.index("looked") < kinds.index("answer")
    shown = world(tty=True, err_tty=True)
    assert shown.run("log", "show") == 0
    assert line in shown.out
    drawn = np.asarray(Image.open(BytesIO(out.read_bytes())).convert("RGB")).astype(int)
    changed = np.abs(drawn - np.asarray(ground()).astype(int)).sum(axis=2) > 60
    x1, _, x2, y2 = REGION
    rows, columns = np.nonzero(changed[y2 - 40 : y2 + 40])
    assert (columns.min(), columns.max() + 1) == (x1, x2)
    assert rows.max() + y2 - 40 + 1 == y2


def test_a_double_check_sees_the_region_too(world: Build, model: Path, page: str) -> None:
    engine = saying([call(model)], ANSWER, ANSWER)
    asked(world(engine=engine), model, page, "What?", "--look", "1", "--double-check")
    assert [pictures for _, pictures, _ in engine.asked] == [1, 2]


def test_a_call_without_its_close_tag_counts_where_the_turn_ends(
    world: Build, model: Path, page: str
) -> None:
    engine = saying([call(model).removesuffix("</tool_call>")], ANSWER)
    found = asked(world(engine=engine), model, page, "What?", "--look", "1")
    assert edges(found["evidence"]) == [REGION]
    engine = saying(["</think>", "No <tool_call> is needed."])
    found = asked(world(engine=engine), model, page, "What?", "--look", "1")
    assert found["answer"] == "No <tool_call> is needed."


def test_what_was_said_behind_the_thinking_before_a_call_is_no_answer(
    world: Build, model: Path, page: str
) -> None:
    engine = saying(["Small. ", "</think>", "I look closer. ", call(model)], ANSWER)
    found = asked(world(engine=engine), model, page, "What?", "--look", "1")
    assert found["answer"] == "\\boxed{7}"
    assert "I look closer." in str(found["thinking"])
    assert "</think>" not in str(found["answer"])


def test_of_several_pictures_the_one_that_is_named_is_cut(
    world: Build, model: Path, page: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.png"
    ground().resize((500, 400)).save(other)
    engine = saying([call(model, BOX, 1)], [call(model, [0, 0, 500, 500], 2)], ANSWER)
    found = asked(world(engine=engine), model, page, str(other), "What?", "--look", "2")
    assert [one["picture"] for one in found["evidence"]] == [1, 1]  # type: ignore[attr-defined]
    assert [crop.name for _, [crop] in engine.added] == [str(other)] * 2
    assert edges(found["evidence"])[0] == [117, 114, 233, 206]


def test_a_model_that_is_asked_not_to_think_looks_too(world: Build, model: Path, page: str) -> None:
    if model.name != "qwen3_5":
        pytest.skip("the other template has no such choice")
    engine = saying(["I look. ", call(model)], ["Seven."])
    found = asked(world(engine=engine), model, page, "What?", "--look", "1", "--think", "off")
    assert edges(found["evidence"]) == [REGION]
    assert (found["thinking"], found["answer"]) == ("", "I look. \n\nSeven.")


def test_without_looking_no_tool_is_offered(world: Build, model: Path, page: str) -> None:
    for options in ((), ("--look", "off")):  # the page is shown as it is
        engine = saying(ANSWER)
        asked(world(engine=engine), model, page, "What?", *options)
        assert engine.asked[0][2] is None


def test_by_default_it_is_offered_where_a_picture_was_shrunk_a_lot(
    world: Build, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "large.png"
    ground().resize((4000, 3200)).save(path)
    engine = saying([call(model)], ANSWER)
    found = asked(world(engine=engine), model, str(path), "What?")
    assert "image_zoom_in_tool" in str(engine.asked[0][2])
    [(x1, y1, x2, y2)] = edges(found["evidence"])
    assert (x1, x2, y1, y2) == (936, 1864, 909, 1651)
