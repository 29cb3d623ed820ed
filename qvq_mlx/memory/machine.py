"""Facts of this computer: chip, memory, what the GPU may hold, power, free disk.

Law: nothing here raises, and a fact that cannot be had is None. macOS is asked through sysctl,
vm_stat, pmset and ioreg, Linux through /proc; `Host` is the only way out, so a test gives a
stand-in. A working set that is not stated is estimated from the memory (`core.fit.working_set_of`).

Bandwidth is the maker's figure in GB/s (10^9). A chip that is sold with two gets the one of its
GPU cores, the smaller where they are not known. Flop/s are 32-bit, from the table of hardware in
huggingface.js; a chip that is not in it gets none.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from qvq_mlx.core.machine import Machine
from qvq_mlx.memory.estimate import working_set_of
from qvq_mlx.system.programs import run
from qvq_mlx.system.space import free_bytes

T = TypeVar("T")

_SAID_BYTES = 2**20
_WAIT_S = 5.0

_BANDWIDTH_GB_PER_S: dict[str, tuple[tuple[int, float], ...]] = {
    # chip: (GPU cores from which it holds, GB/s), ascending
    "M4 Pro": ((0, 273),),
    "M1 Max": ((0, 400),),
    "M2 Max": ((0, 400),),
    "M3 Max": ((0, 400),),
    "M4 Max": ((0, 410), (40, 546)),
    "M5 Max": ((0, 460), (40, 614)),
    "M1 Ultra": ((0, 800),),
    "M2 Ultra": ((0, 800),),
    "M3 Ultra": ((0, 819),),
}


_TFLOPS = {
    "M4 Pro": 9.2,
    "M1 Max": 10.4,
    "M2 Max": 13.49,
    "M3 Max": 14.2,
    "M4 Max": 18.4,
    "M1 Ultra": 21.0,
    "M2 Ultra": 27.2,
}


def _run(command: Sequence[str]) -> str:
    ran = run(command, _SAID_BYTES, _WAIT_S)
    if ran.late:
        raise TimeoutError(f"{command[0]} says nothing")
    return ran.output.decode(errors="replace")


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True, slots=True)
class Host:
    """Questions to the system. Each may raise OSError; a command that fails gives what it said."""

    system: str = sys.platform
    run: Callable[[Sequence[str]], str] = _run
    read: Callable[[str], str] = _read
    free_disk: Callable[[Path], int] = free_bytes


def read_machine(folder: Path, host: Host | None = None) -> Machine:
    """The facts of `host`; the free disk is that of `folder` or of what will hold it."""
    host = host or Host()
    disk = free_disk(folder, host)
    return _mac(host, disk) if host.system == "darwin" else _linux(host, disk)


def free_disk(folder: Path, host: Host | None = None) -> int | None:
    """Free bytes of the volume that holds `folder`, or will hold it."""
    host = host or Host()
    return _or_none(lambda: host.free_disk(folder))


def bandwidth_of(chip: str | None, gpu_cores: int | None) -> float | None:
    """Memory bandwidth in bytes/s; None for a chip that is not in the table."""
    name = (chip or "").removeprefix("Apple ").strip()
    rates = _BANDWIDTH_GB_PER_S.get(name)
    if not rates:
        return None
    return [rate for cores, rate in rates if cores <= (gpu_cores or 0)][-1] * 1e9


def flops_of(chip: str | None) -> float | None:
    """32-bit flop/s of the GPU with all its cores; None for a chip that is not in the table."""
    rate = _TFLOPS.get((chip or "").removeprefix("Apple ").strip())
    return rate * 1e12 if rate else None


def _mac(host: Host, disk: int | None) -> Machine:
    keys = ("machdep.cpu.brand_string", "hw.memsize", "iogpu.wired_limit_mb")
    said = _or_none(lambda: host.run(("sysctl", *keys))) or ""
    values = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    memory = _number(values.get("hw.memsize"))
    wired = _number(values.get("iogpu.wired_limit_mb"))
    limit = wired * 2**20 if wired else None
    chip = values.get("machdep.cpu.brand_string", "").strip() or None
    battery = _or_none(lambda: host.run(("pmset", "-g", "batt"))) or ""
    return Machine(
        chip=chip,
        memory_bytes=memory,
        working_set_bytes=limit or (working_set_of(memory) if memory else None),
        working_set_source="iogpu.wired_limit_mb" if limit else _share(memory),
        wired_limit_bytes=limit,
        available_bytes=_pages(_or_none(lambda: host.run(("vm_stat",))) or ""),
        power=_power(battery),
        free_disk_bytes=disk,
        bandwidth_bytes_per_s=bandwidth_of(chip, _gpu_cores(host, chip)),
        flops=flops_of(chip),
    )


def _linux(host: Host, disk: int | None) -> Machine:
    said = _or_none(lambda: host.read("/proc/meminfo")) or ""
    memory = _kib(said, "MemTotal") or _or_none(
        lambda: os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    )
    # a container's limit, where there is one
    limit = _number(_or_none(lambda: host.read("/sys/fs/cgroup/memory.max")))
    if memory and limit:
        memory = min(memory, limit)
    cpu = _or_none(lambda: host.read("/proc/cpuinfo")) or ""
    name = re.search(r"^model name\s*:\s*(.+)$", cpu, re.MULTILINE)
    return Machine(
        chip=name[1].strip() if name else None,
        memory_bytes=memory,
        working_set_bytes=working_set_of(memory) if memory else None,
        working_set_source=_share(memory),
        available_bytes=_kib(said, "MemAvailable"),
        free_disk_bytes=disk,
        fused_attention=False,
    )


def hypothetical(memory_bytes: int) -> Machine:
    """A Mac with so much memory, of which nothing else is known."""
    return Machine(
        memory_bytes=memory_bytes,
        working_set_bytes=working_set_of(memory_bytes),
        working_set_source=_share(memory_bytes),
    )


def _share(memory_bytes: int | None) -> str:
    if not memory_bytes:
        return ""
    percent = working_set_of(memory_bytes) / memory_bytes * 100
    return f"estimated: {percent:.0f} % of {memory_bytes / 2**30:.4g} GiB"


def _gpu_cores(host: Host, chip: str | None) -> int | None:
    """Asked only where the bandwidth depends on it."""
    if len(_BANDWIDTH_GB_PER_S.get((chip or "").removeprefix("Apple "), ())) < 2:
        return None
    said = _or_none(lambda: host.run(("ioreg", "-rc", "AGXAccelerator", "-d", "1"))) or ""
    found = re.search(r'"gpu-core-count"\s*=\s*(\d+)', said)
    return int(found[1]) if found else None


def _pages(said: str) -> int | None:
    """Memory that can be had without swapping, from vm_stat."""
    size = re.search(r"page size of (\d+) bytes", said)
    if not size:
        return None
    kinds = r"^Pages (?:free|inactive|purgeable|speculative):\s+(\d+)\.?$"
    return sum(int(count) for count in re.findall(kinds, said, re.MULTILINE)) * int(size[1])


def _power(said: str) -> str | None:
    if "'Battery Power'" in said:
        return "battery"
    return "mains" if "'AC Power'" in said else None


def _kib(said: str, key: str) -> int | None:
    found = re.search(rf"^{key}:\s+(\d+) kB", said, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _or_none(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except (OSError, ValueError):
        return None
