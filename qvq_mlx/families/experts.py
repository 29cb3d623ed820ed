"""Sparse experts, as far as several families share them: config values, weights, routers.

Law: the experts of a layer are three stacks (experts, rows, columns) in mlx-vlm's model, under
`mlp.switch_mlp`. Every way in which they are stored means the same: one by one
(`experts.7.up_proj.weight`), three stacks, or two with gate and up in one; with rows before columns
as MLX and torch compute, or the other way round as the published files of Qwen3-VL have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from qvq_mlx.families.family import Placement, Values
from qvq_mlx.families.fields import Fields
from qvq_mlx.families.weight_names import mlx_name, renamed

_ROUTER_BITS = 8
"""Few numbers that decide much. Source: `quant_predicate` of mlx-vlm's sparse models."""
_ONE_BY_ONE = re.compile(r"(?P<mlp>.+\.mlp)\.experts\.(?P<number>\d+)\.(?P<leaf>\w+_proj\.\w+)")
_STACK = re.compile(
    r"(?P<mlp>.+\.mlp)\.(?P<home>experts|switch_mlp)"
    r"\.(?P<what>gate_up|gate|up|down)_proj(?P<leaf>\.\w+)?"
)
_COLUMNS_FIRST = (0, 2, 1)


def expert_values(text: Fields) -> Values:
    """How many experts there are, how many a token is sent to, and which layers have none."""
    return _counts(text) | {
        "decoder_sparse_step": text.whole("decoder_sparse_step", 1),
        "mlp_only_layers": list(text.wholes("mlp_only_layers", ())),
    }


def shared_expert_values(text: Fields) -> Values:
    """The same of a model with experts in every layer, and one more that every token is sent to."""
    return _counts(text) | {
        "shared_expert_intermediate_size": text.whole("shared_expert_intermediate_size"),
        "norm_topk_prob": text.flag("norm_topk_prob", default=True),
    }


def stacked_experts(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Placement]:
    """Each stored weight under its name in mlx-vlm; experts in stacks."""
    plain: dict[str, tuple[int, ...]] = {}
    apart: dict[str, dict[int, str]] = {}
    for source, shape in shapes.items():
        if found := _ONE_BY_ONE.fullmatch(source):
            target = f"{mlx_name(found['mlp'])}.switch_mlp.{found['leaf']}"
            apart.setdefault(target, {})[int(found["number"])] = source
        elif found := _STACK.fullmatch(source):
            yield from _stacks(source, found, shapes)
        else:
            plain[source] = shape
    yield from renamed(plain)
    for target, numbered in apart.items():
        yield Placement(target, tuple(numbered[number] for number in sorted(numbered)))


def expert_path(path: str) -> str:
    """The path of a stack in mlx-vlm's model."""
    return path.replace(".mlp.experts.", ".mlp.switch_mlp.")


def router_bits(path: str) -> int:
    """The bits that a router keeps in a conversion; 0 for every other module."""
    return _ROUTER_BITS if path.endswith((".mlp.gate", ".mlp.shared_expert_gate")) else 0


def _counts(text: Fields) -> Values:
    # transformers' attribute_map lets a config state either name
    name = "num_local_experts" if "num_local_experts" in text else "num_experts"
    experts, active = text.whole(name), text.whole("num_experts_per_tok")
    if active > experts:
        raise text.broken(f"sends a token to {active} of {experts} experts")
    return {
        "num_experts": experts,
        "num_experts_per_tok": active,
        "moe_intermediate_size": text.whole("moe_intermediate_size"),
    }


def _stacks(
    source: str, found: re.Match[str], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[Placement]:
    """The stacks that a stored one holds: itself, or gate and up."""
    home = f"{mlx_name(found['mlp'])}.switch_mlp"
    leaf = found["leaf"] or ".weight"
    axes = () if found["leaf"] or _rows_first(found["mlp"], shapes) else _COLUMNS_FIRST
    if found["what"] != "gate_up":
        yield Placement(f"{home}.{found['what']}_proj{leaf}", (source,), axes)
        return
    for half, what in enumerate(("gate", "up")):
        yield Placement(f"{home}.{what}_proj{leaf}", (source,), axes, (half, 2))


def _rows_first(mlp: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """True if the parameters of torch's module were stored as they are: (experts, rows, columns).

    With I numbers between them, gate and up are (2 I, hidden) and down is (hidden, I); the other
    way round they are (hidden, 2 I) and (I, hidden). Only one of the two fits.
    """
    fused = shapes.get(f"{mlp}.experts.gate_up_proj", ())
    down = shapes.get(f"{mlp}.experts.down_proj", ())
    return len(fused) == len(down) == 3 and fused[2] == down[1] and fused[1] == 2 * down[2]
