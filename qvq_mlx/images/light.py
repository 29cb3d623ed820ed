"""Colours that are stated without a profile, as sRGB: a gamma and primaries, PQ and HLG.

Law: for pictures of high dynamic range, diffuse white is 203 cd/m² (ITU-R BT.2408). What is darker
than three quarters of it stays as it is; what is brighter is rolled off, so that 1,000 cd/m² become
white. All three channels are scaled alike, by what the brightest of them needs, so hues stay.

Sources: SMPTE ST 2084 (PQ), ITU-R BT.2100 (HLG, with the display's gamma of 1.2 at 1,000 cd/m²),
ITU-T H.273 (the numbers), PNG 3 (gAMA, cHRM, cICP), IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ToSrgb = Callable[["NDArray[np.float64]"], "NDArray[np.float64]"]
"""Colours of one or three channels, 0 to 1, to the same in sRGB."""

_WHITE_NITS, _PEAK_NITS = 203.0, 1000.0
_KNEE = 0.75
_D65 = (0.3127, 0.3290)
_SRGB = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
# white, red, green and blue, x and y of each, by the numbers of H.273
_PRIMARIES = {
    1: _SRGB,
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
_PQ, _HLG, _LINEAR = 16, 18, 8
_SRGB_GAMMA, _GAMMA_SLACK = 1 / 2.2, 0.02
_XY_SLACK = 0.002


class Curve(Enum):
    """How numbers become light, where that is no power."""

    SRGB = auto()
    PQ = auto()
    HLG = auto()


@dataclass(frozen=True, slots=True)
class Light:
    """What the numbers of a picture mean. `curve`: or the exponent that makes light of them;
    `primaries`: x and y of white, red, green and blue.
    """

    curve: Curve | float
    primaries: tuple[float, ...] = _SRGB

    @property
    def is_hdr(self) -> bool:
        """True if it is brighter than paper."""
        return self.curve in (Curve.PQ, Curve.HLG)


def of_cicp(primaries: int, transfer: int) -> Light | None:
    """The light of H.273's numbers; None where it is sRGB, or near it, or not known."""
    points = _PRIMARIES.get(primaries, _SRGB)
    known: dict[int, Curve | float] = {_PQ: Curve.PQ, _HLG: Curve.HLG, _LINEAR: 1.0}
    curve = known.get(transfer)
    if curve is None:
        return Light(Curve.SRGB, points) if transfer == 13 and points != _SRGB else None
    return Light(curve, points)


def of_png(gamma: float | None, chromaticity: tuple[float, ...] | None) -> Light | None:
    """The light of gAMA and cHRM; None where they say sRGB, as most writers mean it."""
    points = chromaticity if chromaticity and len(chromaticity) == 8 else _SRGB
    if any(y <= 0 for y in points[1::2]):
        points = _SRGB
    is_srgb = all(abs(a - b) < _XY_SLACK for a, b in zip(points, _SRGB, strict=True))
    if gamma is None or gamma <= 0 or abs(gamma - _SRGB_GAMMA) < _GAMMA_SLACK:
        return None if is_srgb else Light(Curve.SRGB, points)
    return Light(1 / gamma, points)


def to_srgb_of(light: Light) -> ToSrgb:
    """The way from `light` to sRGB."""
    import numpy as np

    matrix = np.linalg.inv(_to_xyz(_SRGB)) @ _to_xyz(light.primaries)

    def change(colours: NDArray[np.float64]) -> NDArray[np.float64]:
        linear = _linear(np.clip(colours, 0, 1), light.curve)
        if linear.shape[-1] == 3:
            linear = linear @ matrix.T
        linear = np.maximum(linear, 0)
        if light.is_hdr:
            linear = linear * _rolled_off(linear.max(axis=-1, keepdims=True))
        linear = np.minimum(linear, 1)
        return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)

    return change


def _linear(numbers: NDArray[np.float64], curve: Curve | float) -> NDArray[np.float64]:
    """Light, where 1 is diffuse white."""
    import numpy as np

    match curve:
        case Curve.SRGB:
            return np.where(numbers <= 0.04045, numbers / 12.92, ((numbers + 0.055) / 1.055) ** 2.4)
        case Curve.PQ:
            root = numbers ** (1 / 78.84375)
            part = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
            return np.asarray(part ** (1 / 0.1593017578125) * (10000 / _WHITE_NITS))
        case Curve.HLG:
            bright = (np.exp((numbers - 0.55991073) / 0.17883277) + 0.28466892) / 12
            scene = np.where(numbers <= 0.5, numbers**2 / 3, bright)
            weights = np.array([0.2627, 0.6780, 0.0593]) if scene.shape[-1] == 3 else np.ones(1)
            luminance = (scene @ weights)[..., None]
            shown = scene * np.maximum(luminance, 1e-9) ** 0.2
            return np.asarray(shown * (_PEAK_NITS / _WHITE_NITS))
        case float():
            return np.asarray(numbers**curve)
        case _:
            assert_never(curve)


def _rolled_off(brightest: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a pixel is multiplied with, by its brightest channel."""
    import numpy as np

    over = np.maximum(brightest - _KNEE, 0) / (1 - _KNEE)
    end = (_PEAK_NITS / _WHITE_NITS - _KNEE) / (1 - _KNEE)
    rolled = _KNEE + (1 - _KNEE) * over * (1 + over / end**2) / (1 + over)
    return np.where(brightest > _KNEE, rolled / np.maximum(brightest, _KNEE), 1.0)


def _to_xyz(points: tuple[float, ...]) -> NDArray[np.float64]:
    """The matrix from linear RGB to XYZ, whose white is the D65 of both sides."""
    import numpy as np

    xy = np.array(points, np.float64).reshape(4, 2)
    xyz = np.stack([xy[:, 0] / xy[:, 1], np.ones(4), (1 - xy.sum(axis=1)) / xy[:, 1]], axis=1)
    columns = xyz[1:].T
    matrix = columns * np.linalg.solve(columns, xyz[0])
    # white goes to white: a plain scaling in XYZ is enough for whites as near as these
    d65 = np.array([_D65[0] / _D65[1], 1.0, (1 - sum(_D65)) / _D65[1]])
    return np.asarray((d65 / xyz[0])[:, None] * matrix)
