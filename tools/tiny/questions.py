"""Questions about a scene, the thinking that answers them, and the answer; stdlib only.

Law: the thinking is something that a small model can do token by token: read what is visible once,
in order, then conclude. The answer follows from the scene alone. Questions about shapes have a
module of their own.

Not covered: comparisons of two counts ("are there more stars than circles?").
"""

from __future__ import annotations

from random import Random

from tools.tiny import phrasings
from tools.tiny.phrasings import ask
from tools.tiny.replies import Example, voice_number
from tools.tiny.scenes import Chart, Expression, Scene, Shapes
from tools.tiny.shape_questions import shapes_example

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


def chart_example(rng: Random, scene: Chart) -> Example:
    """A question about a bar, two bars, or the bars."""
    value_of = dict(zip(scene.labels, scene.values, strict=True))
    first, second = rng.sample(scene.labels, 2)
    high, low = sorted((value_of[first], value_of[second]), reverse=True)
    tallest, shortest = (
        max(value_of, key=value_of.__getitem__),
        min(value_of, key=value_of.__getitem__),
    )
    both = f"{first} is {value_of[first]} and {second} is {value_of[second]}, so the"
    asked = rng.choices(
        ("value", "tallest", "shortest", "difference", "sum", "bars"), (3, 2.5, 2, 1.2, 1, 0.7)
    )[0]
    wording: tuple[str, ...]
    match asked:
        case "value":
            wording, answer = phrasings.VALUE, str(value_of[first])
            ending = f"So bar {first} has the value {answer}."
        case "tallest":
            wording, answer = phrasings.TALLEST, tallest
            ending = f"The largest value is {value_of[answer]}, and that is bar {answer}."
        case "shortest":
            wording, answer = phrasings.SHORTEST, shortest
            ending = f"The smallest value is {value_of[answer]}, and that is bar {answer}."
        case "difference":
            wording, answer = phrasings.DIFFERENCE, str(high - low)
            ending = f"{both} difference is {high} - {low} = {answer}."
        case "sum":
            wording, answer = phrasings.SUM, str(high + low)
            ending = f"{both} sum is {value_of[first]} + {value_of[second]} = {answer}."
        case _:
            wording, answer = phrasings.BAR_COUNT, str(len(value_of))
            ending = f"That makes {answer} bars."
    question, phrasing = ask(rng, wording, x=first, y=second)
    number = voice_number(rng, phrasing)
    if asked == "bars":
        read = [f"{label} ({i + 1})" for i, label in enumerate(scene.labels)]
    else:
        verb = "bar {} reaches {}" if number == 0 else "{} is {}"
        read = [verb.format(label, value) for label, value in value_of.items()]
    listed = phrasings.capitalised(", ".join(read))
    thinking = f"{CHART_OPENINGS[number]} {listed}. {ending}"
    return Example("chart", question, thinking, answer)


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
        case "-" if left >= 10:
            ones, tens = left % 10, left - left % 10
            return f"I take {ones} to get to {tens}, and {right - ones} are left. "
    return ""


def arithmetic_example(rng: Random, scene: Expression) -> Example:
    """What the expression comes to."""
    question, phrasing = ask(rng, phrasings.ARITHMETIC)
    number = voice_number(rng, phrasing)
    sign = {"x": "*"}.get(scene.operator, scene.operator)
    written = f"{scene.left} {sign} {scene.right}"
    result = scene.result
    endings = (f"So {written} = {result}.", f"The result is {result}.", f"That gives {result}.")
    thinking = f"{EXPRESSION_OPENINGS[number]}{written}. {worked_out(scene)}{endings[number]}"
    return Example("arithmetic", question, thinking, str(result))


def example(rng: Random, scene: Scene) -> Example:
    """A random question about the scene."""
    match scene:
        case Shapes():
            return shapes_example(rng, scene)
        case Chart():
            return chart_example(rng, scene)
        case Expression():
            return arithmetic_example(rng, scene)
