"""Facts of a computer, from what its commands print.

https://ss64.com/mac/sysctl.html, https://ss64.com/mac/vm_stat.html, https://ss64.com/mac/pmset.html
and https://ss64.com/mac/ioreg.html.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qvq_mlx.memory.chips import bandwidth_of, flops_of
from qvq_mlx.memory.machine import Host, read_machine

SYSCTL = (
    "machdep.cpu.brand_string: Apple M4 Max\nhw.memsize: 68719476736\niogpu.wired_limit_mb: 0\n"
)
VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10.
Pages active:                             99.
Pages inactive:                           20.
Pages speculative:                         3.
Pages purgeable:                           4.
"""


def mac(**said: str) -> Host:
    # absolute paths: a job of cron has a PATH of /usr/bin:/bin (man 5 crontab)
    folders = {
        "sysctl": "/usr/sbin",
        "ioreg": "/usr/sbin",
        "vm_stat": "/usr/bin",
        "pmset": "/usr/bin",
    }
    outputs = {
        "sysctl": SYSCTL,
        "vm_stat": VM_STAT,
        "pmset": "Now drawing from 'Battery Power'\n",
        "ioreg": '      "gpu-core-count" = 40\n',
    } | said
    by_path = {f"{folders[name]}/{name}": text for name, text in outputs.items()}
    return Host("darwin", lambda command: by_path[command[0]], _no_file, lambda _folder: 5)


def _no_file(path: str) -> str:
    raise FileNotFoundError(path)


def test_a_mac() -> None:
    machine = read_machine(Path("/nowhere/at/all"), mac())
    assert machine.chip == "Apple M4 Max"
    assert machine.memory_bytes == 64 * 2**30
    assert machine.working_set_bytes == int(51.84 * 2**30)
    assert machine.working_set_source == "reported: 81 % of 64 GiB"
    assert machine.available_bytes == 37 * 16384
    assert (machine.power, machine.free_disk_bytes) == ("battery", 5)
    assert machine.bandwidth_bytes_per_s == 546e9
    assert machine.fused_attention


@pytest.mark.parametrize(
    ("said", "is_low"),
    [
        (" lowpowermode         1\n", True),
        (" lowpowermode         0\n", False),
        (" powermode            1\n", True),
        (" powermode            2\n", False),
        (" sleep                1\n", None),
    ],
)
def test_low_power_mode(said: str, is_low: bool | None) -> None:
    """`pmset -g` lists the settings in use; lowpowermode is one of them (man pmset:
    https://www.sudo.is/docs/macos/man_pmset.html).
    """
    output = f"System-wide power settings:\nCurrently in use:\n standby              1\n{said}"
    assert read_machine(Path("/"), mac(pmset=output)).low_power is is_low


def test_a_wired_limit_that_was_set() -> None:
    said = SYSCTL.replace("limit_mb: 0", "limit_mb: 57344")
    machine = read_machine(Path("/"), mac(sysctl=said, ioreg=""))
    assert machine.working_set_bytes == machine.wired_limit_bytes == 56 * 2**30
    assert machine.working_set_source == "iogpu.wired_limit_mb"
    assert machine.bandwidth_bytes_per_s == 410e9


def test_metal_is_asked_before_any_table() -> None:
    """It follows the wired limit: https://github.com/AlexsJones/llmfit/pull/754."""
    said = SYSCTL.replace("limit_mb: 0", "limit_mb: 57344")
    host = replace(mac(sysctl=said), working_set=lambda: 56 * 2**30 - 1)
    machine = read_machine(Path("/"), host)
    assert machine.working_set_bytes == 56 * 2**30 - 1
    assert machine.working_set_source == "Metal, iogpu.wired_limit_mb is set"


@pytest.mark.parametrize("error", [RuntimeError("[metal::load_device]"), ImportError("no mlx")])
def test_a_metal_that_cannot_be_asked_stops_nothing(error: Exception) -> None:
    def fail() -> int:
        raise error

    machine = read_machine(Path("/"), replace(mac(), working_set=fail))
    assert machine.working_set_source == "reported: 81 % of 64 GiB"


@pytest.mark.parametrize("system", ["darwin", "linux"])
def test_a_system_that_says_nothing(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise OSError("no")

    machine = read_machine(Path("/"), Host(system, fail, fail, fail))  # type: ignore[arg-type]
    assert (machine.chip, machine.power, machine.free_disk_bytes) == (None, None, None)
    nonsense = Host(system, lambda _command: "\x00: ?\n::", lambda _path: "MemTotal: much", fail)
    assert read_machine(Path("/"), nonsense).chip is None  # type: ignore[arg-type]


def test_linux_in_a_container() -> None:
    files = {
        "/proc/meminfo": "MemTotal:       33554432 kB\nMemAvailable:   1024 kB\n",
        "/proc/cpuinfo": "processor\t: 0\nmodel name\t: Some CPU\n",
        "/sys/fs/cgroup/memory.max": f"{2**34}\n",
    }
    host = Host("linux", lambda _command: "", files.__getitem__, lambda _folder: 5)
    machine = read_machine(Path("/"), host)
    assert (machine.chip, machine.memory_bytes) == ("Some CPU", 2**34)
    assert machine.available_bytes == 2**20
    assert not machine.fused_attention


def test_this_computer() -> None:
    machine = read_machine(Path("/nowhere"))
    assert machine.memory_bytes
    assert machine.free_disk_bytes


@pytest.mark.parametrize(
    ("chip", "cores", "rate"),
    [
        ("Apple M2 Max", None, 400e9),
        ("Apple M4 Max", 32, 410e9),
        ("Apple M5 Max", 40, 614e9),
        # https://support.apple.com/117736: M3 Max, 30 cores 300 GB/s, 40 cores 400 GB/s
        ("Apple M3 Max", 30, 300e9),
        ("Apple M3 Max", 40, 400e9),
        ("Apple M3 Max", None, 300e9),
        # https://www.macrumors.com/2026/03/03/apple-unveils-macbook-pro-with-m5-pro-and-m5-max-chips-with-neural-accelerators/
        ("Apple M5 Pro", 20, 307e9),
        ("Apple M1", 8, 68.25e9),
        ("Apple M4", 10, 120e9),
        ("Apple M9", 10, None),
        (None, None, None),
    ],
)
def test_bandwidth(chip: str | None, cores: int | None, rate: float | None) -> None:
    assert bandwidth_of(chip, cores) == rate


def test_every_chip_of_the_table_has_both_figures_or_none_is_invented() -> None:
    for generation in "12345":
        for size in ("", " Pro", " Max"):
            assert bandwidth_of(f"Apple M{generation}{size}", None), size
    assert flops_of("Apple M5 Max") is None  # not published in the table that is used
    assert flops_of("Apple M3 Ultra") == 28.4e12
