"""Values of `bench` with --json: how fast a model is here, stage by stage.

Law: as in `models`. Null is "not known".
"""

from __future__ import annotations

from dataclasses import dataclass

from qvq_mlx.records.runs import VERSION


@dataclass(frozen=True, slots=True)
class Speed:
    """One test. `value` and `deviation` (of the `rounds`, null for one) are in `unit`: `tokens/s`,
    `image tokens/s`, or `s`.

    `roof` is what the machine's bandwidth or arithmetic allows at the most, in the same unit;
    null where the chip is not known or there is no such bound. `note` says what else was seen.
    """

    test: str
    value: float
    unit: str
    deviation: float | None
    rounds: int
    roof: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class BenchRecord:
    """`qvq bench --json`: the model, the machine, the versions, and the tests in their order.

    `chip` is null where it is not known; `device` is what MLX
    computes on, `versions` are those of mlx and mlx-vlm.
    """

    model: str
    download_bytes: int
    device: str
    chip: str | None
    power: str | None
    versions: str
    tests: tuple[Speed, ...]
    version: int = VERSION
