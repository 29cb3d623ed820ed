"""The card of the nearest model that runs, for an architecture that does not.

An architecture that is known is near by what it does: thinks or answers at once, sparse or dense,
how large. Of any other the config tells the size, and the nearest is of the line that does both.
"""

from __future__ import annotations

from collections.abc import Mapping

_KNOWN = (  # by how the name begins, the longer beginning first
    ("glm4vmoe", "qwen3-vl-30b-thinking"),
    ("glm4v", "qwen3-vl-8b-thinking"),
    ("glmocr", "qwen2.5-vl-3b"),
    ("glm", "qwen3-vl-30b-thinking"),
    ("gemma3n", "qwen2.5-vl-3b"),
    ("gemma", "qwen2.5-vl-7b"),
    ("paligemma", "qwen2.5-vl-3b"),
    ("kimi", "qwen3-vl-30b-thinking"),
    ("internvl", "qwen2.5-vl-7b"),
)
_SPARSE = "qwen3.6-35b"
_DENSE = ((6e9, "qwen3.5-4b"), (16e9, "qwen3.5-9b"))
_LARGE = "qwen3.6-27b"
_OF_ANY_SIZE = "qwen3.5-9b"
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


def nearest_to(architecture: str, config: Mapping[str, object]) -> str:
    """The name of the nearest card. `architecture`: a `model_type`, or the name of a class."""
    name = architecture.casefold().replace("_", "").replace("-", "")
    for beginning, nearest in _KNOWN:
        if name.startswith(beginning):
            return nearest
    text = config.get("text_config")
    text = {**config, **text} if isinstance(text, dict) else config
    if any(_whole(text.get(key)) > 1 for key in _EXPERTS):
        return _SPARSE
    # a layer has 4 h^2 of attention and 8 h^2 of MLP, give or take
    parameters = 12 * _whole(text.get("num_hidden_layers")) * _whole(text.get("hidden_size")) ** 2
    if not parameters:
        return _OF_ANY_SIZE
    return next((nearest for most, nearest in _DENSE if parameters <= most), _LARGE)


def _whole(value: object) -> int:
    """A count; 0 where it is none."""
    return value if type(value) is int and 0 < value < 2**31 else 0
