"""Thinking as a choice: `--think on|off`, a budget of 0, and what the template does by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qvq_mlx.core.card import Thinking, ThinkingStyle
from qvq_mlx.core.errors import ExitCode, UsageError
from qvq_mlx.core.request import Budget, Limits, Request, Sampling, Think
from qvq_mlx.run.plan import _thinks
from qvq_mlx.run.vote import TEMPERATURE
from qvq_mlx.store import registry
from tests.conftest import EXAMPLES, ROOT, ScriptedEngine, World

Build = Callable[..., World]
SILENT = "<think>\n\n</think>\n\n"
SWITCH = Thinking(ThinkingStyle.PREOPENED, closing="\n</think>\n\n", unasked=SILENT)
CARD = replace(registry.find("tiny"), thinking=SWITCH)
TOML = (ROOT / "models" / "qvq-tiny.toml").read_text(encoding="utf-8")
IMAGE = str(next(EXAMPLES.glob("*.png")))


@pytest.mark.parametrize(
    ("limits", "by_default", "thinks"),
    [
        (Limits(), True, True),
        (Limits(), False, False),
        (Limits(think=Think.OFF), True, False),
        (Limits(think=Think.ON), False, True),
        (Limits(Budget(0)), True, False),
        (Limits(Budget(64)), False, True),
        (Limits(Budget(None)), False, True),
        (Limits(Budget(0), think=Think.OFF), True, False),
        (Limits(Budget(9), think=Think.ON), False, True),
    ],
)
def test_a_model_with_the_choice(limits: Limits, by_default: bool, thinks: bool) -> None:
    card = replace(CARD, thinking=replace(SWITCH, on_request=not by_default))
    assert _thinks(Request("?", (), "", limits=limits), card) is thinks


@pytest.mark.parametrize(
    ("thinking", "limits", "says"),
    [
        (SWITCH, Limits(Budget(9), think=Think.OFF), "exclude each other"),
        (SWITCH, Limits(Budget(None), think=Think.OFF), "exclude each other"),
        (SWITCH, Limits(Budget(0), think=Think.ON), "exclude each other"),
        (replace(SWITCH, unasked=""), Limits(think=Think.OFF), "it always thinks"),
        (Thinking(), Limits(think=Think.ON), "does not think"),
    ],
)
def test_what_cannot_be_is_refused(thinking: Thinking, limits: Limits, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        _thinks(Request("?", (), "", limits=limits), replace(CARD, thinking=thinking))


def test_models_without_the_choice_keep_what_they_do() -> None:
    always, never = (
        replace(CARD, thinking=replace(SWITCH, unasked="")),
        replace(CARD, thinking=Thinking()),
    )
    for card in (always, never):
        for budget in (None, Budget(0), Budget(5)):
            assert _thinks(Request("?", (), "", limits=Limits(budget)), card)
    assert _thinks(Request("?", (), "", limits=Limits(think=Think.OFF)), never)
    assert _thinks(Request("?", (), "", limits=Limits(think=Think.ON)), always)


@pytest.fixture
def switching(tmp_path: Path) -> str:
    """A card of the user's for the embedded model, with the choice."""
    folder = tmp_path / "qvq" / "models"
    folder.mkdir(parents=True)
    text = TOML.replace('"qvq-tiny"', '"switching"', 1).replace("aliases", "# aliases")
    before, _, after = text.partition("[thinking]")
    thinking = (
        '[thinking]\nstyle = "preopened"\nclosing = "\\n</think>\\n\\n"\n'
        'unasked = "<think>\\n\\n</think>\\n\\n"\n\n'
    )
    (folder / "switching.toml").write_text(
        before + thinking + "[vision]" + after.partition("[vision]")[2]
    )
    return "switching"


def test_the_answer_begins_at_once_where_it_is_off(world: Build, switching: str) -> None:
    for options, thinks in (((), True), (("--think", "off"), False), (("--budget", "0"), False)):
        engine = ScriptedEngine(["It is ", "three."] if not thinks else ["Hm.</think>", "three."])
        w = world(engine=engine)
        assert w.run("ask", IMAGE, "How many?", "-m", switching, "--json", *options) == ExitCode.OK
        result = json.loads(w.out)
        assert result["thinking"] == ("Hm." if thinks else "")
        assert result["answer"] == ("three." if thinks else "It is three.")
        assert engine.thinks == [thinks]
        [saved] = (w.env.home / "qvq" / "history").glob("*.jsonl")
        record = json.loads(saved.read_text().splitlines()[0])
        assert record["thinks"] is thinks
        assert record["given"]["think"] == ("off" if "off" in options else None)
        assert w.run("erase", "-y") == ExitCode.OK


DIRECT = "[direct_sampling]\ntemperature = 0.7\ntop_p = 0.8\ntop_k = 20\npresence_penalty = 1.5\n\n"
THINKING = "[sampling]\ntemperature = 1.0\ntop_p = 0.95\n\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), Sampling(1.0, 0.95)),
        (("--think", "off"), Sampling(0.7, 0.8, 20, presence_penalty=1.5)),
        (("--budget", "0"), Sampling(0.7, 0.8, 20, presence_penalty=1.5)),
        (("--think", "on"), Sampling(1.0, 0.95)),
        # what the user says holds, and the rest is the card's
        (("--think", "off", "--temp", "0.2"), Sampling(0.2, 0.8, 20, presence_penalty=1.5)),
        (("--think", "off", "--penalty", "presence=0"), Sampling(0.7, 0.8, 20)),
    ],
)
def test_a_card_may_sample_otherwise_without_thinking(
    world: Build, switching: str, options: tuple[str, ...], expected: Sampling
) -> None:
    path = world([]).env.home / "qvq" / "models" / "switching.toml"
    path.write_text(path.read_text().replace("[vision]", THINKING + DIRECT + "[vision]", 1))
    engine = ScriptedEngine(["Hm.</think>", "three."])
    w = world(engine=engine)
    assert w.run("ask", IMAGE, "?", "-m", switching, "--json", *options) == ExitCode.OK
    assert engine.generations[0].sampling == expected
    assert json.loads(w.out)["sampling"]["temperature"] == expected.temperature


def test_a_vote_without_thinking_has_that_sampling_too(world: Build, switching: str) -> None:
    path = world([]).env.home / "qvq" / "models" / "switching.toml"
    path.write_text(path.read_text().replace("[vision]", DIRECT + "[vision]", 1))
    for think, expected in (("off", (0.7, 0.8)), ("on", (TEMPERATURE, 1.0))):
        w = world(engine=ScriptedEngine(["Hm.</think>" if think == "on" else "", "three."]))
        words = ("ask", IMAGE, "?", "-m", switching, "--think", think, "--vote", "3", "--json")
        assert w.run(*words) == ExitCode.OK, w.err
        sampling = json.loads(w.out)["sampling"]
        assert (sampling["temperature"], sampling["top_p"]) == expected
        assert ("3 samples are drawn at temperature" in w.out) is (think == "on")


def test_a_saved_run_is_asked_again_without_thinking(world: Build, switching: str) -> None:
    engine = ScriptedEngine(["three."])
    w = world(engine=engine)
    assert w.run("ask", IMAGE, "How many?", "-m", switching, "--think", "off") == ExitCode.OK
    [saved] = (w.env.home / "qvq" / "history").glob("*.jsonl")
    assert w.run("log", "rerun", saved.stem, "--json") == ExitCode.OK
    assert engine.thinks == [False, False]


def test_the_embedded_model_has_no_choice(world: Build) -> None:
    w = world(["three."])
    assert w.run("ask", IMAGE, "How many?", "-m", "tiny", "--think", "off") == ExitCode.USAGE
    assert "--think off: qvq-tiny cannot be asked so, it always thinks" in w.err
    assert "--budget 0" in w.err


def test_the_prompt_ends_as_the_template_has_it() -> None:
    """The real engine: the block of the template's is part of the prompt."""
    from qvq_mlx.engine import loaded

    folder = ROOT / "models" / "qvq-tiny"
    session = loaded(CARD, folder)
    vocabulary = session.parts.vocabulary
    head = "assistant\n"
    for thinks, opened in ((True, "<think>\n"), (False, SILENT)):
        ids = session.prompt("How many?", [], None, thinks=thinks).ids
        expected = vocabulary.encode(f"{head}{opened}")
        assert list(ids[-len(expected) :]) == expected


def test_penalties_are_options_too(world: Build) -> None:
    engine = ScriptedEngine(["three."])
    w = world(engine=engine)
    given = ("--penalty", "repetition=1.1, presence=-0.5")
    assert w.run("ask", IMAGE, "How many?", "-m", "tiny", *given) == ExitCode.OK
    sampling = engine.generations[0].sampling
    assert (sampling.repetition_penalty, sampling.presence_penalty) == (1.1, -0.5)
    for wrong in ("repetition=0", "1.1", "presence=much", "repetition=nan", "frequency=1"):
        refused = world([])
        assert refused.run("ask", IMAGE, "?", "-m", "tiny", "--penalty", wrong) == ExitCode.USAGE
        assert "--penalty is" in refused.err


def test_a_configured_budget_gives_way_to_what_is_typed(world: Build, switching: str) -> None:
    for budget, think in (("low", "off"), ("0", "on")):
        engine = ScriptedEngine(["Hm.</think>" if think == "on" else "", "three."])
        w = world(engine=engine, environ={"QVQ_BUDGET": budget})
        words = ("ask", IMAGE, "How many?", "-m", switching, "--think", think)
        assert w.run(*words, "--jsonl") == ExitCode.OK, w.err
        said = [line for line in map(json.loads, w.out.splitlines()) if line["type"] == "notice"]
        why = f"the budget of your settings is left out here: --think is {think}"
        assert why in [notice["text"] for notice in said]
        assert engine.thinks == [think == "on"]
        assert w.run(*words, "--budget", budget) == ExitCode.USAGE
