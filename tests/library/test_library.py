"""qvq as a library: the embedded model asked from Python."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qvq_mlx.core.errors import NoAnswerError
from qvq_mlx.core.events import Progress, Stage
from qvq_mlx.library import Done, Model, Options, QvqError, answer, ask
from tests.conftest import EXAMPLES
from tests.house.test_imports import HEAVY, loaded_after

SHAPES = EXAMPLES / "shapes.png"
QUESTION = "How many red circles are there?"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QVQ_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QVQ_HOME", str(tmp_path_factory.mktemp("home")))
        with Model("tiny") as loaded:
            yield loaded


def test_importing_it_loads_nothing() -> None:
    modules = loaded_after("import qvq_mlx\nfrom qvq_mlx import Model, Options, ask")
    assert not {*HEAVY, "typer", "rich"} & modules
    assert not {name for name in loaded_after("import qvq_mlx") if name.startswith("qvq_mlx.")}


def test_what_it_offers_is_there() -> None:
    import qvq_mlx

    assert all(hasattr(qvq_mlx, name) for name in qvq_mlx.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = qvq_mlx.nothing


def pixels() -> Image.Image:
    return Image.open(SHAPES).convert("RGB")


@pytest.mark.parametrize(
    "image",
    [SHAPES, str(SHAPES), SHAPES.read_bytes(), pixels(), np.asarray(pixels())],
    ids=["path", "name", "bytes", "pil", "array"],
)
def test_an_image_in_any_form_is_the_same_image(model: Model, image: object) -> None:
    result = model.answer(image, QUESTION)  # type: ignore[arg-type]
    assert result.boxed == "3"
    assert result.images[0].source_width_px == 640


def test_a_model_stays_loaded_until_its_block_ends(model: Model) -> None:
    model.answer(SHAPES, QUESTION)
    events = list(model.ask([SHAPES], QUESTION))
    assert isinstance(events[-1], Done)
    assert Stage.LOAD not in {e.stage for e in events if isinstance(e, Progress)}


def test_a_generator_that_is_left_disturbs_no_later_question(model: Model) -> None:
    events = model.ask(SHAPES, QUESTION)
    for _ in range(8):
        next(events)
    events.close()
    assert model.answer(SHAPES, QUESTION).boxed == "3"


def test_a_schema_a_budget_and_options_are_honoured(model: Model) -> None:
    schema = {
        "type": "object",
        "properties": {"count": {"type": "integer"}},
        "required": ["count"],
    }
    assert model.answer(SHAPES, QUESTION, schema=schema).answer == '{"count": 3}'
    short = model.answer(SHAPES, QUESTION, budget=4)
    assert short.stats.thinking_tokens <= 4
    assert short.concluded
    turned = Options(temperature=0.9, save=True)
    first, again = (model.answer(SHAPES, QUESTION, seed=5, options=turned) for _ in range(2))
    assert first.thinking == again.thinking
    assert first.sampling.seed == 5


def test_it_saves_nothing_unless_it_is_told_to(tmp_path: Path) -> None:
    history = tmp_path / "home" / "history"
    assert answer(SHAPES, QUESTION, model="tiny").boxed == "3"
    assert not list(history.rglob("*.jsonl"))
    for event in ask(SHAPES, QUESTION, model="tiny", options=Options(save=True)):
        last = event
    assert isinstance(last, Done)
    assert len(list(history.rglob("*.jsonl"))) == 1


@pytest.mark.parametrize(
    ("image", "question", "options", "said"),
    [
        ("nowhere.png", "What?", Options(), "nowhere.png: no such file"),
        ("clip", "What?", Options(), "./clip: no such file"),
        ("-", "What?", Options(), "./-: no such file"),
        (5, "What?", Options(), "an image is a path, bytes, an image of PIL's or an array"),
        (b"no picture", "What?", Options(), "is text, not a picture"),
        (np.zeros((4, 4)), "What?", Options(), "an array of shape (4, 4) and type float64"),
        (np.zeros((4, 4, 2), np.uint8), "What?", Options(), "an array of shape (4, 4, 2)"),
        (SHAPES, " ", Options(), "the question is empty"),
        (SHAPES, "What?", Options(vote=99), "vote is 99; it is from 1 to 16"),
        (SHAPES, "What?", Options(temperature=-1.0), "temperature is -1.0; it is at least 0"),
        (SHAPES, "What?", Options(temperature=float("nan")), "temperature is nan"),
        (SHAPES, "What?", Options(top_p=2.0), "top_p is 2.0; it is from 0 to 1"),
        (SHAPES, "What?", Options(max_tokens=0), "max_tokens is 0; it is at least 1"),
        (SHAPES, "What?", Options(detail="huge"), "detail"),
        (SHAPES, "What?", Options(crop="1,2"), "crop"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_the_arguments_name(
    model: Model, image: object, question: str, options: Options, said: str
) -> None:
    with pytest.raises(QvqError) as caught:
        model.ask(image, question, options=options)  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert "--" not in str(caught.value)


def test_no_whole_answer_is_an_error(model: Model) -> None:
    with pytest.raises(NoAnswerError, match=r"no final answer within 5 tokens \(max_tokens\)"):
        model.answer(SHAPES, QUESTION, options=Options(max_tokens=5))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "F"])
def test_an_image_of_any_mode_is_read(model: Model, mode: str) -> None:
    out = io.BytesIO()
    pixels().convert(mode).convert("RGB").save(out, "PNG")
    same = model.answer(out.getvalue(), QUESTION)
    assert model.answer(pixels().convert(mode), QUESTION).answer == same.answer


def test_no_room_takes_the_name_of_what_the_package_offers() -> None:
    """A submodule that is imported becomes an attribute of its package."""
    import qvq_mlx

    rooms = {path.parent.name for path in Path(qvq_mlx.__file__).parent.glob("*/__init__.py")}
    assert not rooms & set(qvq_mlx.__all__)
