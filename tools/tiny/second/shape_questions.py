"""Questions about what shapes there are: counts, attributes, descriptions; standard library only.

Law: everything in the picture is named once, in reading order, with one running count. Two counts
in one pass are never asked for: a small model confuses them. Where two are compared, they are
counted one after the other (`compare_questions`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tools.tiny.scenes import COLORS, KINDS
from tools.tiny.second.replies import Example
from tools.tiny.second.scenes import Item, Shapes
from tools.tiny.second.wordings import Asker
from tools.tiny.shape_questions import Voice, plural, with_article

# `describe` is asked only of pictures with few shapes: its answer is as long as its thinking.
DESCRIBE_LIMIT = 5


ORDINALS = ("First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Next", "Next")
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


def full_name(item: Item) -> str:
    """Colour and kind."""
    return f"{item.color} {item.kind}"


def walk(items: tuple[Item, ...], voice: Voice, note: Callable[[Item], str]) -> str:
    """Everything in the picture, row by row; `note` is called in reading order."""
    rows = []
    for row in range(items[-1].row + 1):
        names = [with_article(full_name(item)) + note(item) for item in items if item.row == row]
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
            noun = rng.choice(("shapes", "shapes", "objects", "things", "figures", "items"))
        draw = rng.random()
        if self.color and draw < 0.08:
            return f"{noun} that are {self.color}"
        if self.color and draw < 0.13:
            return f"{noun} in {self.color}"
        if self.color and draw < 0.17:
            return f"{self.color}-colored {noun}"
        if self.color and not self.kind and draw < 0.3:
            return f"{self.color} ones"
        return f"{self.color} {noun}".strip()


def counted(items: tuple[Item, ...], target: Target, voice: Voice) -> tuple[str, int]:
    """The walk with a running count of `target`, and where the count ends."""
    found = 0

    def note(item: Item) -> str:
        nonlocal found
        if not target.holds(item):
            return ""
        found += 1
        return f" ({found})"

    return walk(items, voice, note), found


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


def count_thinking(rng: Random, scene: Shapes, target: Target, number: int) -> tuple[str, int]:
    """How `target` is counted, and the count."""
    voice = VOICES[number]
    goal = f"count {'the' if target.color or target.kind else 'all the'} {target.name()}"
    walked, found = counted(scene.items, target, voice)
    thinking = f"{voice.look.format(goal=goal)} {walked}"
    if not found:
        return f"{thinking} I don't see any {target.name()}, so the count is 0.", 0
    endings = (
        f"So that makes {found} {target.name(found)}.",
        f"In total I count {found}.",
        f"That gives {found}.",
    )
    thinking += f" {endings[number]}"
    # A second look names each match by what the question left open.
    if 1 < found < 6 and (target.kind or target.color) and rng.random() < 0.15:
        matches = [item for item in scene.items if target.holds(item)]
        names = [item.kind if target.color else item.color for item in matches]
        thinking += f" {voice.again}{', '.join(names)}. Yes, {found}."
    return thinking, found


def count_example(ask: Asker, scene: Shapes, rule: str = "count") -> Example:
    """How many of something there are."""
    target = count_target(ask.rng, scene.items)
    question, number = ask(rule, x=target.spoken(ask.rng))
    thinking, found = count_thinking(ask.rng, scene, target, number)
    return Example("count", question, thinking, str(found))


def exists_example(ask: Asker, scene: Shapes) -> Example:
    """Whether there is one."""
    item = ask.rng.choice(scene.items)
    target = Target(item.color, item.kind)
    if ask.rng.random() < 0.55:
        target = Target(ask.rng.choice(COLORS), ask.rng.choice(KINDS))
    question, number = ask("exists", x=target.name(1))
    question = question.replace(" a orange", " an orange")
    voice = VOICES[number]
    walked, found = counted(scene.items, target, voice)
    thinking = f"{voice.look.format(goal=f'find any {target.name()}')} {walked}"
    if found:
        return Example("count", question, f"{thinking} I see {found}, so yes.", "yes")
    return Example("count", question, f"{thinking} I don't see any {target.name()}, so no.", "no")


# ------------------------------------------------------------------------- attributes, description


def attribute_example(ask: Asker, scene: Shapes) -> Example | None:
    """The colour of the only one of a kind, or the kind of the only one of a colour."""
    kinds = [item.kind for item in scene.items]
    colors = [item.color for item in scene.items]
    choices = [(item, "color") for item in scene.items if kinds.count(item.kind) == 1]
    choices += [(item, "kind") for item in scene.items if colors.count(item.color) == 1]
    if not choices:
        return None
    wanted, asked = ask.rng.choice(choices)
    if asked == "color":
        question, number = ask("color_of", x=wanted.kind)
        answer, goal = wanted.color, f"find the {wanted.kind}"
        ending = f"The {wanted.kind} is {answer}."
    else:
        question, number = ask("shape_of", x=wanted.color)
        answer, goal = wanted.kind, f"find the {wanted.color} shape"
        ending = f"The {wanted.color} shape is {with_article(answer)}."
    voice = VOICES[number]
    walked = walk(scene.items, voice, lambda item: " (here it is)" if item is wanted else "")
    thinking = f"{voice.look.format(goal=goal)} {walked} {ending}"
    return Example("attribute", question, thinking, answer)


def describe_example(ask: Asker, scene: Shapes) -> Example:
    """Everything there is, in reading order."""
    question, number = ask("describe")
    voice = VOICES[number]
    walked = walk(scene.items, voice, lambda _: "")
    thinking = f"{voice.look.format(goal='describe the shapes')} {walked} That is everything I see."
    answer = ", ".join(full_name(item) for item in scene.items)
    return Example("describe", question, thinking, answer)
