"""Checkpoints of random weights: true layout, the true tokenizer, logits that mean something."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import cast

import mlx.core as mx
import pytest
import regex

from qvq_mlx.core.request import Sampling
from qvq_mlx.core.tokens import Control, Generation, Token
from qvq_mlx.engine import loaded
from qvq_mlx.engine.architecture import read_architecture
from qvq_mlx.engine.session import Session
from qvq_mlx.engine.vocabulary import Vocabulary
from qvq_mlx.families import ModelType
from qvq_mlx.store import local, registry
from qvq_mlx.store.shape import stated_shape
from tools.make_checkpoint import PRESETS, Options, make_checkpoint
from tools.make_checkpoint import tokenizer as qwen
from tools.make_checkpoint.presets import FROM_CARDS, SMALL_CARDS, model_config
from tools.tiny.tokenizer import PRE_TOKENIZER

TEXTS = (
    "How many red circles are there? I'd say we're at 1234567 of them; they'll see.",
    "请看这张图片：一共有多少个红色的圆形？答案是二十三。",
    "**Final Answer**\n\n",
    r"$$ \boxed{\dfrac{-29}{\sqrt{x^2+1}}} $$ and \[ \sum_{i=0}^n a_i \]",
    "def f(x: int) -> str:\n    return f'{x:>08}'  # tabs\t\tand   spaces\r\n\r\n\n  end  ",
    "👩‍👩‍👧‍👦 🇨🇭 naïve café ﬁ Ångström — “quotes” … ½ ㎏ ١٢٣ Ⅷ",
    "",
)


@pytest.fixture(scope="module")
def ranks() -> Path:
    try:
        return qwen.ranks_file()
    except SystemExit as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def vocabulary(ranks: Path) -> Vocabulary:
    return Vocabulary(qwen.tokenizer_file("qwen2_vl", ranks))


def greedy(folder: Path, tokens: int) -> list[int]:
    session = cast("Session", loaded(registry.resolve(str(folder), folder)[0], folder))
    prompt = session.prompt("How many?", [], None)
    steps = session.generate(prompt, Generation(Sampling(), tokens), Control())
    return [step.id for step in steps if isinstance(step, Token)]


@pytest.mark.network
@pytest.mark.parametrize("text", TEXTS)
def test_the_tokenizer_encodes_as_merging_by_rank_does(
    ranks: Path, vocabulary: Vocabulary, text: str
) -> None:
    table = qwen.read_ranks(ranks)
    expected = [
        table[part]
        for word in regex.findall(PRE_TOKENIZER, unicodedata.normalize("NFC", text))
        for part in qwen.split_by_rank(word.encode(), table, len(table))
    ]
    assert vocabulary.encode(text) == expected


@pytest.mark.network
def test_well_known_ids(vocabulary: Vocabulary) -> None:
    assert vocabulary.encode("Hello, world!") == [9707, 11, 1879, 0]
    assert vocabulary.encode("\n") == [198]
    assert vocabulary.encode("**Final Answer**") == [334, 19357, 21806, 334]
    assert vocabulary.encode("2026") == [17, 15, 17, 21]  # digit by digit
    # Qwen2 knows no thinking tokens
    assert len(vocabulary.encode("<think>")) > 1
    specials = {"<|endoftext|>": 151643, "<|im_end|>": 151645, "<|image_pad|>": 151655}
    assert {token: vocabulary.special(token) for token in specials} == specials
    assert vocabulary.size == 151_657


@pytest.mark.network
def test_later_generations_add_tokens_behind(ranks: Path) -> None:
    assert qwen.added_tokens("qwen2_5")["<|file_sep|>"] == (151_664, False)
    assert qwen.added_tokens("qwen3")["</think>"] == (151_668, False)
    assert Vocabulary(qwen.tokenizer_file("qwen3", ranks)).encode("</think>") == [151_668]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    weights = [
        (make_checkpoint("tiny", tmp_path / str(i), Options(seed=seed)) / "model.safetensors")
        for i, seed in enumerate((1, 1, 2))
    ]
    first, again, other = (path.read_bytes() for path in weights)
    assert first == again
    assert first != other


def test_shards_are_indexed_and_hold_what_one_file_holds(tmp_path: Path) -> None:
    whole = make_checkpoint("tiny", tmp_path / "whole", Options(bits=4))
    parts = make_checkpoint("tiny", tmp_path / "parts", Options(bits=4, shard_bytes=100_000))
    local.check(parts, registry.find(str(parts)))
    index = json.loads((parts / "model.safetensors.index.json").read_text())
    expected = cast("dict[str, mx.array]", mx.load(str(whole / "model.safetensors")))
    assert len(set(index["weight_map"].values())) > 3
    assert index["weight_map"].keys() == expected.keys()
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in expected.values())
    for name, file in index["weight_map"].items():
        shard = cast("dict[str, mx.array]", mx.load(str(parts / file)))
        assert mx.array_equal(shard[name], expected[name])
    assert greedy(parts, 5) == greedy(whole, 5)


def test_a_vision_tower_of_other_bits_loads(tmp_path: Path) -> None:
    mixed = Options(bits=4, vision_bits=8, dtype="bfloat16")
    folder = make_checkpoint("tiny", tmp_path / "mixed", mixed)
    weights = cast("dict[str, mx.array]", mx.load(str(folder / "model.safetensors")))
    assert weights["vision_tower.blocks.0.attn.qkv.weight"].shape[-1] == 64 * 8 // 32
    assert weights["language_model.lm_head.weight"].shape[-1] == 128 * 4 // 32
    assert len(greedy(folder, 5)) == 5


def test_greedy_text_runs_in_cycles_on_request(tmp_path: Path) -> None:
    drawn = greedy(make_checkpoint("tiny", tmp_path / "cycle", Options(cycle=8)), 40)
    assert len(set(drawn)) == 8
    assert drawn[8:] == drawn[:-8]


@pytest.mark.parametrize(
    ("preset", "name"), [*((name, name) for name in FROM_CARDS), ("2b", "qwen2-vl-2b")]
)
def test_a_preset_of_a_card_has_the_shape_of_the_card(
    tmp_path: Path, preset: str, name: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(model_config(PRESETS[preset])))
    stated, meant = stated_shape(tmp_path), registry.find(name).shape
    assert stated is not None
    assert meant is not None
    assert meant.vision is not None or stated.vision is None
    eyes = stated.vision and replace(stated.vision, parameters=0)
    assert eyes == (meant.vision and replace(meant.vision, parameters=0))
    own = {"parameters": 0, "context_tokens": 0, "vision": None}
    if meant.experts is not None:  # no layer is dense
        own["intermediate"] = 0
    assert replace(stated, **own) == replace(meant, **own)
    assert read_architecture(tmp_path).family.model_type == registry.find(name).family


def test_a_layer_of_qvq_is_as_wide_as_qvq(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(model_config(PRESETS["qvq-1layer"])))
    stated, meant = stated_shape(tmp_path), registry.find("qvq").shape
    assert stated is not None
    assert meant is not None
    assert meant.vision is not None
    eyes = replace(meant.vision, depth=2)
    one = replace(meant, layers=1, vision=eyes, parameters=0, context_tokens=0)
    assert replace(stated, context_tokens=0) == one


def test_every_family_has_a_preset() -> None:
    assert {preset.config["model_type"] for preset in PRESETS.values()} == set(ModelType)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL_CARDS)
def test_a_layer_of_each_kind_of_a_small_card_answers(tmp_path: Path, name: str) -> None:
    layers = 2 if "linear_num_key_heads" in PRESETS[name].text else 1
    options = Options(layers=layers, vision_layers=1, rows=1088)
    assert len(greedy(make_checkpoint(name, tmp_path / name, options), 3)) == 3


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("name", ["mid", "mid-draft"])
def test_the_middle_sizes_answer(tmp_path: Path, ranks: Path, name: str) -> None:
    folder = make_checkpoint(name, tmp_path / name, Options(bits=4, ranks=ranks))
    drawn = greedy(folder, 5)
    assert len(drawn) == 5
    assert max(drawn) < 151_657 < PRESETS[name].rows


@pytest.mark.long
@pytest.mark.slow
def test_one_layer_of_qvq_answers(tmp_path: Path, ranks: Path) -> None:
    folder = make_checkpoint("qvq-1layer", tmp_path / "qvq", Options(vision_bits=4, ranks=ranks))
    assert len(greedy(folder, 3)) == 3
