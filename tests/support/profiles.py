"""ICC profiles, written by hand: there is no file to lose, and every number can be read here."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import product

# rows are X, Y, Z; columns red, green, blue, adapted to D50
DISPLAY_P3 = (
    (0.51512, 0.29198, 0.15710),
    (0.24120, 0.69225, 0.06657),
    (-0.00105, 0.04189, 0.78407),
)
SRGB = ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410))
ADOBE = ((0.60974, 0.20528, 0.14919), (0.31111, 0.62567, 0.06322), (0.01947, 0.06087, 0.74457))
_D50 = (0.9642, 1.0, 0.8249)


def rgb(matrix: Sequence[Sequence[float]], gamma: float | None = None) -> bytes:
    """A matrix profile; the tone curve is sRGB's, or a power."""
    curve = _srgb_curve() if gamma is None else _power(gamma)
    tags = {
        f"{name}XYZ": _xyz([row[column] for row in matrix]) for column, name in enumerate("rgb")
    }
    tags |= {f"{name}TRC": curve for name in "rgb"}
    return _profile(b"mntr", b"RGB ", b"XYZ ", {"wtpt": _xyz(_D50), **tags})


def gray(gamma: float) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {"wtpt": _xyz(_D50), "kTRC": _power(gamma)})


def cmyk() -> bytes:
    """A printer of four inks, each corner of its cube stated as Lab: white paper, dull inks."""
    corners = b"".join(_lab(*ink) for ink in product((0, 1), repeat=4))
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0))
    table += b"".join(_s15(v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    table += ramp * 4 + corners + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {"wtpt": _xyz(_D50), "A2B0": table})


def _lab(cyan: int, magenta: int, yellow: int, black: int) -> bytes:
    light = 100 - 30 * cyan - 35 * magenta - 8 * yellow
    light = max(5, light * (0.15 if black else 1))
    red = (-25 * cyan + 60 * magenta - 4 * yellow) * (0.2 if black else 1)
    warm = (-35 * cyan - 6 * magenta + 70 * yellow) * (0.2 if black else 1)
    return bytes((round(light * 255 / 100), round(red + 128), round(warm + 128)))


def _profile(kind: bytes, space: bytes, pcs: bytes, tags: dict[str, bytes]) -> bytes:
    begin = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name.encode() + struct.pack(">II", begin + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", begin + len(body), b"test", 0x02400000, kind, space, pcs)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += b"".join(map(_s15, _D50))
    return head.ljust(128, b"\0") + table + body


def _s15(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_s15, values))


def _power(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def _srgb_curve() -> bytes:
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + b"".join(map(_s15, numbers))
