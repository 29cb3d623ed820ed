"""Every drafter against none: the same text at every temperature, however it is steered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.events import Progress, Stage, StopReason
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Checkpoint, Drafting, Setup
from qvq_mlx.core.tokens import Control, Finished, Prompt, Step
from qvq_mlx.engine import loaded
from qvq_mlx.engine.costs import CostBook
from qvq_mlx.engine.drafting import Drafts, worth_loading
from qvq_mlx.engine.prefill import Reader
from qvq_mlx.engine.session import Session
from qvq_mlx.engine.speculation import Costs, Past
from qvq_mlx.store import registry
from tests.engine.conftest import goldens, ids_of

Run = Callable[..., list[Step]]
Drafter = Callable[[], Drafts]

MOST_TOKENS = 60
GREEDY = Sampling()
SAMPLINGS = [GREEDY, Sampling(0.8, seed=5), Sampling(1.1, 0.95, 40, 0.02, 11)]


@pytest.fixture(scope="module")
def draft() -> Checkpoint:
    card = registry.find("tiny-draft")
    return Checkpoint(card, registry.folder_of(card, Path("nowhere")))


@pytest.fixture(scope="module")
def draft_reader(draft: Checkpoint) -> Reader:
    return cast("Session", loaded(draft.card, draft.folder)).reader


@pytest.fixture(scope="module")
def drafters(draft_reader: Reader, tiny: Session) -> dict[str, Drafter]:
    """Drafters that never stop, however slow they are: what is tested is the text."""
    return {
        "lookup": lambda: Drafts(Drafting.LOOKUP, always=4),
        "model": lambda: Drafts(Drafting.MODEL, draft_reader, always=1),
        "model in blocks of 4": lambda: Drafts(Drafting.MODEL, draft_reader, always=4),
        "model in blocks of 8": lambda: Drafts(Drafting.MODEL, draft_reader, always=8),
        "the model itself": lambda: Drafts(Drafting.MODEL, tiny.reader, always=5),
    }


NAMES = ("lookup", "model", "model in blocks of 4", "model in blocks of 8", "the model itself")


@pytest.fixture(scope="module")
def prompts(
    tiny: Session, card: ModelCard, picture: Callable[[Path], Picture]
) -> dict[int, Prompt]:
    """Prompts with no, one, two and three pictures."""
    read = [picture(golden.image) for golden in goldens()[:3]]
    question = goldens()[0].question
    return {count: tiny.prompt(question, read[:count], card.system) for count in range(4)}


@pytest.fixture(scope="module")
def plain(run: Run, prompts: dict[int, Prompt]) -> Callable[..., list[Step]]:
    """What is written without a drafter, each case once."""
    known: dict[tuple[int, Sampling, int | None], list[Step]] = {}

    def steps(pictures: int, sampling: Sampling = GREEDY, after: int | None = None) -> list[Step]:
        case = (pictures, sampling, after)
        if case not in known:
            known[case] = run(
                prompts[pictures],
                sampling=sampling,
                max_tokens=MOST_TOKENS,
                on_token=concluding(after),
            )
        return known[case]

    return steps


def concluding(after: int | None) -> Callable[[int, Control], None]:
    """Ask for the answer behind the token of this index."""

    def conclude(index: int, control: Control) -> None:
        if index == after:
            control.conclude()

    return conclude


def finished(steps: list[Step]) -> Finished:
    assert isinstance(steps[-1], Finished)
    return steps[-1]


@pytest.mark.sampled(5)
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "warm", "filtered"])
@pytest.mark.parametrize("pictures", [0, 1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_drafter_never_changes_the_text(
    name: str,
    pictures: int,
    sampling: Sampling,
    tiny: Session,
    drafters: dict[str, Drafter],
    prompts: dict[int, Prompt],
    run: Run,
    plain: Callable[..., list[Step]],
) -> None:
    session = tiny.drafted_by(drafters[name]())
    expected = plain(pictures, sampling)
    drafted = run(prompts[pictures], sampling=sampling, max_tokens=MOST_TOKENS, session=session)
    assert ids_of(drafted) == ids_of(expected)
    assert finished(drafted).stop_reason is finished(expected).stop_reason
    effort = finished(drafted).effort
    assert effort.accepted_tokens <= effort.drafted_tokens
    assert finished(expected).effort.drafted_tokens == 0


def test_a_model_that_drafts_for_itself_is_always_right(
    tiny: Session, drafters: dict[str, Drafter], prompts: dict[int, Prompt], run: Run
) -> None:
    session = tiny.drafted_by(drafters["the model itself"]())
    steps = run(prompts[1], sampling=Sampling(0.7, seed=2), max_tokens=60, session=session)
    effort = finished(steps).effort
    # the last block may hold tokens behind the end of the turn
    assert effort.accepted_tokens >= effort.drafted_tokens - 5
    assert effort.passes <= -(-len(ids_of(steps)) // 6) + 1


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", ["lookup", "model in blocks of 4", "model in blocks of 8"])
@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 5, 8, 13, 40])
def test_steering_at_any_token_gives_the_same_text(
    name: str,
    after: int,
    tiny: Session,
    drafters: dict[str, Drafter],
    prompts: dict[int, Prompt],
    run: Run,
    plain: Callable[..., list[Step]],
) -> None:
    drafted = run(
        prompts[1],
        max_tokens=MOST_TOKENS,
        on_token=concluding(after),
        session=tiny.drafted_by(drafters[name]()),
    )
    assert ids_of(drafted) == ids_of(plain(1, after=after))
    assert finished(drafted).concluded


@pytest.mark.parametrize("after", [0, 2, 3, 18])
def test_a_stop_within_a_drafted_block_leaves_nothing_behind(
    after: int,
    tiny: Session,
    drafters: dict[str, Drafter],
    prompts: dict[int, Prompt],
    run: Run,
    plain: Callable[..., list[Step]],
) -> None:
    def stop(index: int, control: Control) -> None:
        if index == after:
            control.stop()

    cold = ids_of(plain(1))
    session = tiny.drafted_by(drafters["model in blocks of 8"]())
    stopped = run(prompts[1], on_token=stop, session=session)
    assert ids_of(stopped) == cold[: after + 1]
    assert finished(stopped).stop_reason is StopReason.INTERRUPT
    assert ids_of(run(prompts[1], max_tokens=MOST_TOKENS, session=session)) == cold


@pytest.mark.parametrize("most", [1, 2, 6, 11])
def test_max_tokens_is_exact_with_drafts(
    most: int,
    tiny: Session,
    drafters: dict[str, Drafter],
    prompts: dict[int, Prompt],
    run: Run,
    plain: Callable[..., list[Step]],
) -> None:
    session = tiny.drafted_by(drafters["model in blocks of 8"]())
    steps = run(prompts[1], max_tokens=most, session=session)
    assert ids_of(steps) == ids_of(plain(1))[:most]
    assert finished(steps).stop_reason is StopReason.LENGTH


@pytest.mark.parametrize("drafting", [Drafting.NONE, Drafting.LOOKUP])
def test_the_same_weights_under_another_set_up_give_the_same_text(
    drafting: Drafting, tiny: Session, prompts: dict[int, Prompt], run: Run, tmp_path: Path
) -> None:
    expected = run(prompts[1], session=tiny)
    folder = tmp_path / "prefixes"
    without = tiny.under(Setup(drafting, cache_folder=tmp_path))
    assert ids_of(run(prompts[1], session=without)) == ids_of(expected)
    assert not folder.exists()
    keeping = tiny.under(Setup(drafting, cache_folder=tmp_path, cache_max_bytes=2**30))
    assert ids_of(run(prompts[1], session=keeping)) == ids_of(expected)
    assert list(folder.iterdir())


def test_lookup_learns_from_the_session(
    tiny: Session, prompts: dict[int, Prompt], run: Run
) -> None:
    session = tiny.drafted_by(Drafts(Drafting.LOOKUP, always=4))
    first = run(prompts[1], session=session)
    again = run(prompts[1], session=session)
    assert ids_of(again) == ids_of(first)
    assert finished(again).effort.passes < finished(first).effort.passes / 2


def test_costs_are_measured_once_and_kept(
    tmp_path: Path, tiny: Session, prompts: dict[int, Prompt], run: Run
) -> None:
    def measured(steps: list[Step]) -> int:
        return sum(isinstance(s, Progress) and s.stage is Stage.CALIBRATE for s in steps)

    def ask() -> list[Step]:
        session = tiny.drafted_by(Drafts(Drafting.LOOKUP, None, CostBook(tmp_path)))
        return run(prompts[1], max_tokens=12, session=session)

    first, later = ask(), ask()
    assert measured(first) > 0
    assert measured(later) == 0
    assert ids_of(first) == ids_of(later) == ids_of(run(prompts[1], max_tokens=12))
    # whether a drafter's gain was noted too hangs on how fast this machine was
    [record] = [file for file in (tmp_path / "costs").iterdir() if "pass_s" in file.read_text()]
    record.write_text("{}")
    assert measured(ask()) > 0


def test_a_stop_ends_the_measurement(tiny: Session, prompts: dict[int, Prompt]) -> None:
    from qvq_mlx.core.tokens import Generation

    control = Control()
    seen = 0
    session = tiny.drafted_by(Drafts(Drafting.LOOKUP))
    for step in session.generate(prompts[1], Generation(Sampling(), 50), control):
        if isinstance(step, Progress) and step.stage is Stage.CALIBRATE:
            seen += 1
            control.stop()
    assert seen == 1
    assert isinstance(step, Finished)
    assert step.stop_reason is StopReason.INTERRUPT


def test_another_tokenizer_cannot_draft(
    tmp_path: Path, card: ModelCard, folder: Path, draft: Checkpoint
) -> None:
    import json
    import shutil

    other = tmp_path / "other"
    shutil.copytree(draft.folder, other)
    path = other / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    vocab = tokenizer["model"]["vocab"]
    one, two = [token for token, token_id in vocab.items() if token_id in (300, 301)]
    vocab[one], vocab[two] = vocab[two], vocab[one]
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    setup = Setup(Drafting.MODEL, Checkpoint(draft.card, other))
    with pytest.raises(UsageError, match="tokenizers differ"):
        loaded(card, folder, setup)


def test_what_drafts_were_worth_is_remembered(
    tmp_path: Path, tiny: Session, prompts: dict[int, Prompt], run: Run
) -> None:
    dear = Costs(1.0, (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5))
    key = tiny.parts.fingerprint
    CostBook(tmp_path).keep_costs(key, dear)
    CostBook(tmp_path).keep_past(key, "lookup", Past(0.1, 60, 0.0))
    for rate in (0.11, 0.12):
        session = tiny.drafted_by(Drafts(Drafting.LOOKUP, None, CostBook(tmp_path)))
        steps = run(prompts[1], max_tokens=12, session=session)
        assert f"{rate - 0.01:.0%} are right" in finished(steps).effort.off
        assert finished(steps).effort.drafted_tokens == 0
        assert CostBook(tmp_path).past(key, "lookup").rate == pytest.approx(rate)


def test_a_draft_model_that_reads_longer_than_it_saves_is_left_out(
    tmp_path: Path, tiny: Session, draft_reader: Reader, prompts: dict[int, Prompt], run: Run
) -> None:
    cheap = Costs(1.0, (1.0,) * 8)
    book, name = CostBook(tmp_path), draft_reader.parts.name
    book.keep_costs(tiny.parts.fingerprint, cheap)
    book.keep_costs(draft_reader.parts.fingerprint, Costs(0.1, (0.1,) * 8))
    book.keep_past(tiny.parts.fingerprint, name, Past(0.9, 60, 1000.0))
    session = tiny.drafted_by(Drafts(Drafting.MODEL, draft_reader, CostBook(tmp_path)))
    steps = run(prompts[1], max_tokens=12, session=session)
    assert finished(steps).effort.off.startswith("it reads the prompt for 1000.00 s")
    assert finished(steps).effort.drafter == name
    assert CostBook(tmp_path).past(tiny.parts.fingerprint, name).read_s == pytest.approx(980)
    assert not worth_loading(
        CostBook(tmp_path), tiny.parts.fingerprint, draft_reader.parts.fingerprint, name
    )
    assert CostBook(tmp_path).past(tiny.parts.fingerprint, name).read_s == pytest.approx(960.4)
    assert worth_loading(CostBook(None), "this model", "that draft", name)
