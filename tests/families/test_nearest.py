"""The nearest model that runs, for architectures that do not."""

from __future__ import annotations

import pytest

from qvq_mlx.core.errors import UnsupportedModelError
from qvq_mlx.core.remedies import PullModel
from qvq_mlx.families import ModelType, check_runs
from qvq_mlx.store import registry

SMALL = {"hidden_size": 2048, "num_hidden_layers": 24}  # 1.2 billion parameters
MIDDLE = {"hidden_size": 4096, "num_hidden_layers": 36}  # 7.2
LARGE = {"hidden_size": 8192, "num_hidden_layers": 80}  # 64


@pytest.mark.parametrize(
    ("config", "nearest"),
    [
        ({"model_type": "glm4v_moe"}, "qwen3-vl-30b-thinking"),
        ({"architectures": ["Glm4vMoeForConditionalGeneration"]}, "qwen3-vl-30b-thinking"),
        ({"architectures": ["Glm4vForConditionalGeneration"]}, "qwen3-vl-8b-thinking"),
        ({"architectures": ["Gemma3nForConditionalGeneration"]}, "qwen2.5-vl-3b"),
        ({"architectures": ["KimiVLForConditionalGeneration"]}, "qwen3-vl-30b-thinking"),
        ({"architectures": ["InternVLChatModel"]}, "qwen2.5-vl-7b"),
        # the model_type decides
        ({"model_type": "kimi_vl", "architectures": ["Gemma3"]}, "qwen3-vl-30b-thinking"),
        # of no known one: by size, flat or nested, and by its experts
        ({"model_type": "smolvlm", "text_config": SMALL}, "qwen3.5-4b"),
        ({"model_type": "llama", **SMALL}, "qwen3.5-4b"),
        ({"model_type": "mllama", "text_config": MIDDLE}, "qwen3.5-9b"),
        ({"model_type": "llava", "text_config": LARGE}, "qwen3.6-27b"),
        ({"model_type": "llama4", "text_config": {"num_local_experts": 16}}, "qwen3.6-35b"),
        ({"model_type": "deepseek_v3", "n_routed_experts": 256, **LARGE}, "qwen3.6-35b"),
        ({"model_type": "mystery"}, "qwen3.5-9b"),
        ({"architectures": ["MysteryForCausalLM", "Other"]}, "qwen3.5-9b"),
        # whatever stands there
        ({"model_type": 7, "hidden_size": "wide", "num_hidden_layers": -3}, "qwen3.5-9b"),
        ({"model_type": "x", "text_config": [SMALL], "num_experts": [2]}, "qwen3.5-9b"),
        ({"model_type": ["llama"], "hidden_size": 10**400, "num_hidden_layers": 1}, "qwen3.5-9b"),
    ],
)
def test_an_architecture_that_is_not_run_is_refused_with_the_nearest(
    config: dict[str, object], nearest: str
) -> None:
    with pytest.raises(UnsupportedModelError) as refused:
        check_runs(config, "org/model")
    assert refused.value.message.startswith("org/model is of the architecture ")
    assert refused.value.message.endswith(f"; the nearest that it runs is {nearest}")
    assert "\n" not in refused.value.message
    assert refused.value.remedy == PullModel(nearest)
    assert registry.find(nearest).family in list(ModelType)


@pytest.mark.parametrize(
    "config",
    [
        *({"model_type": str(known), "architectures": ["Anything"]} for known in ModelType),
        {},
        {"architectures": []},
        {"architectures": None},
        {"architectures": {"a": 1}},
    ],
)
def test_what_is_run_and_what_states_nothing_passes(config: dict[str, object]) -> None:
    check_runs(config, "org/model")
