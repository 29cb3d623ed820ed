"""Questions about shapes: counts, attributes, descriptions; standard library only.

Law: everything in the picture is named once, in reading order, with one running count. Two counts
in one pass are never asked for: a small model confuses them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tools.tiny import phrasings
from tools.tiny.phrasings import ask
from tools.tiny.replies import Example, voice_number
from tools.tiny.scenes import COLORS, KINDS, Item, Shapes

# `describe` is asked only of pictures with few shapes: its answer is as long as its thinking.
DESCRIBE_LIMIT = 4


@dataclass(frozen=True, slots=True)
class Voice:
    """One way of thinking aloud; every list of sentences below has one entry per voice."""

    look: str
    row: Callable[[int], str]
    again: str


ORDINALS = ("First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh")
VOICES = (
    Voice(
        "Alright, there are some shapes here and I need to {goal}. Let me go row by row.",
        lambda row: f"Row {row + 1}: ",
        "Let me double-check: ",
    ),
    Voice(
        "Okay, let me look at the picture. I have to {goal}. I'll start at the top.",
        lambda row: f"{ORDINALS[row]} row: ",
        "Let me recount: ",
    ),
    Voice(
        "Hmm, I need to {goal}. Let me list what I see.",
        lambda row: "Then below: " if row else "At the top: ",
        "Wait, let me check again: ",
    ),
)


def plural(noun: str, count: int = 2) -> str:
    """The noun for `count` things."""
    return noun if count == 1 else f"{noun}s"


def with_article(noun: str) -> str:
    """`a` or `an` and the noun."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def walk(items: tuple[Item, ...], voice: Voice, note: Callable[[Item], str]) -> str:
    """Everything in the picture, row by row; `note` is called in reading order."""
    rows = []
    for row in range(items[-1].row + 1):
        names = [
            with_article(f"{item.color} {item.kind}") + note(item)
            for item in items
            if item.row == row
        ]
        rows.append(f"{voice.row(row)}{', '.join(names)}.")
    return " ".join(rows)


# ---------------------------------------------------------------------------------------- counting


@dataclass(frozen=True, slots=True)
class Target:
    """What is counted; an empty string means any."""

    color: str = ""
    kind: str = ""

    def holds(self, item: Item) -> bool:
        """Whether `item` is counted."""
        return self.color in ("", item.color) and self.kind in ("", item.kind)

    def name(self, count: int = 2) -> str:
        """The canonical name, as the thinking puts it."""
        return f"{self.color} {plural(self.kind or 'shape', count)}".strip()

    def spoken(self, rng: Random) -> str:
        """The name as a question may put it: another noun, or the colour after the noun."""
        noun = plural(self.kind)
        if not self.kind:
            noun = rng.choice(("shapes", "shapes", "objects", "things", "figures"))
        draw = rng.random()
        if self.color and draw < 0.08:
            return f"{noun} that are {self.color}"
        if self.color and self.kind and draw < 0.12:
            return f"{noun} in {self.color}"
        return f"{self.color} {noun}".strip()


def count_target(rng: Random, items: tuple[Item, ...]) -> Target:
    """Mostly something that is there; sometimes something that is not."""
    absent = rng.random() < 0.1
    seen = rng.choice(items)
    match rng.choices(("kind", "color", "both", "all"), weights=(2.2, 1.2, 1.8, 0.6))[0]:
        case "kind":
            return Target(kind=rng.choice(KINDS) if absent else seen.kind)
        case "color":
            return Target(color=rng.choice(COLORS) if absent else seen.color)
        case "both":
            return Target(seen.color, rng.choice(items).kind if absent else seen.kind)
        case "all":
            return Target()


def count_example(rng: Random, scene: Shapes) -> Example:
    """How many of something there are."""
    target = count_target(rng, scene.items)
    question, phrasing = ask(rng, phrasings.COUNT, x=target.spoken(rng))
    number = voice_number(rng, phrasing)
    voice, found = VOICES[number], 0

    def running_count(item: Item) -> str:
        nonlocal found
        if not target.holds(item):
            return ""
        found += 1
        return f" ({found})"

    goal = f"count {'the' if target.color or target.kind else 'all the'} {target.name()}"
    thinking = f"{voice.look.format(goal=goal)} {walk(scene.items, voice, running_count)}"
    if not found:
        thinking += f" I don't see any {target.name()}, so the count is 0."
        return Example("count", question, thinking, "0")
    endings = (
        f"So that makes {found} {target.name(found)}.",
        f"In total I count {found}.",
        f"That gives {found}.",
    )
    thinking += f" {endings[number]}"
    # A second look names each match by what the question left open.
    if 1 < found < 6 and (target.kind or target.color) and rng.random() < 0.25:
        matches = [item for item in scene.items if target.holds(item)]
        names = [item.kind if target.color else item.color for item in matches]
        thinking += f" {voice.again}{', '.join(names)}. Yes, {found}."
    return Example("count", question, thinking, str(found))


# ------------------------------------------------------------------------- attributes, description


def attribute_example(rng: Random, scene: Shapes) -> Example | None:
    """The colour of the only one of a kind, or the kind of the only one of a colour."""
    kinds = [item.kind for item in scene.items]
    colors = [item.color for item in scene.items]
    choices = [(item, "color") for item in scene.items if kinds.count(item.kind) == 1]
    choices += [(item, "kind") for item in scene.items if colors.count(item.color) == 1]
    if not choices:
        return None
    wanted, asked = rng.choice(choices)
    if asked == "color":
        question, phrasing = ask(rng, phrasings.COLOR_OF, x=wanted.kind)
        answer, goal = wanted.color, f"find the {wanted.kind}"
        ending = f"The {wanted.kind} is {answer}."
    else:
        question, phrasing = ask(rng, phrasings.SHAPE_OF, x=wanted.color)
        answer, goal = wanted.kind, f"find the {wanted.color} shape"
        ending = f"The {wanted.color} shape is {with_article(answer)}."
    voice = VOICES[voice_number(rng, phrasing)]
    walked = walk(scene.items, voice, lambda item: " (here it is)" if item is wanted else "")
    thinking = f"{voice.look.format(goal=goal)} {walked} {ending}"
    return Example("attribute", question, thinking, answer)


def describe_example(rng: Random, scene: Shapes) -> Example:
    """Everything there is, in reading order."""
    question, phrasing = ask(rng, phrasings.DESCRIBE)
    voice = VOICES[voice_number(rng, phrasing)]
    walked = walk(scene.items, voice, lambda _: "")
    thinking = f"{voice.look.format(goal='describe the shapes')} {walked} That is everything I see."
    answer = ", ".join(f"{item.color} {item.kind}" for item in scene.items)
    return Example("describe", question, thinking, answer)


def shapes_example(rng: Random, scene: Shapes) -> Example:
    """A question about shapes; mostly a count."""
    draw = rng.random()
    if draw < 0.18 and (found := attribute_example(rng, scene)):
        return found
    if draw > 0.9 and len(scene.items) <= DESCRIBE_LIMIT:
        return describe_example(rng, scene)
    return count_example(rng, scene)
