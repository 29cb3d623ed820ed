"""Several pictures and one context: what is shrunk, what is refused, what is said."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qvq_mlx import images
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import DoesNotFitError, ExitCode, UsageError
from qvq_mlx.core.image_options import Detail, ImageOptions
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.request import Limits, Policy, Request
from qvq_mlx.core.rounds import Shown, Source
from qvq_mlx.images.detail import limited
from qvq_mlx.memory import admission
from qvq_mlx.memory.estimate import Use, Verdict, estimate, prefill_s
from qvq_mlx.memory.machine import flops_of
from qvq_mlx.run import image_budget
from qvq_mlx.store import registry
from tests.conftest import EXAMPLES, World
from tests.support.spelling import hint_of, sentence_of

Build = Callable[..., World]
GIB = 2**30
PHOTO = str(EXAMPLES / "shapes.png")


def card(name: str = "qwen2-vl-7b", context: int = 32768) -> ModelCard:
    found = registry.find(name)
    assert found.shape is not None
    return replace(found, shape=replace(found.shape, context_tokens=context))


PHOTO_PX = "1500x1300"


def shared(
    model: ModelCard, request: Request, memory: image_budget.Memory = lambda wanted: wanted
) -> tuple[image_budget.FittedImages, list[tuple[int, Detail | int]]]:
    """With sources that are called by their size, and hold no pixels."""
    asked = []

    def read(index: int, look: ImageOptions) -> tuple[Picture, ...]:
        asked.append((index, look.detail))
        width, height = map(int, request.images[index].split("x"))
        limits = limited(model.vision, look.detail)
        to_height, to_width = images.smart_resize(height, width, limits)
        tokens = to_height * to_width // limits.factor_px**2
        name = request.images[index]
        return (Picture(name, width, height, to_width, to_height, tokens, "", b""),)

    looks = [request.options_for(index) for index in range(len(request.images))]
    return image_budget.fit_images(
        model, looks, request.limits.max_tokens or model.max_tokens, 100, read, memory
    ), asked


def resolved(model: ModelCard, max_tokens: int = 8192) -> Resolved:
    return Resolved(model, Path("/w"), model.system, model.sampling, max_tokens)


def test_what_fits_is_left_alone() -> None:
    found, asked = shared(card(), Request("?", (PHOTO_PX,) * 3, ""))
    assert found.notices == ()
    assert len(asked) == 3
    assert {picture.tokens for picture in found.pictures} == {1254}


def test_auto_shares_the_context_and_says_so() -> None:
    sources = (*(PHOTO_PX,) * 30, "640x640")
    found, _ = shared(card(), Request("?", sources, "", limits=Limits(max_tokens=2000)))
    room = 32768 - 2000 - 100 - 31 * image_budget.PICTURE_TOKENS
    total = sum(picture.tokens for picture in found.pictures)
    assert 0.93 * room < total <= room
    assert found.pictures[-1].tokens == 529  # was small enough
    assert [notice.code for notice in found.notices] == ["shrunk"]
    assert "31 pictures: 38,149 image tokens do not fit the context, 30,420 do" in (
        found.notices[0].text
    )
    # as if each had been asked for at that size: nothing is resized twice
    each = int(found.notices[0].text.split("shown at ")[1].split(" ")[0].replace(",", ""))
    alone, _ = shared(
        card(), Request("?", sources[:1], "", image_options=(ImageOptions(detail=each),))
    )
    assert alone.pictures[0] == found.pictures[0]


def test_a_detail_that_was_given_is_kept_or_refused() -> None:
    sources = ("2500x2300",) * 2
    looks = (ImageOptions(detail=5000), ImageOptions())
    found, asked = shared(
        card(context=8192),
        Request("?", sources, "", limits=Limits(max_tokens=100), image_options=looks),
    )
    assert found.notices == ()
    found, asked = shared(
        card(context=6000),
        Request("?", sources, "", limits=Limits(max_tokens=100), image_options=looks),
    )
    assert found.pictures[0].tokens > 4800
    assert 700 < found.pictures[1].tokens < 1200
    assert [index for index, _ in asked] == [0, 1, 1]
    with pytest.raises(UsageError, match="image tokens, and .* fit the context") as caught:
        shared(
            card(context=4096),
            Request("?", sources, "", limits=Limits(max_tokens=100), image_options=looks[:1]),
        )
    assert hint_of(caught.value) == 'qvq ask --detail auto IMAGE "question"'


def test_too_many_pictures_are_refused_with_the_number_that_fits() -> None:
    with pytest.raises(UsageError) as caught:
        shared(
            card(context=4096), Request("?", (PHOTO_PX,) * 30, "", limits=Limits(max_tokens=512))
        )
    assert "30 pictures take 37,620 image tokens, and 3,244 fit the context" in caught.value.message
    assert sentence_of(caught.value).endswith("that is 12 at --detail low")


def test_memory_shrinks_auto_and_refuses_the_rest() -> None:
    sources = (PHOTO_PX,) * 2
    found, _ = shared(card(), Request("?", sources, ""), memory=lambda wanted: min(wanted, 900))
    assert sum(picture.tokens for picture in found.pictures) <= 900
    assert "do not fit the memory, 900 do; each is shown at 450" in found.notices[0].text
    looks = (ImageOptions(detail=Detail.HIGH),)
    with pytest.raises(DoesNotFitError, match="image tokens, and 900 fit the memory") as caught:
        shared(card(), Request("?", sources, "", image_options=looks), memory=lambda wanted: 900)
    assert caught.value.exit_code is ExitCode.NO_MEMORY


def test_the_most_tokens_that_memory_has_room_for(world: Build) -> None:
    model = card("qvq-72b-preview")
    request = Request("?", (), "", limits=Limits(max_tokens=4096))

    def env(working_set: int):
        machine = Machine(working_set_bytes=working_set)
        return replace(world([]).env, machine=lambda: machine)

    def verdict(tokens: int, working_set: int) -> Verdict:
        prompt = admission.prompt_tokens("?", model.system or "")
        facts = Machine(working_set_bytes=working_set)
        return estimate(model, facts, Use(tokens, prompt, 4096, 0)).verdict

    for working_set in (44 * GIB, 43 * GIB):
        most = admission.most_image_tokens(
            resolved(model, 4096), None, request, 40_000, env(working_set)
        )
        assert 0 < most < 40_000
        assert verdict(most, working_set) is not Verdict.NO
        assert verdict(most + 1, working_set) is Verdict.NO
    # what does not fit at all, is forced or unknown is not shrunk
    assert (
        admission.most_image_tokens(resolved(model, 4096), None, request, 99, env(10 * GIB)) == 99
    )
    forced = replace(request, policy=Policy(force=True))
    assert (
        admission.most_image_tokens(resolved(model, 4096), None, forced, 40_000, env(43 * GIB))
        == 40_000
    )
    small = registry.find("tiny")
    assert (
        admission.most_image_tokens(resolved(small, 4096), None, request, 40_000, env(1)) == 40_000
    )


def test_seconds_of_prefill() -> None:
    model = card("qvq-72b-preview")
    max_ = Machine(chip="Apple M2 Max", flops=flops_of("Apple M2 Max"))
    few, many = prefill_s(model, max_, 1280, 128), prefill_s(model, max_, 15_552, 128)
    assert few is not None
    assert many is not None
    # 70.2e9 weights x 2 x 1,408 tokens / (13.49e12 x 0.6) is 24.4 s; the rest is attention and eyes
    assert 24.4 < few < 27.5
    assert many > 12 * few  # attention grows faster than the tokens
    assert prefill_s(model, Machine(), 1280, 128) is None
    assert flops_of("Apple M9 Max") is None


def test_a_long_prefill_is_said_before_it_begins(world: Build) -> None:
    model = card("qvq-72b-preview")
    slow = Machine(working_set_bytes=90 * GIB, flops=10.4e12)
    env = replace(world([]).env, machine=lambda: slow)
    picture = Picture("a.png", 4032, 3024, 4032, 3024, 15_552, "", b"")
    room = admission.check(resolved(model), Request("?", ("a.png",), ""), [picture], env)
    notices = {notice.code: notice.text for notice in room.notices}
    assert "15,552 image tokens: about 8." in notices["slow-prefill"]
    short = replace(picture, tokens=1280)
    room = admission.check(resolved(model), Request("?", ("a.png",), ""), [short], env)
    assert "slow-prefill" not in {notice.code for notice in room.notices}


def test_what_slows_the_gpu_down_is_said_once(world: Build) -> None:
    """macOS lowers the clock of the GPU in Low Power Mode:
    https://support.apple.com/guide/mac-help/mh43877/mac.
    """
    model, picture = card("qvq-72b-preview"), Picture("a.png", 28, 28, 28, 28, 1, "", b"")
    request = Request("?", ("a.png",), "")

    def said(asked: Request, **power: Any) -> list[str]:
        machine = Machine(working_set_bytes=90 * GIB, **power)
        env = replace(world([]).env, machine=lambda: machine)
        room = admission.check(resolved(model), asked, [picture], env)
        return [notice.text for notice in room.notices if notice.code == "power"]

    assert said(request, power="battery") == ["on battery: macOS may slow the GPU down"]
    low = said(request, power="mains", low_power=True)
    assert low == ["Low Power Mode is on: macOS slows the GPU down"]
    assert said(request, power="mains", low_power=False) == []
    shown = Shown(Source("a.png", ImageOptions(), "", 1))
    assert said(replace(request, earlier=(shown,)), power="battery") == []


# ---------------------------------------------------------------- the command


def ask(world: Build, *argv: str, stdin: bytes = b"") -> World:
    w = world(words=["ok"], stdin=stdin)
    w.code = w.run("ask", "-m", "tiny", *argv, "-Q", "What?")  # type: ignore[attr-defined]
    return w


def test_json_says_what_was_looked_at(world: Build) -> None:
    w = ask(world, "--crop", "25%,0%,50%,50%", "--detail", "16", "--json", PHOTO)
    image = json.loads(w.out)["images"][0]
    assert image["crop"] == {"x_px": 160, "y_px": 0, "width_px": 320, "height_px": 320}
    assert (image["source_width_px"], image["source_height_px"]) == (640, 640)
    assert (image["tokens"], image["cached"]) == (16, False)
    assert len(image["sha256"]) == 64


def test_each_image_has_its_own_look(world: Build) -> None:
    options = ("--detail", "16", "--detail", "auto", "--crop", "0,0,64,64", "--crop", "0,0,320,640")
    w = ask(world, *options, "--json", PHOTO, PHOTO)
    first, second = json.loads(w.out)["images"]
    assert (first["tokens"], second["tokens"]) == (16, 21)
    assert (first["crop"]["height_px"], second["crop"]["height_px"]) == (64, 640)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--detail", "lots"), "--detail is 'lots'"),
        (("--detail", "26"), "--detail 26: this model takes 16 to 25 image tokens"),
        (("--crop", "0,0,9999,1"), "--crop reaches to 9999,1, and the picture has 640×640 pixels"),
        (("--crop", "0,0,2,2"), "--crop leaves 2×2 of 640×640 pixels: too small"),
        (("--background", "#12345"), "--background is '#12345'"),
        (("--background", "#00000080"), "--background is '#00000080'"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(
    world: Build, options: tuple[str, ...], says: str
) -> None:
    w = ask(world, *options, PHOTO)
    assert w.code == ExitCode.USAGE  # type: ignore[attr-defined]
    assert says in w.err
    assert w.err.count("\n") == 2


def test_the_receipt_shows_the_part(world: Build) -> None:
    w = world(words=["ok"], tty=True)
    assert w.run("ask", "-m", "tiny", "--crop", "10,20,400,300", PHOTO, "What?") == 0
    assert "shapes.png 640×640 [400×300 at 10,20] → 140×112 · 20 tokens" in w.out


def test_a_picture_from_stdin_can_be_asked_for_again_at_another_size() -> None:
    image_sources = images.ImageSources(io.BytesIO(Path(PHOTO).read_bytes()))
    limits = card().vision
    first = images.read("-", limits, image_sources)[0]
    again = images.read("-", limits, image_sources, ImageOptions(detail=300))[0]
    assert (first.tokens, again.tokens) == (529, 289)
    assert again == replace(
        images.read(PHOTO, limits, image_sources, ImageOptions(detail=300))[0], name="-"
    )
