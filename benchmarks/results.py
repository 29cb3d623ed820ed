"""What a benchmark found, as rows of one table, with the machine's facts above it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True, slots=True)
class Result:
    """One measured ratio or rate. `wanted` is the bound that the project holds itself to."""

    what: str
    value: float
    wanted: float
    detail: str = ""

    @property
    def reached(self) -> bool:
        """Whether the bound holds in this run."""
        return self.value >= self.wanted


def machine() -> str:
    """One line: what these numbers were measured on."""
    import mlx.core as mx

    device = mx.device_info()
    backend = "Metal" if mx.metal.is_available() else "CPU"
    return (
        f"{device.get('device_name', platform.machine())}, {os.cpu_count()} cores, "
        f"{platform.system()}, mlx {version('mlx')} ({backend}), mlx-vlm {version('mlx-vlm')}, "
        f"Python {platform.python_version()}"
    )


def table(results: Iterable[Result]) -> str:
    """Markdown, one row per result."""
    lines = ["| measured | value | wanted | |", "| --- | ---: | ---: | --- |"]
    for result in results:
        mark = "" if result.reached else "**short of it** "
        lines.append(
            f"| {result.what} | {result.value:.2f} | ≥ {result.wanted:.2f} "
            f"| {mark}{result.detail} |"
        )
    return "\n".join(lines)
