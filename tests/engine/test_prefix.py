"""The image-prefix cache: a cached run is the cold run, and what is damaged is not believed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.events import Progress, Stage
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.rounds import Round
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Control, Finished, Prompt, Step
from qvq_mlx.engine.cache_files import KeptFiles
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.prefill import Reader
from qvq_mlx.engine.prefix import PrefixCache, boundaries, fingerprint
from qvq_mlx.engine.session import Session
from qvq_mlx.engine.vocabulary import Vocabulary
from tests.engine.conftest import ROOT, goldens, ids_of

Run = Callable[..., list[Step]]
QUESTIONS = ("How many red circles are there?", "What shapes do you see?")


@pytest.fixture(scope="module")
def pictures(picture: Callable[[Path], Picture]) -> list[Picture]:
    """Pictures of different sizes."""
    by_size = {len(read.rgb): read for read in (picture(g.image) for g in goldens())}
    return list(by_size.values())[:3]


@pytest.fixture
def kept(tmp_path: Path) -> KeptFiles:
    return KeptFiles(tmp_path / "prefixes", 2**30)


@pytest.fixture
def caching(tiny: Session, kept: KeptFiles) -> Callable[[], Session]:
    """The embedded model in a process that has just started, with a cache on disk."""

    def session() -> Session:
        reader = Reader(tiny.parts, PrefixCache(kept))
        return Session(reader, Drafts(Drafting.NONE))

    return session


def asked(session: Session, pictures: list[Picture], question: str, card: ModelCard) -> Prompt:
    return session.prompt(question, pictures, card.system)


def cached_tokens(steps: list[Step]) -> int:
    assert isinstance(steps[-1], Finished)
    return steps[-1].cached_tokens


def stages(steps: list[Step]) -> set[Stage]:
    return {step.stage for step in steps if isinstance(step, Progress)}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_another_question_in_another_process_equals_a_cold_run(
    count: int,
    caching: Callable[[], Session],
    pictures: list[Picture],
    card: ModelCard,
    run: Run,
) -> None:
    first = asked(caching(), pictures[:count], QUESTIONS[0], card)
    other = asked(caching(), pictures[:count], QUESTIONS[1], card)
    cold = run(other, max_tokens=40)
    assert cached_tokens(run(first, max_tokens=5, session=caching())) == 0
    warm = run(other, max_tokens=40, session=caching())
    assert ids_of(warm) == ids_of(cold)
    assert cached_tokens(warm) > sum(picture.tokens for picture in pictures[:count])
    assert Stage.ENCODE in stages(cold)
    assert Stage.ENCODE not in stages(warm)


def test_a_cached_prefix_is_equal_to_the_bit(
    caching: Callable[[], Session], pictures: list[Picture], card: ModelCard
) -> None:
    import mlx.core as mx

    def logits(session: Session) -> mx.array:
        prompt = asked(session, pictures[:2], QUESTIONS[0], card)
        steps = session.reader.read(prompt, Control())
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                start = stop.value
                return start.sequence.forward(mx.array([start.ids[-1:]]), start.position)

    cold, warm = logits(caching()), logits(caching())
    assert mx.array_equal(cold, warm)


def test_a_label_before_the_first_picture_leaves_no_boundary_in_common(
    tiny: Session, pictures: list[Picture], card: ModelCard
) -> None:
    def keys(count: int) -> set[str]:
        prompt = asked(tiny, pictures[:count], QUESTIONS[0], card)
        return {end.key for end in boundaries(prompt, tiny.parts.model.image_token_id, "model")}

    assert not keys(1) & keys(2)
    assert keys(2) < keys(3)


def test_a_picture_that_is_appended_reuses_the_first(
    caching: Callable[[], Session], pictures: list[Picture], card: ModelCard, run: Run
) -> None:
    session = caching()
    run(asked(session, pictures[:1], QUESTIONS[0], card), max_tokens=3, session=session)
    # several pictures of one question are labelled, and one alone is not
    both = session.prompt(QUESTIONS[0], pictures[:2], card.system, labelled=False)
    warm = run(both, max_tokens=30, session=session)
    encoded = [s.total for s in warm if isinstance(s, Progress) and s.stage is Stage.ENCODE]
    assert set(encoded) == {pictures[1].tokens}
    assert cached_tokens(warm) > pictures[0].tokens
    assert ids_of(warm) == ids_of(run(both, max_tokens=30))


@pytest.mark.parametrize("new", [0, 1])
def test_a_follow_up_reuses_the_pictures_of_the_round_before(
    new: int,
    caching: Callable[[], Session],
    pictures: list[Picture],
    card: ModelCard,
    run: Run,
) -> None:
    """In one process and in the next one; and what comes of it is what comes without a cache."""
    session = caching()
    run(asked(session, pictures[:1], QUESTIONS[0], card), max_tokens=3, session=session)
    rounds = [Round(QUESTIONS[0], "\\boxed{3}", 1)]
    seen = pictures[: 1 + new]
    follow_up = session.prompt(QUESTIONS[1], seen, card.system, rounds)
    cold = ids_of(run(follow_up, max_tokens=30))
    for warm_session in (session, caching()):
        warm = run(follow_up, max_tokens=30, session=warm_session)
        encoded = [s.total for s in warm if isinstance(s, Progress) and s.stage is Stage.ENCODE]
        assert set(encoded) == ({pictures[1].tokens} if new and warm_session is session else set())
        assert cached_tokens(warm) > pictures[0].tokens
        assert ids_of(warm) == cold


def test_the_key_is_content(
    tiny: Session, pictures: list[Picture], card: ModelCard, vocabulary: Vocabulary
) -> None:
    def keys(prompt: Prompt, model: str = "model") -> list[str]:
        return [end.key for end in boundaries(prompt, tiny.parts.model.image_token_id, model)]

    one = asked(tiny, pictures[:2], QUESTIONS[0], card)
    renamed = [replace(p, name="elsewhere.png", sha256="0" * 64) for p in pictures[:2]]
    assert keys(asked(tiny, renamed, QUESTIONS[1], card)) == keys(one)
    dot = bytes([pictures[1].rgb[0] ^ 1]) + pictures[1].rgb[1:]
    changed = keys(asked(tiny, [pictures[0], replace(pictures[1], rgb=dot)], QUESTIONS[0], card))
    assert changed[0] == keys(one)[0]
    assert changed[1] != keys(one)[1]
    assert not {*keys(one)} & {*keys(one, "another model")}
    assert not {*keys(one)} & {*keys(tiny.prompt(QUESTIONS[0], pictures[:2], "Be brief."))}
    swapped = keys(asked(tiny, pictures[1::-1], QUESTIONS[0], card))
    assert not {*keys(one)} & {*swapped}
    assert keys(tiny.prompt(QUESTIONS[0], [], None)) == []
    [first, second] = boundaries(one, tiny.parts.model.image_token_id, "model")
    assert one.ids[first.index - 1] == vocabulary.special("<|vision_end|>")
    assert one.ids[second.index - 1] == vocabulary.special("<|vision_end|>")


@pytest.mark.sampled(4)
@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize(
    ("first", "then", "reused"),
    [((0, 1), (0, 2), 1), ((0, 1, 2), (0, 1), 2), ((0, 1, 2), (0, 2, 1), 1), ((0, 1), (1, 0), 0)],
)
def test_every_image_boundary_is_kept(
    where: str,
    first: tuple[int, ...],
    then: tuple[int, ...],
    reused: int,
    caching: Callable[[], Session],
    pictures: list[Picture],
    card: ModelCard,
    run: Run,
) -> None:
    session = caching()
    run(
        asked(session, [pictures[i] for i in first], QUESTIONS[0], card),
        max_tokens=3,
        session=session,
    )
    prompt = asked(session, [pictures[i] for i in then], QUESTIONS[1], card)
    warm = run(prompt, max_tokens=20, session=session if where == "memory" else caching())
    assert isinstance(warm[-1], Finished)
    assert warm[-1].cached_images == reused
    assert ids_of(warm) == ids_of(run(prompt, max_tokens=20))


def test_each_image_is_written_once_however_long_the_conversation(
    kept: KeptFiles,
    caching: Callable[[], Session],
    pictures: list[Picture],
    card: ModelCard,
    run: Run,
) -> None:
    for count in (2, 3, 3):
        prompt = caching().prompt(QUESTIONS[0], pictures[:count], card.system, labelled=True)
        run(prompt, max_tokens=3, session=caching())
    assert len(kept.entries()) == 3
    lengths = [entry.size_bytes for entry in kept.entries()]
    assert max(lengths) < 0.6 * sum(lengths)


@pytest.mark.parametrize("wrong", ["heads", "width", "type", "layers"])
def test_an_entry_of_other_shapes_is_removed_and_written_anew(
    wrong: str,
    kept: KeptFiles,
    caching: Callable[[], Session],
    pictures: list[Picture],
    card: ModelCard,
    run: Run,
) -> None:
    """The right number of tokens, a content that its name confirms, and yet another model's."""
    import mlx.core as mx

    prompt = asked(caching(), pictures[:1], QUESTIONS[0], card)
    cold = ids_of(run(prompt, max_tokens=20, session=caching()))
    [entry] = kept.entries()
    right = dict(mx.load(str(entry.path)).items())
    change = {
        "heads": lambda array: mx.concatenate([array, array], axis=1),
        "width": lambda array: array[..., : array.shape[-1] // 2],
        "type": lambda array: array.astype(mx.float16),
        "layers": lambda array: array,
    }[wrong]
    arrays = {name: change(array) for name, array in right.items()}
    if wrong == "layers":
        arrays |= {"keys.99": arrays["keys.0"], "values.99": arrays["values.0"]}
    mx.eval(arrays)
    entry.path.unlink()
    key = entry.path.name.split(".")[0]
    assert kept.put(key, 100, lambda path: mx.save_safetensors(str(path), arrays))
    steps = run(prompt, max_tokens=20, session=caching())
    assert (ids_of(steps), cached_tokens(steps)) == (cold, 0)
    again = run(prompt, max_tokens=20, session=caching())
    assert ids_of(again) == cold
    assert cached_tokens(again) > 0


@pytest.mark.parametrize("damage", ["flipped", "short", "empty", "foreign", "other shapes"])
def test_a_damaged_entry_is_dropped_and_computed_anew(
    damage: str,
    kept: KeptFiles,
    caching: Callable[[], Session],
    pictures: list[Picture],
    card: ModelCard,
    run: Run,
) -> None:
    import mlx.core as mx

    prompt = asked(caching(), pictures[:1], QUESTIONS[0], card)
    cold = ids_of(run(prompt, max_tokens=20, session=caching()))
    [entry] = kept.entries()
    content = bytearray(entry.path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "flipped":
        entry.path.write_bytes(content)
    elif damage == "short":
        entry.path.write_bytes(content[:-100])
    elif damage == "empty":
        entry.path.write_bytes(b"")
    else:
        key = entry.path.name.split(".")[0]
        entry.path.unlink()
        arrays = {"keys.0": mx.zeros((1, 2, 3, 4)), "values.0": mx.zeros((1, 2, 3, 4))}
        if damage == "foreign":
            arrays = {"something": mx.zeros(3)}
        assert kept.put(key, 100, lambda path: mx.save_safetensors(str(path), arrays))
    steps = run(prompt, max_tokens=20, session=caching())
    assert ids_of(steps) == cold
    assert cached_tokens(steps) == 0


@pytest.mark.parametrize("chunk", [16, 64])
def test_a_stop_within_prefill_keeps_nothing_wrong(
    chunk: int, kept: KeptFiles, tiny: Session, pictures: list[Picture], card: ModelCard, run: Run
) -> None:
    from qvq_mlx.core.request import Sampling
    from qvq_mlx.core.tokens import Generation

    session = Session(Reader(tiny.parts, PrefixCache(kept), chunk), Drafts(Drafting.NONE))
    prompt = asked(session, pictures[:2], QUESTIONS[0], card)
    for chunks in range(1, 6):
        control, seen = Control(), 0
        for step in session.generate(prompt, Generation(Sampling(), 5), control):
            if isinstance(step, Progress) and step.stage is Stage.PREFILL:
                seen += 1
                if seen == chunks:
                    control.stop()
    assert ids_of(run(prompt, max_tokens=20, session=session)) == ids_of(run(prompt, max_tokens=20))


def test_a_checkpoint_that_changes_has_another_fingerprint(tmp_path: Path, folder: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    before = fingerprint(copy)
    assert fingerprint(copy) == before
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert fingerprint(copy) != before


def test_two_processes_and_the_command(tmp_path: Path) -> None:
    def qvq(*argv: str) -> str:
        env = {**os.environ, "QVQ_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "qvq_mlx", *argv]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout

    shapes = str(ROOT / "examples" / "shapes.png")
    ask = ("ask", "-m", "tiny", "--draft", "none", "--json", shapes)
    first = json.loads(qvq(*ask, "How many red circles are there?"))
    again = json.loads(qvq(*ask, "How many red circles are there?"))
    without = json.loads(qvq(*ask, "--no-cache", "How many red circles are there?"))
    assert first["stats"]["cached_tokens"] == without["stats"]["cached_tokens"] == 0
    assert [run["images"][0]["cached"] for run in (first, again, without)] == [False, True, False]
    assert again["stats"]["cached_tokens"] > again["stats"]["image_tokens"]
    assert first["thinking"] == again["thinking"] == without["thinking"]
    assert qvq("cache").splitlines()[1].startswith("1 prefixes")
    assert qvq("cache", "clear").startswith("removed 1 prefixes")
    assert qvq("cache", "info").splitlines()[1].startswith("0 prefixes")
