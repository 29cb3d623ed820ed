"""Values of one JSON object of a checkpoint, read by type.

Law: whatever the object holds, the outcome is a value of the type that was asked for, or a
BrokenModelError of one line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.core.remedies import RunProgram

MOST = 2**31
"""No count, size or id of a checkpoint is larger."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The values of one JSON object of a checkpoint, by type.

    Every method raises BrokenModelError, in one line that names the file and the key, where the
    value is of another type or out of range, and where it is missing and no default is given.
    A JSON null counts as missing. `within` is the key of this object in its file, if it has one.
    """

    path: Path
    values: Mapping[str, object]
    within: str = ""

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def whole(self, name: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number from `least` to 2**31."""
        value = self._value(name, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not least <= value <= MOST:
            raise self._wrong(name, value, f"a whole number from {least} to {MOST}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number above zero."""
        value = self._value(name, default)
        if not _is_number(value) or not 0 < value < math.inf:
            raise self._wrong(name, value, "a number above 0")
        return float(value)

    def any_number(self, name: str, default: float | None = None) -> float:
        """A finite number."""
        value = self._value(name, default)
        if not _is_number(value) or not math.isfinite(value):
            raise self._wrong(name, value, "a number")
        return float(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def word(self, name: str, default: str | None = None) -> str:
        """A string."""
        value = self._value(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, value, "a string")
        return value

    def wholes(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """A list of whole numbers from 0 on."""
        value = self._value(name, default)
        if not isinstance(value, list | tuple) or not all(
            type(item) is int and 0 <= item <= MOST for item in value
        ):
            raise self._wrong(name, value, "a list of whole numbers")
        return tuple(value)

    def numbers(self, name: str, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """A list of finite numbers."""
        value = self._value(name, default)
        if not isinstance(value, list | tuple) or not all(
            _is_number(item) and math.isfinite(item) for item in value
        ):
            raise self._wrong(name, value, "a list of numbers")
        return tuple(float(item) for item in value)

    def inside(self, name: str) -> Fields:
        """The object under `name`; an empty one where it is missing."""
        value = self._value(name, {})
        if not isinstance(value, dict):
            raise self._wrong(name, value, "an object")
        return Fields(self.path, value, f"{self.within}{name}.")

    def _value(self, name: str, default: object) -> object:
        value = self.values.get(name)
        if value is not None:
            return value
        if default is None:
            raise self.broken(f"states no {self.within}{name}")
        return default

    def broken(self, what: str) -> BrokenModelError:
        """The error to raise where the values do not go together: `FILE what`."""
        return BrokenModelError(
            f"{self.path} {what}", RunProgram(("python3", "-m", "json.tool", str(self.path)))
        )

    def _wrong(self, name: str, value: object, wanted: str) -> BrokenModelError:
        return self.broken(f"says {self.within}{name} is {str(value)[:40]!r}, not {wanted}")


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
