"""What an answer is held to: schemas and scripts, with drafts, budgets and rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from qvq_mlx.core.card import ModelCard, Thinking, ThinkingStyle
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import AnswerConstraint, Control, Finished, Generation, Prompt, Step, Token
from qvq_mlx.engine.constraint import AnswerMask, _in_scripts
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.session import Session
from qvq_mlx.engine.vocabulary import Vocabulary
from qvq_mlx.guards.language import ALWAYS, Script, expected_scripts
from qvq_mlx.reply.gate import Gate
from tests.engine.conftest import goldens, ids_of, text_of
from tests.support.spelling import telling

COUNT = {
    "type": "object",
    "properties": {"count": {"type": "integer"}, "sure": {"type": "boolean"}},
    "required": ["count", "sure"],
    "additionalProperties": False,
}
SCHEMAS: list[Any] = [
    COUNT,
    {"enum": ["three", "four", "none of them"]},
    {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 2, "maxItems": 3},
]
GREEDY = Sampling()


@pytest.fixture(scope="module")
def prompt(tiny: Session, card: ModelCard, picture: Callable[[Path], Picture]) -> Prompt:
    golden = goldens()[0]
    return tiny.prompt(golden.question, [picture(golden.image)], card.system)


def run(
    session: Session,
    prompt: Prompt,
    card: ModelCard,
    schema: object,
    *,
    conclude_after: int = -1,
    sampling: Sampling = GREEDY,
    most: int = 200,
) -> list[Step]:
    control = Control()
    constraint = AnswerConstraint(card.thinking, json.dumps(schema)) if schema else None
    generation = Generation(sampling, most, card.thinking.closing, constraint)
    steps: list[Step] = []
    if conclude_after == 0:
        control.conclude()
    for step in session.generate(prompt, generation, control):
        steps.append(step)
        if isinstance(step, Token) and len(ids_of(steps)) == conclude_after:
            control.conclude()
    return steps


def answer_of(steps: list[Step], card: ModelCard) -> Any:
    return json.loads(text_of(steps).rpartition("**Final Answer**")[2])


def finished(steps: list[Step]) -> Finished:
    assert isinstance(steps[-1], Finished)
    return steps[-1]


@pytest.mark.parametrize("after", [-1, 0, 3, 20])
@pytest.mark.parametrize("schema", SCHEMAS, ids=["object", "enum", "array"])
def test_the_answer_satisfies_the_schema_at_any_budget(
    schema: Any, after: int, tiny: Session, prompt: Prompt, card: ModelCard
) -> None:
    steps = run(tiny, prompt, card, schema, conclude_after=after)
    jsonschema.validate(answer_of(steps, card), schema)
    assert finished(steps).schema_met is True


def test_the_thinking_is_free(tiny: Session, prompt: Prompt, card: ModelCard) -> None:
    free, held = run(tiny, prompt, card, None), run(tiny, prompt, card, COUNT)
    marker = "**Final Answer**"
    assert text_of(held).partition(marker)[0] == text_of(free).partition(marker)[0]
    assert finished(free).schema_met is None


@pytest.mark.sampled(4)
@pytest.mark.parametrize("after", [-1, 0, 2, 9])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(0.9, seed=4)], ids=["greedy", "warm"])
def test_drafts_change_nothing(
    after: int, sampling: Sampling, tiny: Session, prompt: Prompt, card: ModelCard
) -> None:
    plain = run(tiny, prompt, card, COUNT, conclude_after=after, sampling=sampling)
    for drafts in (
        Drafts(Drafting.LOOKUP, always=4),
        Drafts(Drafting.MODEL, tiny.reader, always=3),
    ):
        session = tiny.drafted_by(drafts)
        drafted = run(session, prompt, card, COUNT, conclude_after=after, sampling=sampling)
        assert ids_of(drafted) == ids_of(plain)


def test_rows_are_held_one_by_one(tiny: Session, prompt: Prompt, card: ModelCard) -> None:
    constraint = AnswerConstraint(card.thinking, json.dumps(COUNT))
    ways = [
        (Generation(Sampling(0.9, seed=seed), 200, card.thinking.closing, constraint), Control())
        for seed in range(3)
    ]
    texts: list[list[int]] = [[] for _ in ways]
    for step in tiny.generate_rows(prompt, ways):
        if isinstance(step, Token):
            texts[step.row].append(step.id)
    for seed, text in enumerate(texts):
        alone = run(tiny, prompt, card, COUNT, sampling=Sampling(0.9, seed=seed))
        assert text == ids_of(alone)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("rows", [1, 3])
def test_a_turn_that_ends_without_an_answer_is_asked_for_one(
    rows: int, tiny: Session, prompt: Prompt, card: ModelCard
) -> None:
    # a marker that the model never writes: for the gate, its whole reply is thinking
    thinking = Thinking(ThinkingStyle.MARKER, ("**Result**",))
    constraint = AnswerConstraint(thinking, json.dumps(COUNT))

    def ways(seeds: range) -> list[tuple[Generation, Control]]:
        return [
            (Generation(Sampling(0.9, seed=seed), 200, "\n\n**Result**\n\n", constraint), Control())
            for seed in seeds
        ]

    texts: list[list[int]] = [[] for _ in range(rows)]
    ends = []
    for step in tiny.generate_rows(prompt, ways(range(rows))):
        if isinstance(step, Token):
            texts[step.row].append(step.id)
        if isinstance(step, Finished):
            ends.append(step)
    for seed, ids in enumerate(texts):
        text = b"".join(map(tiny.parts.vocabulary.piece, ids)).decode()
        jsonschema.validate(json.loads(text.rpartition("**Result**")[2]), COUNT)
        [alone] = [list(ids_of(list(tiny.generate_rows(prompt, ways(range(seed, seed + 1))))))]
        assert ids == alone
    assert all(end.schema_met and end.concluded for end in ends)


def test_an_answer_that_is_cut_off_does_not_satisfy(
    tiny: Session, prompt: Prompt, card: ModelCard
) -> None:
    whole = run(tiny, prompt, card, COUNT)
    cut = run(tiny, prompt, card, COUNT, most=len(ids_of(whole)) - 2)
    assert finished(cut).schema_met is False


@pytest.mark.parametrize("schema", ['{"type": 3}', '{"$ref": "#/nowhere"}'])
def test_a_schema_that_cannot_be_enforced_is_one_line(
    schema: str, tiny: Session, card: ModelCard
) -> None:
    with pytest.raises(UsageError, check=telling("--schema cannot be enforced")) as caught:
        AnswerMask(
            AnswerConstraint(card.thinking, schema), tiny.parts.vocabulary, tiny.parts.stop_ids
        )
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("piece", "scripts", "kept"),
    [
        (b" the", ALWAYS, True),
        ("答案".encode(), ALWAYS, False),
        ("答案".encode(), ALWAYS | {Script.HAN}, True),
        ("答".encode()[:2], ALWAYS, False),  # the beginning of a Han character
        ("答".encode()[:1], ALWAYS | {Script.HAN}, True),
        ("答".encode()[1:], ALWAYS, True),  # the end of any character
        ("да".encode(), ALWAYS, False),
        ("π × λ".encode(), ALWAYS, True),
        ("😀".encode()[:2], ALWAYS, True),
        ("é".encode(), ALWAYS, True),
        ("한".encode(), ALWAYS | {Script.HAN}, False),
    ],
)
def test_which_tokens_hold_letters_of_a_script(
    piece: bytes, scripts: frozenset[Script], kept: bool
) -> None:
    assert _in_scripts(piece, scripts) is kept


def test_a_banned_script_is_never_drawn(vocabulary: Vocabulary, card: ModelCard) -> None:
    import mlx.core as mx

    from qvq_mlx.engine.sample import Sampler

    held = AnswerMask(
        AnswerConstraint(Thinking(), scripts=frozenset(ALWAYS)), vocabulary, frozenset({1})
    )
    han = [
        token_id
        for token_id, piece in enumerate(vocabulary.pieces)
        if not _in_scripts(piece, ALWAYS)
    ]
    logits = mx.zeros((2, vocabulary.size))
    logits[:, mx.array(han or [5])] = 9.0
    allowed = held.allowed([7, 8], taken=False)
    drawn = Sampler(Sampling(1.0, seed=1), vocabulary.size)(logits, 0, allowed)
    assert not set(drawn.tolist()) & set(han)


def test_the_question_says_which_scripts() -> None:
    assert expected_scripts("How many cats are there?") == ALWAYS
    assert expected_scripts("What does the sign say?") is None
    assert expected_scripts("What does the sign say?", "en") == ALWAYS
    assert Script.HAN in (expected_scripts("图中有几只猫？") or ())
    assert expected_scripts("How many?", "off") is None


@pytest.mark.parametrize(
    ("style", "text", "opens_at"),
    [
        (ThinkingStyle.NONE, "Yes.", 0),
        (ThinkingStyle.MARKER, "So it is.\n\n**Final Answer**\n", 28),
        (ThinkingStyle.MARKER, "The **Final Answer** is near.\n", None),
        (ThinkingStyle.MARKER, "**Final Answer** \\boxed{3}\n", None),
        (ThinkingStyle.TAG, "<think>a</think>", 16),
        (ThinkingStyle.PREOPENED, "a b </think>", 12),
    ],
)
def test_the_gate(style: ThinkingStyle, text: str, opens_at: int | None) -> None:
    for size in (1, 2, 5, len(text)):
        gate = Gate(Thinking(style, ("**Final Answer**",)))
        seen = 0 if gate.is_open else None
        for begin in range(0, len(text), size):
            if gate.feed(text[begin : begin + size]):
                seen = min(begin + size, len(text))
        if opens_at is None or seen is None:
            assert seen == opens_at
        else:
            assert opens_at <= seen < opens_at + size


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": ["是", "否"]},
        {"const": "两个圆"},
        {"type": "object", "properties": {"数": {"const": 2}}, "required": ["数"]},
    ],
)
def test_a_schemas_own_strings_are_always_allowed(
    vocabulary: Vocabulary, schema: dict[str, object]
) -> None:
    """Under `--lang en` a Chinese value used to leave no token at all."""
    mask = AnswerMask(
        AnswerConstraint(
            Thinking(), json.dumps(schema), frozenset(script.value for script in ALWAYS)
        ),
        vocabulary,
        frozenset({vocabulary.special("<|im_end|>")}),
    )
    mask.open()
    wanted = json.dumps(
        schema["enum"][0] if "enum" in schema else schema.get("const", {"数": 2}),
        ensure_ascii=False,
    )
    for token_id in vocabulary.encode(wanted):
        allowed = mask.allowed([token_id], taken=True)
        assert allowed is not None
        assert np.array(allowed)[0, token_id]
        mask.take(token_id, "")
    assert mask.schema_met
