"""What a checkpoint that no card knows says of itself."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from qvq_mlx.core.card import ModelCard, ThinkingStyle, VisionLimits
from qvq_mlx.core.errors import BrokenModelError, QvqError, UnsupportedModelError
from qvq_mlx.core.remedies import PullModel
from qvq_mlx.core.request import Sampling
from qvq_mlx.families import ModelType, family_of
from qvq_mlx.store import registry
from qvq_mlx.store.stated import stated
from tests.conftest import ROOT
from tests.support.spelling import hint_of

SAVED = ROOT / "tests" / "data" / "families"
BARE = ModelCard(name="someone/something", summary="", family="", licence="")

QWEN2_VL_STYLE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nSYSTEM<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
    "{% for content in message['content'] %}{% if content['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in content %}"
    "{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITH_DEFAULT = QWEN2_VL_STYLE.replace("SYSTEM", "You are a helpful assistant.")
NO_SYSTEM = QWEN2_VL_STYLE.replace("<|im_start|>system\nSYSTEM<|im_end|>\n", "")
OPENS = NO_SYSTEM.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
IN_PIECES = NO_SYSTEM.replace(
    "assistant\n{% endif %}", "assistant\n{{ '<thi' }}{{ 'nk>' }}{{ '\\n' }}{% endif %}"
)
ANOTHER_TAG = OPENS.replace("<think>", "<reasoning>")
STRIPS = NO_SYSTEM.replace(
    "{{ message['content'] }}", "{{ (message['content'] | string).split('</think>')[-1] }}"
)
R1_SYSTEM = WITH_DEFAULT.replace(
    "You are a helpful assistant.",
    "Reason within <think> </think> tags, then answer within <answer> </answer> tags.",
)


def folder_with(folder: Path, config: object, **files: object) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("family", "sees", "factor_px", "min_pixels", "max_pixels"),
    [
        (ModelType.QWEN2_VL, True, 28, 3136, 1280 * 28 * 28),
        (ModelType.QWEN2_5_VL, True, 28, 3136, 1280 * 28 * 28),
        (ModelType.QWEN2, False, 28, 3136, 1280 * 28 * 28),
        (ModelType.QWEN3_VL, True, 32, 65536, 1280 * 32 * 32),
        (ModelType.QWEN3_VL_MOE, True, 32, 65536, 1280 * 32 * 32),
        (ModelType.QWEN3_5, True, 32, 65536, 1280 * 32 * 32),
        (ModelType.QWEN3_5_MOE, True, 32, 65536, 1280 * 32 * 32),
    ],
)
@pytest.mark.parametrize("processor", [True, False])
def test_a_folder_that_transformers_saved(
    tmp_path: Path,
    family: ModelType,
    sees: bool,
    factor_px: int,
    min_pixels: int,
    max_pixels: int,
    processor: bool,
) -> None:
    folder_with(tmp_path, json.loads((SAVED / family / "config.json").read_text()))
    saved = SAVED / family / "preprocessor_config.json"
    if processor and saved.exists():
        (tmp_path / saved.name).write_bytes(saved.read_bytes())
    card = stated(BARE, tmp_path)
    assert (card.family, card.sees) == (family, sees)
    assert card.vision == VisionLimits(factor_px, min_pixels, max_pixels, video=sees)


@pytest.mark.parametrize(
    ("template", "system", "style"),
    [
        (WITH_DEFAULT, "You are a helpful assistant.", ThinkingStyle.NONE),
        (NO_SYSTEM, None, ThinkingStyle.NONE),
        (OPENS, None, ThinkingStyle.PREOPENED),
        (IN_PIECES, None, ThinkingStyle.PREOPENED),
        (STRIPS, None, ThinkingStyle.TAG),
        ("", "You are a helpful assistant.", ThinkingStyle.NONE),
    ],
    ids=["default", "none", "opens", "in-pieces", "strips", "absent"],
)
@pytest.mark.parametrize("name", ["chat_template", "tokenizer_config", "named", "jinja"])
def test_the_template_says_what_it_puts_in(
    tmp_path: Path, template: str, system: str | None, style: ThinkingStyle, name: str
) -> None:
    card = stated(BARE, templated(tmp_path, template, name))
    assert (card.system, card.thinking.style) == (system, style)
    assert bool(card.thinking.closing) == (style is not ThinkingStyle.NONE)
    assert not card.remarks


def templated(folder: Path, template: str, name: str = "jinja") -> Path:
    folder.mkdir(exist_ok=True)
    folder_with(folder, {"model_type": "qwen2_vl"})
    if name == "jinja":
        (folder / "chat_template.jinja").write_text(template)
    elif name == "named":
        named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": template}]
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    else:
        (folder / f"{name}.json").write_text(json.dumps({"chat_template": template}))
    return folder


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("You're the user's eyes.", "You're the user's eyes."),
        ('Say "yes" or "no".', 'Say "yes" or "no".'),
        ("Two\nlines.", "Two\nlines."),
        ("{{ 'Two\\nlines.' }}", "Two\nlines."),
        ("{% set who = 'a pirate' %}You are {{ who }}.", "You are a pirate."),
        ("<b>{ok}</b> < > \\ ", "<b>{ok}</b> < > \\ "),
        ("Du bist 一个 помощник.", "Du bist 一个 помощник."),
    ],
)
def test_a_default_system_message_of_any_spelling(tmp_path: Path, written: str, read: str) -> None:
    card = stated(BARE, templated(tmp_path, QWEN2_VL_STYLE.replace("SYSTEM", written)))
    assert card.system == read
    assert not card.remarks


def test_a_template_may_open_another_tag(tmp_path: Path) -> None:
    thinking = stated(BARE, templated(tmp_path, ANOTHER_TAG)).thinking
    assert (thinking.style, thinking.close_tag) == (ThinkingStyle.PREOPENED, "</reasoning>")
    assert thinking.closing == "\n</reasoning>\n\n"


def test_a_system_message_that_asks_for_tags_states_them(tmp_path: Path) -> None:
    thinking = stated(BARE, templated(tmp_path, R1_SYSTEM)).thinking
    assert thinking.style is ThinkingStyle.TAG
    assert thinking.answer_tags == ("<answer>", "</answer>")


@pytest.mark.parametrize(
    ("template", "what"),
    [
        (WITH_DEFAULT.replace("<|im_end|>", "<|eot|>"), "it writes"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "it writes"),
        (
            NO_SYSTEM.replace("assistant\n{%", "assistant\nSure! {%"),
            "begins each reply with 'Sure! '",
        ),
        ("{% for %}", "cannot be rendered"),
        ("{{ raise_exception('only for tools') }}", "cannot be rendered: only for tools"),
        ("{{ messages.__class__.__mro__ }}", "cannot be rendered"),
        ("{{ cycler.__init__.__globals__.os.system('touch /tmp/no') }}", "cannot be rendered"),
        (
            "{% if messages | length > 1 %}{{ raise_exception('one round') }}{% endif %}"
            + NO_SYSTEM,
            "no second round behind a system message: one round",
        ),
    ],
)
def test_where_a_template_differs_from_the_prompt_it_is_said(
    tmp_path: Path, template: str, what: str
) -> None:
    card = stated(BARE, templated(tmp_path, template))
    [remark] = card.remarks
    assert what in remark
    assert "\n" not in remark


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        (
            "{% set n = namespace(s='ab') %}"
            "{% for a in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}"
        ),
        "{{ 'a' * 10**10 }}",
        "{{ '%9999999999d' % 1 }}",
        "{% for a in range(99999) %}{{ 'abcdefghij' }}{% endfor %}",
        "x" * 600_000,
    ],
    ids=["loops", "doubling", "repeats", "width", "writes", "long"],
)
def test_a_template_is_bounded_in_time_and_size(tmp_path: Path, template: str) -> None:
    card = stated(BARE, templated(tmp_path, template, "tokenizer_config"))
    [remark] = card.remarks
    assert "cannot be rendered" in remark
    assert len(remark) < 300
    assert card.system == "You are a helpful assistant."  # the family's


def test_what_the_checkpoint_states_comes_before_its_name(tmp_path: Path) -> None:
    pirate = QWEN2_VL_STYLE.replace("SYSTEM", "You are a pirate.")
    cases = {
        "QVQ-72B-Preview-pirate-4bit": (pirate, "You are a pirate.", ThinkingStyle.MARKER, 1),
        "QVQ-72B-Preview-r1": (OPENS, None, ThinkingStyle.PREOPENED, 0),
        "qwen2-vl-7b-r1-think": (OPENS, None, ThinkingStyle.PREOPENED, 0),
        "qwen2-vl-7b-tuned": (pirate, "You are a pirate.", ThinkingStyle.NONE, 0),
    }
    for name, (template, system, style, remarks) in cases.items():
        folder = templated(tmp_path / name, template)
        card = stated(registry.find(str(folder)), folder)
        assert (card.system, card.thinking.style) == (system, style), name
        assert len(card.remarks) == remarks, name


@pytest.mark.parametrize(
    "name",
    [
        "mlx-community_QVQ-72B-Preview-4bit",
        "Huihui-QVQ-72B-Preview-abliterated",
        "QVQ-72B-Preview-5bit",
        "my.qvq",
    ],
)
def test_a_name_is_the_last_resort_and_is_said(tmp_path: Path, name: str) -> None:
    folder = templated(tmp_path / name, WITH_DEFAULT)
    card = stated(registry.find(str(folder)), folder)
    assert card.thinking == registry.find("qvq").thinking
    assert card.system == "You are a helpful assistant."
    assert [remark for remark in card.remarks if "taken from its name" in remark and name in remark]


@pytest.mark.parametrize("name", ["seqvqx", "reqwq-32b", "something"])
def test_a_name_within_a_word_suggests_nothing(tmp_path: Path, name: str) -> None:
    folder = templated(tmp_path / name, WITH_DEFAULT)
    card = stated(registry.find(str(folder)), folder)
    assert card.thinking.style is ThinkingStyle.NONE
    assert not card.remarks


def test_an_architecture_that_is_not_run_is_refused_before_anything_else(tmp_path: Path) -> None:
    folder_with(tmp_path, {"model_type": "llama"})
    with pytest.raises(UnsupportedModelError, match="'llama', which this version does not run"):
        stated(BARE, tmp_path)


@pytest.mark.parametrize(
    "processor",
    [
        {"patch_size": "14"},
        {"patch_size": 0},
        {"merge_size": [2]},
        {"size": 5},
        {"size": {"shortest_edge": "small"}},
        {"max_pixels": -1},
        {"min_pixels": True},
    ],
)
def test_a_processor_file_with_a_wrong_type_is_one_clear_error(
    tmp_path: Path, processor: object
) -> None:
    folder_with(tmp_path, {"model_type": "qwen2_vl"}, preprocessor_config=processor)
    with pytest.raises(BrokenModelError) as caught:
        stated(BARE, tmp_path)
    assert "\n" not in caught.value.message
    assert str(tmp_path / "preprocessor_config.json") in hint_of(caught.value)


@pytest.mark.parametrize("model_type", [None, 3, ["qwen2_vl"], {"a": 1}, "QWEN2_VL"])
def test_a_model_type_of_any_kind_is_refused(tmp_path: Path, model_type: object) -> None:
    with pytest.raises(QvqError):
        stated(BARE, folder_with(tmp_path, {"model_type": model_type}))


@pytest.mark.parametrize(
    ("model_type", "nearest"),
    [
        ("glm4v", "qwen3-vl-8b-thinking"),
        ("glm4v_text", "qwen3-vl-8b-thinking"),
        ("glm4v_moe", "qwen3-vl-30b-thinking"),
        ("gemma3", "qwen2.5-vl-7b"),
        ("kimi_vl", "qwen3-vl-30b-thinking"),
        ("internvl_chat", "qwen2.5-vl-7b"),
    ],
)
def test_a_family_that_is_not_run_is_refused_with_the_nearest_one(
    tmp_path: Path, model_type: str, nearest: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(
        UnsupportedModelError, match=f"nearest that it runs is {nearest}"
    ) as refused:
        family_of({"model_type": model_type}, tmp_path)
    assert refused.value.remedy == PullModel(nearest)
    assert registry.find(nearest).family in list(ModelType)


def test_penalties_are_those_of_the_generation_config(tmp_path: Path) -> None:
    """Greedy or not, a penalty that the checkpoint states counts; Qwen2.5-VL states 1.05."""
    folder = shutil.copytree(ROOT / "tests" / "data" / "families" / ModelType.QWEN2, tmp_path / "m")
    config = {"repetition_penalty": 1.05, "presence_penalty": 1.5, "min_p": 0.05}
    (folder / "generation_config.json").write_text(json.dumps(config))
    card = ModelCard("m", "", "", "", folder=str(folder))
    sampling = stated(card, folder).sampling
    assert (sampling.repetition_penalty, sampling.presence_penalty) == (1.05, 1.5)
    assert sampling.min_p == 0.05
    assert registry.find("qwen2.5-vl-7b").sampling.repetition_penalty == 1.05
    (folder / "generation_config.json").write_text('{"repetition_penalty": 0}')
    with pytest.raises(BrokenModelError, match="repetition_penalty is '0', not a number above 0"):
        stated(card, folder)
    (folder / "generation_config.json").write_text('{"min_p": 2}')
    with pytest.raises(BrokenModelError, match="min_p 2"):
        stated(card, folder)


def test_the_generation_config_goes_before_what_a_name_lends_for_no_thinking(
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(
        ROOT / "tests" / "data" / "families" / ModelType.QWEN2, tmp_path / "qwen3.6-35b-of-mine"
    )
    card = registry.find(str(folder))
    assert card.named_after == "qwen3.6-35b"
    lent = Sampling(0.7, 0.8, 20, presence_penalty=1.5)
    assert stated(card, folder).direct_sampling == lent
    (folder / "generation_config.json").write_text('{"presence_penalty": 0.5, "min_p": 0.1}')
    found = stated(card, folder)
    assert found.direct_sampling == replace(lent, presence_penalty=0.5, min_p=0.1)
    assert found.sampling.presence_penalty == 0.5
    bare = ModelCard("m", "", "", "", folder=str(folder))
    assert stated(bare, folder).direct_sampling is None


@pytest.mark.parametrize("name", ["qwen3.5-4b", "qwen3.5-9b", "qwen3.5-122b", "qwen3.6-27b"])
def test_the_cards_that_have_the_choice_sample_otherwise_without_thinking(name: str) -> None:
    card = registry.find(name)
    assert card.sampling_for(thinks=False) == Sampling(0.7, 0.8, 20, presence_penalty=1.5)
    assert card.sampling_for(thinks=True).temperature == 1
    # of the dense 27B the makers publish no penalty
    assert card.sampling.presence_penalty == (0 if name == "qwen3.6-27b" else 1.5)


SWITCHES = OPENS.replace(
    "assistant\n<think>\n",
    "assistant\n{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\\n\\n</think>\\n\\n' }}{% else %}{{ '<think>\\n' }}{% endif %}",
)
SILENT = SWITCHES.replace(
    "enable_thinking is defined and enable_thinking is false",
    "not (enable_thinking is defined and enable_thinking is true)",
)
MODEL_OPENS = SWITCHES.replace("{% else %}{{ '<think>\\n' }}", "{% else %}")


@pytest.mark.parametrize(
    ("template", "style", "on_request"),
    [
        (SWITCHES, ThinkingStyle.PREOPENED, False),
        (SILENT, ThinkingStyle.PREOPENED, True),
        (MODEL_OPENS, ThinkingStyle.TAG, False),
    ],
    ids=["thinks-by-default", "silent-by-default", "the-model-opens"],
)
def test_a_template_with_a_switch_says_what_both_sides_write(
    tmp_path: Path, template: str, style: ThinkingStyle, on_request: bool
) -> None:
    """As in Qwen3.5 from 4B on, in its smaller ones, and in Qwen3."""
    card = stated(BARE, templated(tmp_path, template))
    assert card.thinking.style is style
    assert (card.thinking.unasked, card.thinking.on_request) == (
        "<think>\n\n</think>\n\n",
        on_request,
    )
    assert not card.remarks


def test_a_template_without_the_switch_has_no_choice(tmp_path: Path) -> None:
    assert not stated(BARE, templated(tmp_path, OPENS)).thinking.unasked
