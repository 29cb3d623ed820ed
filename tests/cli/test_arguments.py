"""Positional arguments: what is an image, what is the question."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qvq_mlx.cli.arguments import Sorted, sort
from qvq_mlx.core.errors import ExitCode, ImageNotFoundError, UsageError
from qvq_mlx.core.image_names import looks_like_image
from qvq_mlx.core.image_names import on_disk as real
from qvq_mlx.core.mentioned import mentioned
from tests.support.spelling import hint_of


def nothing(_path: str) -> bool:
    return False


def on_disk(path: str) -> bool:
    return Path(path).expanduser().exists()


IMAGES = [
    "-",
    "clip",
    "screen",
    "./clip",
    "*.png",
    "shots/*",
    "/dev/fd/63",
    "/tmp/cat",
    "/a folder/cat",
    "./cat",
    "../cat",
    "~/cat",
    "~/my pictures/cat",
    "pictures/cat",
    "3/4",
    "cat.png",
    "CAT.PNG",
    "scan.TiFF",
    "photo.heic",
    "drawing.svg",
    "page.pdf",
    "a.jpe",
    "a.jfif",
    "Screenshot 2026-11-21 at 10.00.png",
    "Bildschirmfoto 2026\u202fAM.png",
    "图.png",
    "https://example.org/cat.png?size=2",
    "HTTP://example.org/cat",
    "file:///tmp/cat",
    "s3://bucket/cat",
    "data:image/png;base64,iVBOR",
    "data:application/pdf;base64,JVBERi0",
    "data:;base64,iVBOR",
    "data:application/octet-stream;base64,iVBOR",
]

QUESTIONS = [
    "Clip",
    "clip?",
    "What is on the screen",
    "data: is it ;base64, or not",
    "count *",
    "What is this?",
    "What is 3/4?",
    "3/4?",
    "and/or!",
    "and/or.",
    "Is 3/4 more than 1/2",
    "Who drew cat.png?",
    "图中有几个/多少圆？",
    "圆/方。",
    "圆/方！",
    "~5/6",
    "count",
    "data: what does it show",
    "png",
    "cat.txt",
    "-x",
    "a: b//c d",
]


@pytest.mark.parametrize("argument", IMAGES)
def test_the_form_of_an_image_is_never_the_question(argument: str) -> None:
    assert sort([argument], nothing) == Sorted((argument,), None)
    assert looks_like_image(argument)


@pytest.mark.parametrize("argument", QUESTIONS)
def test_everything_else_is_the_question(argument: str) -> None:
    assert sort([argument], nothing) == Sorted((), argument)
    assert not looks_like_image(argument)


@pytest.mark.parametrize("argument", QUESTIONS)
def test_what_exists_is_an_image_whatever_its_name(argument: str) -> None:
    assert sort([argument], lambda path: path == argument) == Sorted((argument,), None)


def test_the_order_is_free_and_that_of_the_images_is_kept() -> None:
    found = sort(["b.png", "Which is older?", "a.png", "-"], nothing)
    assert found == Sorted(("b.png", "a.png", "-"), "Which is older?")
    assert sort([], nothing) == Sorted((), None)


def test_clip_and_screen_are_words_whether_files_of_their_names_exist_or_not() -> None:
    for exists in (nothing, lambda _path: True):
        found = sort(["clip", "./screen", "screen", "-"], exists)
        assert found == Sorted(("clip", "./screen", "screen", "-"), None)


def test_a_pattern_that_names_files_is_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cats", "a.txt", "is it"):
        (tmp_path / name).touch()
    assert sort(["a.*", "c*", "cat?"], real) == Sorted(("a.*", "c*"), "cat?")
    assert sort(["is*t"], real) == Sorted(("is*t",), None)
    assert sort(["b.*"], real) == Sorted((), "b.*")
    assert sort(["is *"], real) == Sorted((), "is *")


def test_a_second_question_is_refused_with_the_right_command() -> None:
    with pytest.raises(UsageError) as caught:
        sort(["cat.png", "How", "many", "cats", "are", "there"], nothing)
    assert caught.value.message == (
        "'How' and 'many' are two questions; quote a question of several words"
    )
    assert hint_of(caught.value) == "qvq ask cat.png 'How many cats are there'"
    assert caught.value.exit_code is ExitCode.USAGE


def test_the_hint_quotes_the_names_too() -> None:
    with pytest.raises(UsageError) as caught:
        sort(["my cat.png", "it's", "what"], nothing)
    assert shlex.split(hint_of(caught.value)) == ["qvq", "ask", "my cat.png", "it's what"]


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u3000"])
def test_a_blank_argument_is_refused_although_the_empty_path_exists(blank: str) -> None:
    with pytest.raises(UsageError, match="the question is empty") as caught:
        sort(["cat.png", blank], lambda _path: True)
    assert hint_of(caught.value) == "qvq ask cat.png 'question'"


@pytest.mark.parametrize("question", ["why " * 2000, "nul\0", "~nobody-at-all", "\udcff"])
def test_a_question_that_is_no_legal_path(question: str) -> None:
    assert sort([question], on_disk) == Sorted((), question)


WORDS = st.one_of(
    st.text(),
    st.sampled_from([*IMAGES, *QUESTIONS]),
    st.text(alphabet="~./-?！a \0\n:data图", max_size=12),
)


@given(st.lists(WORDS, max_size=5), st.sampled_from([nothing, on_disk]))
@example(["/", " 0.PNG"], nothing)  # one of them is a sentence, and ends in a name
@example(["\r/"], on_disk)
def test_nothing_is_lost_and_nothing_else_is_raised(
    arguments: list[str], exists: Callable[[str], bool]
) -> None:
    try:
        found = sort(arguments, exists)
    except (UsageError, ImageNotFoundError) as error:
        hint = shlex.split(hint_of(error))
    else:
        hint = []
    if hint:
        assert hint[:2] == ["qvq", "ask"]
        return
    kept = list(found.images) + ([] if found.question is None else [found.question])
    if sorted(kept) != sorted(arguments):  # a name was taken out of a sentence: test_mentioned.py
        assert any(mentioned(argument, exists).pictures for argument in arguments)
        return
    assert all(a in found.images for a in arguments if looks_like_image(a))
