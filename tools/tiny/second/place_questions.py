"""Questions about where things are: neighbours, corners, edges, rows, boxes; standard library only.

Law: asked only where the picture allows one answer. Left, right, above and below mean that the
boxes do not overlap in that direction; of several neighbours the one in the same row or column
counts. Boxes are in thousandths of the picture's width and height.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tools.tiny.second.replies import Example, Place, place
from tools.tiny.second.scenes import Box, Chart, Expression, Item, Shapes, Word
from tools.tiny.second.shape_questions import (
    ORDINALS,
    VOICES,
    Target,
    counted,
    full_name,
    walk,
)
from tools.tiny.second.wordings import Asker

MARGIN = 0.05  # by so much of the picture an extreme stands out from the next
CORNERS = {
    "upper_left": ("upper left", 0.0, 0.0),
    "upper_right": ("upper right", 1.0, 0.0),
    "lower_left": ("lower left", 0.0, 1.0),
    "lower_right": ("lower right", 1.0, 1.0),
}
# Side of the box (0 left, 1 top, 2 right, 3 bottom) and the direction in which it is extreme.
EDGES = {
    "leftmost": ("farthest left", 0, 1),
    "rightmost": ("farthest right", 0, -1),
    "topmost": ("highest", 1, 1),
    "bottommost": ("lowest", 1, -1),
}
NEXT = {
    "next_left": ("Left of", 0, -1),
    "next_right": ("Right of", 0, 1),
    "next_above": ("Above", 1, -1),
    "next_below": ("Below", 1, 1),
}
BESIDE = {
    "left_of": ("From left to right", 0, 1),
    "right_of": ("From left to right", 0, -1),
    "above": ("From top to bottom", 1, 1),
    "below": ("From top to bottom", 1, -1),
}


def middle(box: Box, axis: int) -> float:
    """The box's middle across (0) or down (1)."""
    return (box[axis] + box[axis + 2]) / 2


def beyond(one: Box, other: Box, axis: int, sign: int) -> bool:
    """Whether `one` lies wholly on that side of `other`."""
    if sign < 0:
        return one[axis + 2] <= other[axis] + 0.01
    return one[axis] >= other[axis + 2] - 0.01


def level(one: Box, other: Box, axis: int) -> bool:
    """Whether the two overlap by half in the other direction: the same row, or column."""
    across = 1 - axis
    shared = min(one[across + 2], other[across + 2]) - max(one[across], other[across])
    return shared >= 0.5 * min(one[across + 2] - one[across], other[across + 2] - other[across])


def neighbour(items: tuple[Item, ...], wanted: Item, axis: int, sign: int) -> Item | None:
    """The one item next to `wanted` in that direction; None where it is not clear."""
    side = [i for i in items if i is not wanted and beyond(i.box, wanted.box, axis, sign)]
    near = sorted(
        (i for i in side if level(i.box, wanted.box, axis)),
        key=lambda i: abs(middle(i.box, axis) - middle(wanted.box, axis)),
    )
    if not near:
        return side[0] if len(side) == 1 else None
    if len(near) > 1:
        gap = abs(middle(near[1].box, axis) - middle(near[0].box, axis))
        if gap < MARGIN:
            return None
    return near[0]


def unique_names(items: tuple[Item, ...], item: Item) -> list[str]:
    """The names by which a question can call this item and no other."""
    names = []
    if sum(i.kind == item.kind for i in items) == 1:
        names.append(item.kind)
    if sum(i.color == item.color for i in items) == 1:
        names.append(f"{item.color} shape")
    if sum(full_name(i) == full_name(item) for i in items) == 1:
        names += [full_name(item)] * 2
    return names


def corner_item(items: tuple[Item, ...], x: float, y: float) -> Item | None:
    """The item that is clearly nearest to a corner."""

    def far(item: Item) -> float:
        return float(abs(middle(item.box, 0) - x) + abs(middle(item.box, 1) - y))

    near = sorted(items, key=far)
    if far(near[0]) > 0.62 or (len(near) > 1 and far(near[1]) < far(near[0]) + 0.17):
        return None
    return near[0]


def found(ask: Asker, scene: Shapes, rule: str, item: Item, words: str, ending: str) -> Example:
    """A question whose answer is one item."""
    question, number = ask(rule, **{"corner": {"c": words}, "edge": {"e": words}}.get(rule, {}))
    voice = VOICES[number]
    walked = walk(scene.items, voice, lambda i: " (here it is)" if i is item else "")
    thinking = f"{voice.look.format(goal='find one shape')} {walked} {ending} {full_name(item)}."
    return Example("position", question, thinking, full_name(item))


def corner_example(ask: Asker, scene: Shapes) -> Example | None:
    """What is in a corner."""
    rule = ask.rng.choice(tuple(CORNERS))
    name, x, y = CORNERS[rule]
    item = corner_item(scene.items, x, y)
    if item is None:
        return None
    return found(ask, scene, "corner", item, ask.part(rule), f"In the {name} corner is the")


def edge_example(ask: Asker, scene: Shapes) -> Example | None:
    """What is farthest in one direction."""
    rule = ask.rng.choice(tuple(EDGES))
    name, axis, sign = EDGES[rule]
    ordered = sorted(scene.items, key=lambda i: sign * middle(i.box, axis))
    if len(ordered) > 1 and (
        abs(middle(ordered[0].box, axis) - middle(ordered[1].box, axis)) < MARGIN
    ):
        return None
    return found(ask, scene, "edge", ordered[0], ask.part(rule), f"The {name} is the")


def middle_example(ask: Asker, scene: Shapes) -> Example | None:
    """What is in the middle."""

    def far(item: Item) -> float:
        return max(abs(middle(item.box, 0) - 0.5), abs(middle(item.box, 1) - 0.5))

    ordered = sorted(scene.items, key=far)
    if far(ordered[0]) > 0.15 or (len(ordered) > 1 and far(ordered[1]) < 0.24):
        return None
    return found(ask, scene, "middle", ordered[0], "", "In the middle is the")


def next_example(ask: Asker, scene: Shapes) -> Example | None:
    """What is beside another."""
    rng = ask.rng
    wanted = rng.choice(scene.items)
    names = unique_names(scene.items, wanted)
    rule = rng.choice(tuple(NEXT))
    side, axis, sign = NEXT[rule]
    beside = neighbour(scene.items, wanted, axis, sign)
    if not names or beside is None:
        return None
    name = rng.choice(names)
    question, number = ask(rule, x=name)
    voice = VOICES[number]
    walked = walk(scene.items, voice, lambda i: " (here it is)" if i is wanted else "")
    ending = f"{side} the {name} is the {full_name(beside)}."
    thinking = f"{voice.look.format(goal=f'find the {name}')} {walked} {ending}"
    return Example("position", question, thinking, full_name(beside))


def beside_example(ask: Asker, scene: Shapes) -> Example | None:
    """Whether one is left of, right of, above or below another."""
    rng = ask.rng
    if len(scene.items) < 2:
        return None
    one, other = rng.sample(scene.items, 2)
    names = unique_names(scene.items, one), unique_names(scene.items, other)
    rule = rng.choice(tuple(BESIDE))
    order, axis, sign = BESIDE[rule]
    before, after = beyond(one.box, other.box, axis, -1), beyond(one.box, other.box, axis, 1)
    if not all(names) or not (before or after):
        return None
    first, second = rng.choice(names[0]), rng.choice(names[1])
    question, number = ask("is_beside", x=first, y=second, r=ask.part(rule))
    look = VOICES[number].look.format(goal=f"find the {first} and the {second}")
    listed = f"the {first}, then the {second}" if before else f"the {second}, then the {first}"
    answer = "yes" if before == (sign > 0) else "no"
    relation = rule.replace("_", " ")
    thinking = f"{look} {order}: {listed}. Asked: is the {first} {relation} the {second}? {answer}."
    return Example("position", question, thinking, answer)


def row_example(ask: Asker, scene: Shapes) -> Example | None:
    """How many there are in a row; only where rows are plain to see."""
    items, last = scene.items, scene.items[-1].row
    for row in range(last):
        bottom = max(i.box[3] for i in items if i.row == row)
        if bottom > min(i.box[1] for i in items if i.row == row + 1):
            return None
    row = ask.rng.randint(0, last)
    words = [ORDINALS[row].lower()]
    words += ["top"] * (row == 0) + ["bottom", "last"] * (row == last and last > 0)
    word = ask.rng.choice(words)
    question, number = ask("row_count", w=word)
    voice = VOICES[number]
    counts = {id(item): n + 1 for n, item in enumerate(i for i in items if i.row == row)}
    walked = walk(items, voice, lambda i: f" ({counts[id(i)]})" if id(i) in counts else "")
    look = voice.look.format(goal=f"count the shapes in the {word} row")
    thinking = f"{look} {walked} That makes {len(counts)}."
    return Example("position", question, thinking, str(len(counts)))


KINDS_OF_PLACE: tuple[Callable[[Asker, Shapes], Example | None], ...] = (
    *(next_example, next_example, corner_example, edge_example, middle_example),
    *(beside_example, row_example),
)


def position_example(ask: Asker, scene: Shapes) -> Example | None:
    """A question about a place; None where the picture allows none after some tries."""
    for _ in range(6):
        asked = ask.rng.choice(KINDS_OF_PLACE)(ask, scene)
        if asked is not None:
            return asked
    return None


# ---------------------------------------------------------------------------------------- pointing

LOOKING = (
    "Let me look for the {x}. I'll point at what I find.",
    "Okay, I need to find the {x}. There.",
    "Hmm, where is the {x}? Here.",
)


def pointed(ask: Asker, name: str, boxes: tuple[Box, ...], rule: str, counting: str) -> Example:
    """A question that is answered with boxes."""
    question, number = ask(rule, x=name)
    places = tuple(place(name, box) for box in boxes)
    if len(places) > 1 or counting:
        return Example("find", question, counting, "", places)
    return Example("find", question, LOOKING[number].format(x=name), "", places)


def find_shape(ask: Asker, scene: Shapes) -> Example | None:
    """One shape, or all of a kind."""
    rng = ask.rng
    wanted = rng.choice(scene.items)
    names = unique_names(scene.items, wanted)
    if names and rng.random() < 0.75:
        return pointed(ask, rng.choice(names), (wanted.box,), "find", "")
    target = Target(*rng.choice((("", wanted.kind), (wanted.color, wanted.kind))))
    boxes = tuple(i.box for i in scene.items if target.holds(i))
    if not 2 <= len(boxes) <= 4:
        return None
    voice = rng.choice(VOICES)
    walked, count = counted(scene.items, target, voice)
    look = voice.look.format(goal=f"find the {target.name()}")
    asked = pointed(ask, target.name(), boxes, "find_all", f"{look} {walked} That makes {count}.")
    single = target.name(1)
    named: tuple[Place, ...] = tuple(place(single, box) for box in boxes)
    return Example("find", asked.question, asked.thinking, "", named)


def find_example(ask: Asker, scene: Shapes | Chart | Expression | Word) -> Example | None:
    """Something to point at; None where the picture was turned."""
    if not scene.upright:
        return None
    rng: Random = ask.rng
    match scene:
        case Shapes():
            return find_shape(ask, scene)
        case Chart():
            i = rng.randrange(len(scene.labels))
            name = rng.choice(("bar {}", "bar {}", "column {}")).format(scene.labels[i])
            return pointed(ask, name, (scene.boxes[i],), "find", "")
        case Expression():
            name = rng.choice(("calculation", "sum", "text", "expression"))
            return pointed(ask, name, (scene.box,), "find", "")
        case Word():
            name = rng.choice(("word", "text"))
            return pointed(ask, name, (scene.box,), "find", "")
