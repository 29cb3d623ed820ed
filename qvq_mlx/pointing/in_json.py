"""Boxes and points in JSON: objects with a key that names a place, however deep they lie.

    {"bbox_2d": [176, 106, 232, 160], "label": "a dog"}   {"point_2d": [204, 133], "image": 2}

Law: linear, without recursion. A list of numbers is a place only under a key that says so. Under
one key there may be several places; corners may be lists, strings of numbers, or an object with
keys for its sides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from qvq_mlx.pointing.lenient_json import Row, Table, Value
from qvq_mlx.pointing.marks import (
    Fault,
    Found,
    Mark,
    are_numbers,
    boxes,
    named,
    numbers_in,
    points,
    polygon,
)

_BOX_KEYS = frozenset(
    ("bbox2d", "bbox", "bboxes", "bboxes2d", "box2d", "box", "boxes", "boundingbox")
) | {"boundingboxes", "bndbox"}
_POINT_KEYS = frozenset(("point2d", "points2d", "point", "points"))
_EITHER_KEYS = frozenset(("coordinate", "coordinates"))  # two numbers are a point, four a box
_LABEL_KEYS = ("label", "name", "class", "category", "object", "text", "textcontent", "description")
_PICTURE_KEYS = ("image", "imageindex", "imageid", "imageidx", "img", "imgidx", "picture")
_CORNERS = (("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"))
_SIDES = (("left", "top", "right", "bottom"),)
_SIZES = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))
_PLAIN = re.compile(r"[\s_-]+")


def of_values(values: Sequence[Row | Table]) -> Iterator[Found]:
    """Read the tables within, and where the text ended within one."""
    count = 0
    # a value, and the picture that a table around it names
    stack: list[tuple[Value, str | float | None]] = [(value, None) for value in values[::-1]]
    while stack:
        value, picture = stack.pop()
        match value:
            case Row(items=items):
                stack += [(item, picture) for item in reversed(items)]
            case Table(pairs=pairs):
                keyed = _keyed(value)
                own = _first(keyed, _PICTURE_KEYS)
                picture = picture if own is None else own
                for one in _of_table(value, keyed):
                    count += 1
                    yield replace(one, picture=picture)
                stack += [(inner, picture) for _, inner in reversed(pairs)]
            case str() | float() | None:
                pass
    if count and values and values[-1].cut:
        yield Fault("cut", "the answer ends within its JSON: what is whole is kept", values[-1].end)


def bare(values: Sequence[Row | Table]) -> Iterator[Mark]:
    """Lists of four numbers that nothing calls a box; a key around one is its label."""
    stack: list[tuple[Value, str | None]] = [(value, None) for value in values[::-1]]
    while stack:
        value, label = stack.pop()
        if isinstance(value, Table):
            stack += [(inner, key.strip() or None) for key, inner in reversed(value.pairs)]
        elif isinstance(value, Row) and not value.cut:
            numbers = _flat(value.items)
            if len(numbers) == 4:
                found = boxes(numbers, label, value.start)
                yield from (one for one in found if isinstance(one, Mark))
            else:
                stack += [(item, label) for item in reversed(value.items)]


def _of_table(table: Table, keyed: dict[str, Value]) -> Iterator[Found]:
    label = _first(keyed, _LABEL_KEYS)
    if isinstance(label, float):
        label = f"{label:g}"
    label = (label or "").strip() or None
    for key, value in table.pairs:
        kind = _plain(key)
        if value is not None and (kind in _BOX_KEYS or kind in _POINT_KEYS or kind in _EITHER_KEYS):
            yield from _of_value(kind, value, label, table.start)


def _of_value(kind: str, value: Value, label: str | None, at: int) -> Iterator[Found]:
    """Return the value under a key for boxes or points."""
    parts = [value]
    if isinstance(value, Row) and any(isinstance(item, Table) for item in value.items):
        # an object without sides is one of its own, with keys of its own
        parts = [item for item in value.items if not isinstance(item, Table) or _sides(item)]
    for part in parts:
        if isinstance(part, Row | Table) and part.cut:
            # the last number may lack digits
            yield Fault("cut", f"{named('place', label)} is cut off", at)
            continue
        for numbers, corners in _leaves(part):
            if kind in _POINT_KEYS or (kind in _EITHER_KEYS and len(numbers) == 2):
                yield from points(numbers, label, at)
            elif corners > 2:
                yield from polygon(numbers, label, at)
            else:
                yield from boxes(numbers, label, at)


def _leaves(value: Value) -> Iterator[tuple[list[float], int]]:
    """Lists of numbers, and of how many corners that are lists themselves (0: none).

    An empty list stands for what holds no numbers, or something else among them.
    """
    stack: list[Value] = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, Table):
            yield _sides(value) or [], 0
        elif not isinstance(value, Row):
            yield _flat([value]), 0
        elif not all(isinstance(item, Row) for item in value.items):
            yield _flat(value.items), 0
        else:  # an empty list is no place at all
            flat = [_flat(item.items) for item in value.items if isinstance(item, Row)]
            if flat and all(len(corner) == 2 for corner in flat):
                yield [number for corner in flat for number in corner], len(flat)
            else:
                stack += reversed(value.items)


def _flat(items: Sequence[Value]) -> list[float]:
    """Numbers, and strings of numbers; none where something else is among them."""
    numbers: list[float] = []
    for item in items:
        if isinstance(item, float):
            numbers.append(item)
        elif isinstance(item, str) and are_numbers(item):
            numbers += numbers_in(item)
        else:
            return []
    return numbers


def _sides(table: Table) -> list[float] | None:
    """The numbers of an object such as {"x1": 1, "y1": 2, "x2": 3, "y2": 4}."""
    keyed = _keyed(table)
    for names in (*_CORNERS, *_SIDES, *_SIZES, ("x", "y")):
        numbers = _flat([keyed.get(name) for name in names])
        if len(numbers) == len(names):
            if names in _SIZES:
                return [*numbers[:2], numbers[0] + numbers[2], numbers[1] + numbers[3]]
            return numbers
    return None


def _keyed(table: Table) -> dict[str, Value]:
    """The first value of each key, keys without case, space, `_` and `-`."""
    keyed: dict[str, Value] = {}
    for key, value in table.pairs:
        keyed.setdefault(_plain(key), value)
    return keyed


def _first(keyed: dict[str, Value], names: Sequence[str]) -> str | float | None:
    for name in names:
        value = keyed.get(name)
        if isinstance(value, str | float):
            return value
    return None


def _plain(key: str) -> str:
    return _PLAIN.sub("", key[:40]).lower()
