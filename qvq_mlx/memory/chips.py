"""Memory bandwidth and speed of Apple's chips.

Bandwidth is the maker's figure in GB/s (10^9), from the technical specifications and press
releases (https://support.apple.com/specs, https://www.apple.com/newsroom): M1 68.25, M2 and M3 100,
M4 120, M5 153; M1 and M2 Pro 200, M3 Pro 150, M4 Pro 273, M5 Pro 307; Max 400 but for the M3 Max
with 30 GPU cores (300), the M4 Max (32 cores 410, 40 cores 546) and the M5 Max (32 cores 460, 40
cores 614); M1 and M2 Ultra 800, M3 Ultra 819. A chip that is sold with two gets the one of its GPU
cores, the smaller where they are not known.

Flop/s are 32-bit, of the GPU with all its cores, from the hardware table of huggingface.js
(https://github.com/huggingface/huggingface.js, packages/tasks/src/hardware.ts). A chip that is in
neither table gets no figure.
"""

from __future__ import annotations

_BANDWIDTH_GB_PER_S: dict[str, tuple[tuple[int, float], ...]] = {
    # chip: (GPU cores from which it holds, GB/s), ascending
    "M1": ((0, 68.25),),
    "M2": ((0, 100),),
    "M3": ((0, 100),),
    "M4": ((0, 120),),
    "M5": ((0, 153),),
    "M1 Pro": ((0, 200),),
    "M2 Pro": ((0, 200),),
    "M3 Pro": ((0, 150),),
    "M4 Pro": ((0, 273),),
    "M5 Pro": ((0, 307),),
    "M1 Max": ((0, 400),),
    "M2 Max": ((0, 400),),
    "M3 Max": ((0, 300), (40, 400)),
    "M4 Max": ((0, 410), (40, 546)),
    "M5 Max": ((0, 460), (40, 614)),
    "M1 Ultra": ((0, 800),),
    "M2 Ultra": ((0, 800),),
    "M3 Ultra": ((0, 819),),
}

_TFLOPS = {
    "M1": 2.6,
    "M2": 3.6,
    "M3": 4.1,
    "M4": 4.6,
    "M5": 5.7,
    "M1 Pro": 5.2,
    "M2 Pro": 6.8,
    "M3 Pro": 7.4,
    "M4 Pro": 9.2,
    "M1 Max": 10.4,
    "M2 Max": 13.49,
    "M3 Max": 14.2,
    "M4 Max": 18.4,
    "M1 Ultra": 21.0,
    "M2 Ultra": 27.2,
    "M3 Ultra": 28.4,
}


USUAL_CHIPS: dict[int, tuple[str, int]] = {
    8: ("M2", 10),
    16: ("M4", 10),
    18: ("M3 Pro", 18),
    24: ("M4 Pro", 20),
    32: ("M4", 10),
    36: ("M3 Max", 30),
    48: ("M4 Max", 40),
    64: ("M3 Max", 40),
    96: ("M3 Ultra", 60),
    128: ("M4 Max", 40),
    192: ("M2 Ultra", 76),
    256: ("M3 Ultra", 80),
    512: ("M3 Ultra", 80),
}
"""A Mac that is sold with so many GB: its chip and GPU cores, where nobody names one.

From https://support.apple.com/specs: MacBook Air M2 (8), Mac mini M4 and M4 Pro (16, 24, 32),
MacBook Pro M3 Pro and Max (18, 36, 64) and M4 Max (48, 128), Mac Studio M2 Ultra (192) and M3 Ultra
(96, 256, 512). Others of the same size are faster or slower.
"""


def bandwidth_of(chip: str | None, gpu_cores: int | None) -> float | None:
    """Memory bandwidth in bytes/s; None for a chip that is not in the table."""
    rates = _BANDWIDTH_GB_PER_S.get(_name(chip))
    if not rates:
        return None
    return [rate for cores, rate in rates if cores <= (gpu_cores or 0)][-1] * 1e9


def flops_of(chip: str | None) -> float | None:
    """32-bit flop/s of the GPU with all its cores; None for a chip that is not in the table."""
    rate = _TFLOPS.get(_name(chip))
    return rate * 1e12 if rate else None


def depends_on_cores(chip: str | None) -> bool:
    """True if the chip's bandwidth depends on the number of its GPU cores."""
    return len(_BANDWIDTH_GB_PER_S.get(_name(chip), ())) > 1


def _name(chip: str | None) -> str:
    return (chip or "").removeprefix("Apple ").strip()
