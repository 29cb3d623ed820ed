"""Questions that compare two counts; standard library only.

Law: the two are counted one after the other, each in a whole walk through the picture, which is the
skill of counting twice. What was asked is said again before it is judged ("Asked: are there fewer
A? 2 is more than 1, so no."), because a small model loses the polarity on the way.
"""

from __future__ import annotations

from tools.tiny.second.replies import Example
from tools.tiny.second.scenes import Item, Shapes
from tools.tiny.second.shape_questions import VOICES, Target, counted
from tools.tiny.second.wordings import Asker

RULES = ("more_which", "fewer_which", "more_than", "fewer_than", "equal", "how_many_more")
WEIGHTS = (3.0, 1.5, 2.5, 1.5, 1.0, 1.0)
WANTED = {"more_than": "more than", "fewer_than": "fewer than", "equal": "equal to"}
ASKED = {
    "more_which": "which are more",
    "fewer_which": "which are fewer",
    "more_than": "are the {x} more",
    "fewer_than": "are the {x} fewer",
    "equal": "are they equally many",
    "how_many_more": "how many more {x}",
}


def two_targets(ask: Asker, items: tuple[Item, ...]) -> tuple[Target, Target]:
    """Two kinds, or two colours, or two of both; mostly such as are there."""
    rng = ask.rng
    draw = rng.random()
    kinds, colors = sorted({i.kind for i in items}), sorted({i.color for i in items})
    if draw < 0.25 and len(colors) > 1:
        first, second = rng.sample(colors, 2)
        return Target(color=first), Target(color=second)
    if draw < 0.4 and len({(i.color, i.kind) for i in items}) > 1:
        pairs = rng.sample(sorted({(i.color, i.kind) for i in items}), 2)
        return Target(*pairs[0]), Target(*pairs[1])
    if len(kinds) > 1 and rng.random() < 0.92:
        first, second = rng.sample(kinds, 2)
    else:
        first, second = rng.sample(("circle", "square", "triangle", "star"), 2)
    return Target(kind=first), Target(kind=second)


def verdict(rule: str, first: Target, second: Target, counts: tuple[int, int]) -> tuple[str, str]:
    """The last sentence and the answer."""
    one, two = counts
    names = (first.name(), second.name())
    relation = "equal to" if one == two else "more than" if one > two else "fewer than"
    judged = f"{one} is {relation} {two}"
    match rule:
        case "more_which" | "fewer_which" if one == two:
            return f"{judged}, so neither.", "equal"
        case "more_which" | "fewer_which":
            taken = names[0] if (one > two) == (rule == "more_which") else names[1]
            short = taken if first.kind else taken.removesuffix(" shapes")
            return f"{judged}, so the {taken}.", short
        case "how_many_more":
            high, low = max(counts), min(counts)
            return f"{high} - {low} = {high - low}.", str(high - low)
        case _:
            wanted = WANTED[rule]
            answer = "yes" if relation == wanted else "no"
            return f"{judged}, so {answer}.", answer


def compare_example(ask: Asker, scene: Shapes) -> Example:
    """Two counts and what follows from them."""
    first, second = two_targets(ask, scene.items)
    rule = ask.rng.choices(RULES, WEIGHTS)[0]
    counts = tuple(sum(map(target.holds, scene.items)) for target in (first, second))
    if rule == "how_many_more" and counts[0] < counts[1]:
        first, second = second, first
    question, number = ask(rule, x=first.spoken(ask.rng), y=second.spoken(ask.rng))
    voice = VOICES[number]
    goal = f"compare the {first.name()} and the {second.name()}"
    parts = [voice.look.format(goal=goal)]
    found = []
    for opening, target in (("First", first), ("Now", second)):
        walked, count = counted(scene.items, target, voice)
        parts.append(f"{opening} the {target.name()}. {walked} That makes {count}.")
        found.append(count)
    ending, answer = verdict(rule, first, second, (found[0], found[1]))
    parts.append(f"Asked: {ASKED[rule].format(x=first.name())}? {ending}")
    return Example("compare", question, " ".join(parts), answer)
