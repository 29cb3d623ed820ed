"""Facts of this computer: chip, memory, what the GPU may hold, power, free disk.

Law: nothing here raises, and a fact that cannot be had is None. macOS is asked through sysctl,
vm_stat, pmset and ioreg, Linux through /proc; `Host` is the only way out, so a test gives a
stand-in. The working set is what Metal says of itself, where it can be asked; else what is set as
iogpu.wired_limit_mb; else what is reported of Macs of this size (memory/working_set.py).

macOS's tools are called by their absolute paths: cron's PATH has no /usr/sbin.
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
from qvq_mlx.memory.chips import bandwidth_of, depends_on_cores, flops_of
from qvq_mlx.memory.working_set import is_reported, working_set_of
from qvq_mlx.system.programs import run
from qvq_mlx.system.space import free_bytes

T = TypeVar("T")

_SAID_BYTES = 2**20
_WAIT_S = 5.0


def _run(command: Sequence[str]) -> str:
    ran = run(command, _SAID_BYTES, _WAIT_S)
    if ran.late:
        raise TimeoutError(f"{command[0]} says nothing")
    return ran.output.decode(errors="replace")


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True, slots=True)
class Host:
    """Questions to the system. Each may raise OSError; a command that fails gives what it said.

    `working_set` asks Metal for the bytes that it recommends; None where it cannot be asked.
    """

    system: str = sys.platform
    run: Callable[[Sequence[str]], str] = _run
    read: Callable[[str], str] = _read
    free_disk: Callable[[Path], int] = free_bytes
    working_set: Callable[[], int | None] = lambda: None


def read_machine(folder: Path, host: Host | None = None) -> Machine:
    """The facts of `host`; the free disk is that of `folder` or of what will hold it."""
    host = host or Host()
    disk = free_disk(folder, host)
    return _mac(host, disk) if host.system == "darwin" else _linux(host, disk)


def free_disk(folder: Path, host: Host | None = None) -> int | None:
    """Free bytes of the volume that holds `folder`, or will hold it."""
    host = host or Host()
    return _or_none(lambda: host.free_disk(folder))


def _mac(host: Host, disk: int | None) -> Machine:
    keys = ("machdep.cpu.brand_string", "hw.memsize", "iogpu.wired_limit_mb")
    said = _or_none(lambda: host.run(("/usr/sbin/sysctl", *keys))) or ""
    values = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    memory = _number(values.get("hw.memsize"))
    wired = _number(values.get("iogpu.wired_limit_mb"))
    limit = wired * 2**20 if wired else None
    chip = values.get("machdep.cpu.brand_string", "").strip() or None
    found, source = _working_set(_or_none(host.working_set), limit, memory)
    battery = _or_none(lambda: host.run(("/usr/bin/pmset", "-g", "batt"))) or ""
    return Machine(
        chip=chip,
        memory_bytes=memory,
        working_set_bytes=found,
        working_set_source=source,
        wired_limit_bytes=limit,
        available_bytes=_pages(_or_none(lambda: host.run(("/usr/bin/vm_stat",))) or ""),
        power=_power(battery),
        low_power=_low_power(_or_none(lambda: host.run(("/usr/bin/pmset", "-g"))) or ""),
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


def hypothetical(
    memory_bytes: int,
    wired_limit_bytes: int | None = None,
    chip: str | None = None,
    gpu_cores: int | None = None,
) -> Machine:
    """A Mac with so much memory, this wired limit if one was set, and this chip, such as `M4 Max`.

    Where the chip is sold with two bandwidths, that of its `gpu_cores` holds, else the smaller one.
    """
    found, source = _working_set(None, wired_limit_bytes, memory_bytes)
    return Machine(
        chip=chip,
        bandwidth_bytes_per_s=bandwidth_of(chip, gpu_cores),
        flops=flops_of(chip),
        memory_bytes=memory_bytes,
        working_set_bytes=found,
        working_set_source=source,
        wired_limit_bytes=wired_limit_bytes,
    )


def _share(memory_bytes: int | None) -> str:
    if not memory_bytes:
        return ""
    percent = working_set_of(memory_bytes) / memory_bytes * 100
    known = "reported" if is_reported(memory_bytes) else "estimated"
    return f"{known}: {percent:.0f} % of {memory_bytes / 2**30:.4g} GiB"


def _working_set(said: int | None, limit: int | None, memory: int | None) -> tuple[int | None, str]:
    """What the GPU may hold, and where that comes from. Metal follows a wired limit that is set."""
    if said:
        return said, "Metal" + (", iogpu.wired_limit_mb is set" if limit else "")
    if limit:
        return limit, "iogpu.wired_limit_mb"
    return (working_set_of(memory) if memory else None), _share(memory)


def _gpu_cores(host: Host, chip: str | None) -> int | None:
    """Asked only where the bandwidth depends on it."""
    if not depends_on_cores(chip):
        return None
    said = _or_none(lambda: host.run(("/usr/sbin/ioreg", "-rc", "AGXAccelerator", "-d", "1"))) or ""
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


def _low_power(said: str) -> bool | None:
    """Of `pmset -g`, which lists the settings in use; None where this Mac has no such mode.

    The setting is called lowpowermode (man pmset); Macs with a High Power Mode have powermode,
    where 1 is low and 2 is high.
    """
    found = re.search(r"^\s*(?:lowpowermode|powermode)\s+(\d+)", said, re.MULTILINE)
    return found[1] == "1" if found else None


def _kib(said: str, key: str) -> int | None:
    found = re.search(rf"^{key}:\s+(\d+) kB", said, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _or_none(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except (OSError, ValueError, RuntimeError, ImportError):  # the last two: Metal's and MLX's
        return None
