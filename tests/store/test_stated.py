"""What a checkpoint that no card knows says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qvq_mlx.core.card import ModelCard, ThinkingStyle, VisionLimits
from qvq_mlx.core.errors import BrokenModelError, QvqError, UnsupportedModelError
from qvq_mlx.families import ModelType
from qvq_mlx.store.stated import stated
from tests.conftest import ROOT
from tests.support.spelling import hint_of

SAVED = ROOT / "tests" / "data" / "families"
BARE = ModelCard(name="someone/something", summary="", family="", licence="")

QWEN2_VL_STYLE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWQ_PREVIEW_STYLE = (
    "{%- if tools %}{{- '<|im_start|>system\\n' }}{{- messages[0]['content'] }}{%- else %}"
    "{{- '<|im_start|>system\\nYou should think step-by-step.<|im_end|>\\n' }}{%- endif %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
THINKING_STYLE = (
    "{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}"
    "{{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content }}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}"
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
        (QWEN2_VL_STYLE, "You are a helpful assistant.", ThinkingStyle.NONE),
        (QWQ_PREVIEW_STYLE, "You should think step-by-step.", ThinkingStyle.NONE),
        (THINKING_STYLE, None, ThinkingStyle.PREOPENED),
        ("", "You are a helpful assistant.", ThinkingStyle.NONE),
    ],
)
@pytest.mark.parametrize("name", ["chat_template", "tokenizer_config", "jinja"])
def test_the_template_says_what_it_puts_in(
    tmp_path: Path, template: str, system: str | None, style: ThinkingStyle, name: str
) -> None:
    folder_with(tmp_path, {"model_type": "qwen2_vl"})
    if name == "jinja":
        (tmp_path / "chat_template.jinja").write_text(template)
    else:
        (tmp_path / f"{name}.json").write_text(json.dumps({"chat_template": template}))
    card = stated(BARE, tmp_path)
    assert (card.system, card.thinking.style) == (system, style)
    assert bool(card.thinking.closing) == (style is ThinkingStyle.PREOPENED)


def test_an_architecture_that_is_not_run_is_refused_before_anything_else(tmp_path: Path) -> None:
    folder_with(tmp_path, {"model_type": "llama"})
    with pytest.raises(UnsupportedModelError, match="'llama'; this version runs qwen2_vl"):
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
