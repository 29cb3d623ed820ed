"""Questions about a scene, the thinking that answers them, and the answer; stdlib only.

Law: the thinking is something that a small model can do token by token: read what is visible once,
in order, then conclude. The answer follows from the scene alone. Questions about shapes and places
have modules of their own.
"""

from __future__ import annotations

from random import Random

from tools.tiny.second.compare_questions import compare_example
from tools.tiny.second.place_questions import find_example, position_example
from tools.tiny.second.replies import Example
from tools.tiny.second.scenes import Chart, Expression, Scene, Shapes, Word
from tools.tiny.second.shape_questions import (
    DESCRIBE_LIMIT,
    attribute_example,
    count_example,
    describe_example,
    exists_example,
)
from tools.tiny.second.wordings import Asker, capitalised

CHART_OPENINGS = (
    "So this is a bar chart. Let me read the bars from left to right.",
    "Okay, I see a bar chart. I'll go through the bars one by one.",
    "Hmm, let me read each bar first.",
)
EXPRESSION_OPENINGS = (
    "So there is a calculation in the image. It says ",
    "Okay, let me read the expression. I see ",
    "Hmm, let me look at the numbers. It is ",
)
WORD_OPENINGS = (
    "So there is something written. I read ",
    "Okay, let me read it sign by sign: ",
    "Hmm, let me look at the letters: ",
)
CHART_WEIGHTS = {
    "value": 3.0,
    "tallest": 2.5,
    "shortest": 2.0,
    "difference": 1.3,
    "sum": 1.2,
    "bars": 0.8,
    "taller": 1.0,
    "is_taller": 1.0,
    "find": 0.8,
}


def chart_answer(rule: str, scene: Chart, first: str, second: str) -> tuple[str, str]:
    """Answer and last sentence."""
    value_of = dict(zip(scene.labels, scene.values, strict=True))
    one, two = value_of[first], value_of[second]
    high, low = max(one, two), min(one, two)
    both = f"{first} is {one} and {second} is {two}, so"
    match rule:
        case "value" | "and_value":
            return str(one), f"So bar {first} has the value {one}."
        case "tallest" | "and_tallest":
            best = max(value_of, key=value_of.__getitem__)
            return best, f"The largest value is {value_of[best]}, and that is bar {best}."
        case "shortest" | "and_shortest":
            best = min(value_of, key=value_of.__getitem__)
            return best, f"The smallest value is {value_of[best]}, and that is bar {best}."
        case "difference":
            return str(high - low), f"{both} the difference is {high} - {low} = {high - low}."
        case "sum":
            return str(high + low), f"{both} the sum is {one} + {two} = {high + low}."
        case "taller":
            if high == low:
                return "equal", f"{both} they are equal."
            best = first if one > two else second
            return best, f"{both} {best} is taller."
        case "is_taller":
            answer = "yes" if one > two else "no"
            relation = "equal to" if one == two else "more than" if one > two else "less than"
            return answer, f"Asked: is {first} taller? {one} is {relation} {two}, so {answer}."
        case _:
            return str(len(value_of)), f"That makes {len(value_of)} bars."


def chart_example(ask: Asker, scene: Chart, rule: str = "") -> Example:
    """A question about a bar, two bars, or the bars."""
    rng = ask.rng
    if not rule:
        rule = rng.choices(tuple(CHART_WEIGHTS), tuple(CHART_WEIGHTS.values()))[0]
    if rule == "find":
        pointing = find_example(ask, scene)
        if pointing:
            return pointing
        rule = "value"
    first, second = rng.sample(scene.labels, 2)
    answer, ending = chart_answer(rule, scene, first, second)
    question, number = ask(rule, x=first, y=second)
    if rule == "bars":
        read = [f"{label} ({i + 1})" for i, label in enumerate(scene.labels)]
    else:
        verb = "bar {} reaches {}" if number == 0 else "{} is {}"
        values = zip(scene.labels, scene.values, strict=True)
        read = [verb.format(label, value) for label, value in values]
    listed = capitalised(", ".join(read))
    return Example("chart", question, f"{CHART_OPENINGS[number]} {listed}. {ending}", answer)


def worked_out(scene: Expression) -> str:
    """The step between reading and result, where a person would take one."""
    left, right, result = scene.left, scene.right, scene.result
    match scene.operator:
        case "x":
            return f"That is {left} times {right}. "
        case "+" if left >= 10 or right >= 10:
            ones, tens = left % 10 + right % 10, (left // 10 + right // 10) * 10
            return f"Ones: {left % 10} + {right % 10} = {ones}. Tens: {tens}. "
        case "-" if left >= 10 and right % 10 <= left % 10:
            ones, tens = result % 10, result // 10 * 10
            return f"Ones: {left % 10} - {right % 10} = {ones}. Tens: {tens}. "
        case "-" if left >= 10 and right >= 10:
            tens = right - right % 10
            rest = left - tens
            return f"{left} - {tens} = {rest}. Then {rest} - {right % 10} = {result}. "
        case "-" if left >= 10:
            ones, tens = left % 10, left - left % 10
            return f"I take {ones} to get to {tens}, and {right - ones} are left. "
    return ""


def arithmetic_example(ask: Asker, scene: Expression) -> Example:
    """What the expression comes to."""
    question, number = ask("arithmetic")
    sign = {"x": "*"}.get(scene.operator, scene.operator)
    written = f"{scene.left} {sign} {scene.right}"
    result = scene.result
    endings = (f"So {written} = {result}.", f"The result is {result}.", f"That gives {result}.")
    thinking = f"{EXPRESSION_OPENINGS[number]}{written}. {worked_out(scene)}{endings[number]}"
    return Example("arithmetic", question, thinking, str(result))


def read_example(ask: Asker, scene: Word) -> Example:
    """What is written."""
    number_asked = scene.text.isdigit() and ask.rng.random() < 0.7
    question, number = ask("read_number" if number_asked else "read")
    signs = ", ".join(scene.text)
    thinking = f"{WORD_OPENINGS[number]}{signs}. Together that is {scene.text}."
    return Example("read", question, thinking, scene.text)


def shapes_example(ask: Asker, scene: Shapes) -> Example:
    """A question about shapes; counts are the commonest."""
    rng = ask.rng
    kinds = ("count", "exists", "attribute", "describe", "compare", "position", "find")
    asked: Example | None = None
    while asked is None:
        match rng.choices(kinds, (3.0, 0.4, 1.0, 0.5, 2.2, 2.2, 1.3))[0]:
            case "exists":
                asked = exists_example(ask, scene)
            case "attribute":
                asked = attribute_example(ask, scene)
            case "describe" if len(scene.items) <= DESCRIBE_LIMIT:
                asked = describe_example(ask, scene)
            case "compare":
                asked = compare_example(ask, scene)
            case "position" if scene.upright:
                asked = position_example(ask, scene)
            case "find":
                asked = find_example(ask, scene)
            case _:
                asked = count_example(ask, scene)
    return asked


def example(rng: Random, scene: Scene, held_out: bool = False) -> Example:
    """A random question about the scene, in held-out words if asked for."""
    ask = Asker(rng, held_out)
    match scene:
        case Shapes():
            return shapes_example(ask, scene)
        case Chart():
            return chart_example(ask, scene)
        case Expression():
            if rng.random() < 0.07 and (pointing := find_example(ask, scene)):
                return pointing
            return arithmetic_example(ask, scene)
        case Word():
            if rng.random() < 0.1 and (pointing := find_example(ask, scene)):
                return pointing
            return read_example(ask, scene)


def following(rng: Random, scene: Scene, held_out: bool = False) -> Example | None:
    """A short question that makes sense after another one about the same scene."""
    ask = Asker(rng, held_out)
    match scene:
        case Shapes():
            return count_example(ask, scene, "and_count")
        case Chart():
            return chart_example(
                ask, scene, rng.choice(("and_value", "and_tallest", "and_shortest"))
            )
        case Expression() | Word():
            return None
