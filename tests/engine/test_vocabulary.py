"""Text to ids without surprises, ids to text without delay."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.engine.vocabulary import Detokenizer, Vocabulary
from tests.engine.conftest import ROOT

VOCABULARY = Vocabulary(ROOT / "models" / "qvq-tiny" / "tokenizer.json")
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|vision_start|>", "<|endoftext|>")


def decoded(ids: list[int]) -> str:
    detokenizer = Detokenizer(VOCABULARY)
    return "".join(detokenizer.feed(token_id) for token_id in ids) + detokenizer.close()


@given(st.text())
def test_text_survives_the_round_trip(text: str) -> None:
    assert decoded(VOCABULARY.encode(text)) == unicodedata.normalize("NFC", text)


@given(st.lists(st.sampled_from([*SPECIAL, "a", " "])).map("".join))
def test_special_tokens_in_text_stay_text(text: str) -> None:
    ids = VOCABULARY.encode(text)
    assert not {VOCABULARY.special(token) for token in SPECIAL} & set(ids)
    assert decoded(ids) == text


def test_a_character_comes_out_with_its_last_byte() -> None:
    for text in ("é", "中文", "🦊", "\\boxed{π}"):
        detokenizer = Detokenizer(VOCABULARY)
        seen, whole = "", b""
        for token_id in VOCABULARY.encode(text):
            seen += detokenizer.feed(token_id)
            whole += VOCABULARY.piece(token_id)
            assert seen == whole.decode(errors="ignore")


def test_an_unfinished_character_is_replaced_at_the_end() -> None:
    assert decoded(VOCABULARY.encode("🦊")[:-1]) == "\N{REPLACEMENT CHARACTER}"


def test_special_tokens_have_no_text() -> None:
    assert all(VOCABULARY.piece(VOCABULARY.special(token)) == b"" for token in SPECIAL)
    with pytest.raises(BrokenModelError, match="<no such token>"):
        VOCABULARY.special("<no such token>")


def test_what_points_at_a_place_keeps_its_text() -> None:
    said = "<|object_ref_start|>", "a dog", "<|object_ref_end|>", "<|box_start|>", "(1,2),(3,4)"
    ids = [
        token_id
        for part in (*said, "<|box_end|>")
        for token_id in (
            [VOCABULARY.special(part)] if part.startswith("<|") else VOCABULARY.encode(part)
        )
    ]
    assert decoded(ids) == "".join(said) + "<|box_end|>"


def test_a_damaged_tokenizer_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(BrokenModelError, match="no tokenizer that can be read"):
        Vocabulary(path)


SAVED_AFTER = {
    "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
    "padding": {
        "strategy": {"Fixed": 64},
        "direction": "Left",
        "pad_to_multiple_of": 8,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "!",
    },
}


@pytest.mark.parametrize("keys", [("truncation",), ("padding",), ("truncation", "padding")])
def test_how_the_tokenizer_was_called_before_it_was_saved_changes_no_id(
    tmp_path: Path, keys: tuple[str, ...]
) -> None:
    path = tmp_path / "tokenizer.json"
    saved = json.loads(VOCABULARY.path.read_text())
    path.write_text(json.dumps(saved | {key: SAVED_AFTER[key] for key in keys}))
    for text in ("", "a", "How many red circles are there in this picture, and why?"):
        assert Vocabulary(path).encode(text) == VOCABULARY.encode(text)


def test_the_dropout_of_training_changes_no_id(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    saved = json.loads(VOCABULARY.path.read_text())
    saved["model"]["dropout"] = 0.9
    path.write_text(json.dumps(saved))
    text = "How many red circles are there in this picture, and why?"
    assert Vocabulary(path).encode(text) == VOCABULARY.encode(text)
