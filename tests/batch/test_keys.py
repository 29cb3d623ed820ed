"""By what a batch knows that an item is done: all that bears on the text, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qvq_mlx.batch.keys import KeyMaker, key_of, legacy_keys, model_identity
from qvq_mlx.core.card import ModelCard, Thinking, ThinkingStyle
from qvq_mlx.core.host import Host
from qvq_mlx.core.image_options import Crop, Frames, ImageOptions, Pages
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.request import (
    Budget,
    Limits,
    Method,
    Origin,
    Placement,
    Policy,
    PromptOptions,
    Request,
    Sampling,
    SamplingOverrides,
)
from qvq_mlx.core.rounds import Round, Shown, Source
from qvq_mlx.store import local
from tests.conftest import EXAMPLES, ROOT, World

Build = Callable[..., World]
WORDS = ["Let me see. ", "\n\n**Final Answer**\n\n", "\\boxed{3}"]
ASKED = ("shapes.png", "-Q", "How many?", "-o", "out.jsonl")

CARD = ModelCard("a", "", "qwen2_vl", "MIT", aliases=("b",), repo="org/a")
RESOLVED = Resolved(CARD, Path("/models/a"), "Think.", Sampling(), 8192, 4096)
REQUEST = Request("How many?", ("shapes.png",), "a")

ROUND = Round("What?", "A cat.", 1)
SHOWN = Shown(Source("a.png", ImageOptions(), "ab" * 32, 1))
OTHERS: dict[str, dict[str, object]] = {
    "question": {"": "How many cats?"},
    "rounds": {"": (ROUND,)},
    "earlier": {"": (SHOWN,)},
    "image_options": {
        "": (ImageOptions(400),),
        "crop": (ImageOptions(crop=Crop(0, 0, 9, 9)),),
        "pages": (ImageOptions(pages=Pages(((2, 2),))),),
        "background": (ImageOptions(background="black"),),
        "frames": (ImageOptions(frames=Frames(count=2)),),
    },
    "prompt": {"placement": Placement.INLINE, "allow_text_only": True},
    "limits": {"answer_tokens": 9},
    "method": {
        "votes": 3,
        "double_check": True,
        "schema": "{}",
        "lang": "zh",
        "look": 2,
        "kv_bits": 8,
    },
    "policy": {
        "draft": "lookup",
        "use_cache": False,
        "force": True,
        "wait": False,
        "offline": True,
        "save": False,
        "server": False,
        "in_flight": 4,
        "host": Host("http://studio:8080"),
    },
    "origin": {"follows": "0123abcd", "seen_pictures": 2, "piped_characters": 5},
}
"""Another value for every field of a request; those that are missing are resolved."""
RESOLVED_FIELDS = {
    "images": None,
    "model": None,
    "prompt": {"system"},
    "limits": {"budget", "max_tokens", "think", "usual_budget"},
    "sampling": {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "repetition_penalty",
        "presence_penalty",
    },
}


HALVES = ("top_p", "repetition_penalty")


def changed(request: Request, name: str, part: str, value: object) -> Request:
    group = getattr(request, name)
    if part and name != "image_options":
        value = replace(group, **{part: value})
    return replace(request, **{name: value})


def key(request: Request = REQUEST, resolved: Resolved = RESOLVED, contents: str = "c1") -> str:
    return key_of(request, resolved, "m1", (contents,))


def test_every_field_is_told_apart_from_policy() -> None:
    """A new field of a request is in this test, or the test fails."""
    groups = {PromptOptions, Limits, SamplingOverrides, Method, Policy, Origin}
    for field in fields(Request):
        value = getattr(REQUEST, field.name)
        told = set(OTHERS.get(field.name, {})) | set(RESOLVED_FIELDS.get(field.name) or ())
        if type(value) in groups:
            assert told == {part.name for part in fields(value)}, field.name
        else:
            assert field.name in {*OTHERS, *RESOLVED_FIELDS}, field.name


@pytest.mark.parametrize(
    ("name", "part"), [(name, part) for name, parts in OTHERS.items() for part in parts]
)
def test_what_bears_on_the_text_is_in_the_key(name: str, part: str) -> None:
    other = changed(REQUEST, name, part, OTHERS[name][part])
    assert other != REQUEST
    assert (key(other) == key()) == (name in ("policy", "origin"))


@pytest.mark.parametrize(
    "other",
    [
        replace(RESOLVED, system=None),
        replace(RESOLVED, max_tokens=8191),
        replace(RESOLVED, budget_tokens=None),
        replace(RESOLVED, budget_tokens=4095),
        replace(RESOLVED, thinks=False),
        *(
            replace(RESOLVED, sampling=replace(Sampling(), **{name: 0.5 if name in HALVES else 1}))
            for name in sorted(RESOLVED_FIELDS["sampling"] or ())
        ),
    ],
)
def test_what_was_resolved_is_in_the_key(other: Resolved) -> None:
    assert key(resolved=other) != key()


def test_what_was_resolved_counts_however_it_was_spelt() -> None:
    spelt = replace(
        REQUEST,
        model="org/a",
        images=("./shapes.png",),
        prompt=PromptOptions("Think."),
        limits=Limits(Budget(4096), 1024, 8192),
        sampling=SamplingOverrides(temperature=0.0, seed=0),
    )
    assert key(spelt) == key()
    # neither holds the answer to a language; a named one does
    assert key(replace(REQUEST, method=Method(lang="off"))) == key()
    assert key(replace(REQUEST, method=Method(lang="en"))) != key()


def test_contents_and_model_are_in_the_key() -> None:
    assert key(contents="c2") != key()
    assert key_of(REQUEST, RESOLVED, "m2", ("c1",)) != key()


def test_keys_stay_what_they_are() -> None:
    """Files with these keys are on people's disks: an option that comes later changes none."""
    full = replace(
        REQUEST,
        image_options=(ImageOptions(400, Crop(0, 0, 9, 9), Pages(((2, 4),)), "black"),),
        method=Method(3, True, "{}", "zh"),
        limits=Limits(answer_tokens=9),
    )
    assert (key(), key(full)) == GOLDEN


REQUESTS = [
    REQUEST,
    *(
        changed(REQUEST, name, part, value)
        for name, parts in OTHERS.items()
        for part, value in parts.items()
    ),
]


@given(
    st.sampled_from(REQUESTS),
    st.text(max_size=20),
    st.lists(st.text(max_size=8) | st.just("ab" * 32), max_size=3),
)
@example(REQUEST, '", "question": "', ['"], "images": ["'])
def test_many_keys_made_together_are_those_made_alone(
    request_: Request, question: str, contents: list[str]
) -> None:
    together = KeyMaker(request_, RESOLVED, "m1").key(question, contents)
    alone = replace(request_, question=question)
    assert together == key_of(alone, RESOLVED, "m1", contents)


GOLDEN = ("dfaf8249dce2b75247fccc8cb26f3228", "3fa039c1d35d7ece8d354dcbbd902ada")


def test_defaults_that_a_key_does_not_spell() -> None:
    """A key leaves out what is the default: where one of these changes, old keys would lie."""
    assert Limits() == Limits(None, 1024, None)
    assert Method() == Method(1, False, "", "auto")
    assert ImageOptions() == ImageOptions("auto", None, Pages(()), "white", Frames(None, None))


def test_the_model_is_its_weights_and_its_voice(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    shutil.copytree(ROOT / "models" / "qvq-tiny", folder)
    resolved = replace(RESOLVED, folder=folder)
    before = model_identity(resolved)
    assert model_identity(replace(resolved, card=replace(CARD, name="c", summary="s"))) == before
    tagged = replace(CARD, thinking=Thinking(ThinkingStyle.TAG))
    assert model_identity(replace(resolved, card=tagged)) != before
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes())
    assert model_identity(resolved) != before


def test_weights_of_the_hub_are_known_by_their_blobs(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        folder = tmp_path / name
        shutil.copytree(ROOT / "models" / "qvq-tiny", folder / "blobs")
        (folder / "snapshot").mkdir()
        for number, file in enumerate(sorted((folder / "blobs").iterdir())):
            blob = file.rename(file.with_name(f"{number:064x}"))
            (folder / "snapshot" / file.name).symlink_to(Path("..") / "blobs" / blob.name)
        found.append(local.fingerprint(folder / "snapshot"))
    assert found[0] == found[1]  # though written at different times


def test_an_old_key_for_every_spelling_of_the_model() -> None:
    found = legacy_keys(REQUEST, CARD, ("c1",))
    assert len(set(found)) == 6  # a, b, org/a; each online and offline
    assert legacy_keys(replace(REQUEST, model="./a"), CARD, ("c1",)) not in found
    assert len(legacy_keys(replace(REQUEST, model="./a"), CARD, ("c1",))) == 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(EXAMPLES / "shapes.png", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("more", "rows"),
    [
        (("-m", "tiny", "--offline"), 1),
        (("-m", "qvq-tiny"), 1),
        (("-m", "tiny", "--budget", "medium"), 1),
        (("-m", "tiny", "--answer-tokens", "1024", "--lang", "auto"), 1),
        (("-m", "tiny", "--temp", "0", "--no-wait", "--force", "--draft", "none"), 1),
        (("-m", "tiny", "--budget", "low"), 2),
    ],
)
def test_the_same_command_in_other_words_adds_no_row(
    world: Build, folder: Path, more: tuple[str, ...], rows: int
) -> None:
    assert world(WORDS).run("batch", "-m", "tiny", *ASKED) == 0
    there = world(WORDS)
    assert there.run("batch", *more, *ASKED) == 0, there.err
    assert len((folder / "out.jsonl").read_text().splitlines()) == rows


def test_a_budget_of_the_settings_is_the_same_budget_typed() -> None:
    """Where it gives way, the resolved budget is another one, and so is the key."""
    usual = replace(REQUEST, limits=replace(REQUEST.limits, usual_budget=True))
    assert key(usual) == key()
