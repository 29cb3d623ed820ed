"""JSON values as dataclasses.

Law: for a dataclass of scalars, enums, tuples, unions and dataclasses,
`typed(cls, json.loads(json.dumps(asdict(x)))) == x`. A key that is not known is passed over; one
that is missing takes the field's default, or null where the field may be null. Anything else that
does not fit is a ValueError that names the field.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Hashable
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

_SCALARS = (str, int, float, bool, types.NoneType)


def typed(kind: type[T], value: object) -> T:
    """`value`, as `json.loads` gives it, as a `kind`. Raises ValueError."""
    return cast("T", _typed(kind, value, kind.__name__))


def _typed(kind: object, value: object, where: str) -> object:
    if kind in _SCALARS:
        return _scalar(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(str(value))
    if isinstance(kind, type) and is_dataclass(kind):
        return _record(kind, value, where)
    if get_origin(kind) in (types.UnionType, Union):
        return _one_of(get_args(kind), value, where)
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), value, where)
    raise TypeError(f"{where}: no JSON stands for {kind!r}")


def _scalar(kind: object, value: object, where: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{where} is {value!r}")
    return value


def _record(kind: Callable[..., object], value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {value!r}")
    given = {
        name: _typed(hint, value[name], f"{where}.{name}")
        if name in value
        else _absent(field, hint, f"{where}.{name}")
        for name, field, hint in _shape(kind)
    }
    return kind(**given)


def _absent(field: Field[object], hint: object, where: str) -> object:
    if field.default is not MISSING:
        return field.default
    if types.NoneType in get_args(hint):
        return None
    raise ValueError(f"{where} is missing")


def _one_of(kinds: tuple[object, ...], value: object, where: str) -> object:
    for kind in kinds:
        try:
            return _typed(kind, value, where)
        except ValueError:
            continue
    raise ValueError(f"{where} is {value!r}")


def _tuple(kinds: tuple[object, ...], value: object, where: str) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where} is {value!r}")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_typed(kinds[0], item, where) for item in value)
    if len(kinds) != len(value):
        raise ValueError(f"{where} is {value!r}")
    return tuple(_typed(kind, item, where) for kind, item in zip(kinds, value, strict=True))


@lru_cache(maxsize=64)
def _shape(kind: Hashable) -> tuple[tuple[str, Field[object], object], ...]:
    assert isinstance(kind, type)
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    return tuple((field.name, field, hints[field.name]) for field in fields(kind))
