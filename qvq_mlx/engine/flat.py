"""A config.json in the layout that mlx-vlm's own loader reads.

Law: a family whose config is not nested (`Family.nested_config`) becomes flat (text values at the
top, as it was published), the others keep their layout; everywhere `rope_parameters` becomes
`rope_theta` and `rope_scaling`. No value changes, and what was flat already stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from qvq_mlx.families import Family
from qvq_mlx.families.family import Values

_STALE = ("quantization_config", "transformers_version", "dtype", "auto_map")


def flat(config: Mapping[str, object], family: Family, *, tied: bool) -> Values:
    """The same model in the older layout. `tied`: it has no head of its own, whatever it states."""
    values = {name: value for name, value in config.items() if name not in _STALE}
    text = values.get("text_config")
    if isinstance(text, dict):
        text = _without_rope_parameters(
            {name: value for name, value in text.items() if name not in _STALE}
        )
        if not family.nested_config:
            del values["text_config"]
            # the whole model's own values win: model_type, the token ids, tying
            stated = {name: value for name, value in values.items() if value is not None}
            values = {**values, **text, **stated}
        else:
            if "num_local_experts" in text:  # transformers 5's name
                text.setdefault("num_experts", text["num_local_experts"])
            values["text_config"] = text | {"tie_word_embeddings": tied}
    vision = values.get("vision_config")
    if isinstance(vision, dict):
        values["vision_config"] = {
            **{name: value for name, value in vision.items() if name not in _STALE},
            "model_type": str(family.model_type),
        }
    return _without_rope_parameters(values) | {"tie_word_embeddings": tied}


def _without_rope_parameters(values: Values) -> Values:
    rope = values.get("rope_parameters")
    if not isinstance(rope, dict) or "partial_rotary_factor" in rope:
        return values  # models whose heads turn in part have no older layout
    del values["rope_parameters"]
    scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
    if "rope_theta" in rope:
        values.setdefault("rope_theta", rope["rope_theta"])
    if "mrope_section" in scaling:
        # `type` is the name that older readers require
        values["rope_scaling"] = {**scaling, "type": "mrope", "rope_type": "default"}
    elif scaling.get("rope_type", "default") != "default":
        values["rope_scaling"] = {"type": scaling["rope_type"], **scaling}
    return values
