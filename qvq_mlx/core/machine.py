"""Facts of a computer, as far as they are known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts of a computer; None: unknown. `power` is `battery` or `mains`, `low_power` macOS's Low
    Power Mode.

    `working_set_bytes` is what the GPU may hold; `working_set_source` says where that comes from.
    `flops` are 32-bit floating-point operations per second.
    `fused_attention`: the backend is Metal. `sharing` machines split a model, and this is the first
    of them.
    """

    chip: str | None = None
    memory_bytes: int | None = None
    working_set_bytes: int | None = None
    working_set_source: str = ""
    wired_limit_bytes: int | None = None
    available_bytes: int | None = None
    power: str | None = None
    low_power: bool | None = None
    free_disk_bytes: int | None = None
    bandwidth_bytes_per_s: float | None = None
    flops: float | None = None
    fused_attention: bool = True
    sharing: int = 1
