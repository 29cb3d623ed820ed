"""The ways in which people ask; standard library only.

Law: a phrasing changes the wording of a question, never its answer. `{x}` is what is asked about.
The index of a phrasing picks the voice of the thinking, so that greedy output is not monotonous.
"""

from __future__ import annotations

from random import Random

COUNT = (
    "How many {x} are there?",
    "How many {x} are in the image?",
    "How many {x} are in this picture?",
    "How many {x} can you see?",
    "How many {x} do you see?",
    "How many {x} does the picture show?",
    "How many {x} are shown?",
    "How many {x} have been drawn?",
    "How many {x} does this image contain?",
    "How many {x} are there in total?",
    "How many {x} are there in the picture?",
    "How many {x}?",
    "How many {x} r there",
    "Count the {x}.",
    "Count the {x} in this image.",
    "Count all the {x} in the picture.",
    "Count {x}.",
    "Can you count the {x} for me?",
    "Could you count the {x}?",
    "Could you work out how many {x} this picture has?",
    "Tell me how many {x} there are.",
    "Tell me the number of {x}.",
    "Give me the number of {x} in the drawing.",
    "Give the count of {x}.",
    "I want to know how many {x} there are.",
    "I'd like to know the number of {x}.",
    "What is the number of {x}?",
    "What is the total number of {x}?",
    "What's the number of {x} here?",
    "What is the count of {x}?",
    "Number of {x}?",
    "Total number of {x}?",
    "{x} count?",
    "In this picture, how many {x} are there?",
    "Look at the image. How many {x} are there?",
    "Do you know how many {x} there are?",
    "I see some shapes here. How many of them are {x}?",
    "Find the number of {x}.",
    "Determine how many {x} are in the image.",
    "How many {x} are visible?",
)
COLOR_OF = (
    "What color is the {x}?",
    "What colour is the {x}?",
    "What is the color of the {x}?",
    "Which color is the {x}?",
    "Which color does the {x} have?",
    "Tell me the color of the {x}.",
    "What color does the {x} have?",
    "The {x} has what color?",
    "What color is the {x} in the picture?",
    "What's the color of the {x}?",
    "In what color is the {x} drawn?",
)
SHAPE_OF = (
    "What shape is the {x} one?",
    "Which shape is {x}?",
    "What is the {x} shape?",
    "What shape is {x}?",
    "What is the shape of the {x} one?",
    "What shape is the {x} object?",
    "What shape does the {x} one have?",
    "Tell me which shape is {x}.",
    "What kind of shape is the {x} one?",
    "What's the {x} shape?",
)
DESCRIBE = (
    "What shapes are in the image?",
    "Describe the image.",
    "Describe this picture.",
    "What do you see?",
    "What is in this picture?",
    "List all the shapes.",
    "What can you see in the image?",
    "Which shapes do you see?",
)
TALLEST = (
    "Which bar is the tallest?",
    "Which bar is tallest?",
    "Which bar is the highest?",
    "Which bar is the biggest?",
    "Which is the tallest bar?",
    "Which bar has the largest value?",
    "Which bar has the highest value?",
    "What is the tallest bar?",
    "Tell me which bar is the biggest.",
    "Tell me which bar is the tallest.",
    "Which letter has the highest bar?",
    "Which letter has the tallest bar?",
    "Which label has the largest value?",
    "Which category is the largest?",
    "What is the label of the tallest bar?",
    "Find the tallest bar.",
    "Name the highest bar.",
    "Which one is the tallest?",
    "Which bar is the largest?",
    "Which bar stands for the maximum?",
)
SHORTEST = (
    "Which bar is the shortest?",
    "Which bar is shortest?",
    "Which bar is the lowest?",
    "Which bar is the smallest?",
    "Which is the shortest bar?",
    "Which bar has the smallest value?",
    "Which bar has the lowest value?",
    "What is the shortest bar?",
    "Tell me which bar is the smallest.",
    "Tell me which bar is the shortest.",
    "Which letter has the lowest bar?",
    "Which letter has the shortest bar?",
    "Which label has the smallest value?",
    "Which category is the smallest?",
    "What is the label of the shortest bar?",
    "Find the shortest bar.",
    "Name the lowest bar.",
    "Which one is the shortest?",
    "Which bar stands for the minimum?",
)
VALUE = (
    "What is the value of bar {x}?",
    "What is the value of {x}?",
    "How tall is bar {x}?",
    "How high is bar {x}?",
    "How high is {x}?",
    "What value does bar {x} have?",
    "What value does {x} have?",
    "What number does bar {x} show?",
    "What number does {x} show?",
    "Read the value of bar {x}.",
    "Read off bar {x}.",
    "What is the height of bar {x}?",
    "Tell me the value of bar {x}.",
    "Give the value of {x}.",
    "How much is bar {x}?",
    "How much is {x}?",
    "What does bar {x} show?",
    "What's the value of bar {x}?",
)
DIFFERENCE = (
    "What is the difference between bar {x} and bar {y}?",
    "What is the difference between {x} and {y}?",
    "How large is the difference between {x} and {y}?",
    "What's the difference between bar {x} and bar {y}?",
    "By how much do {x} and {y} differ?",
    "Find the difference of {x} and {y}.",
    "How far apart are bars {x} and {y}?",
)
SUM = (
    "What is the sum of bar {x} and bar {y}?",
    "What is the sum of {x} and {y}?",
    "How much are {x} and {y} together?",
    "What do {x} and {y} add up to?",
    "Add bar {x} and bar {y}.",
    "What's the total of bar {x} and bar {y}?",
    "Find the sum of {x} and {y}.",
)
BAR_COUNT = (
    "How many bars are there?",
    "How many bars are in the chart?",
    "How many bars does the chart have?",
    "How many bars do you see?",
    "Count the bars.",
    "What is the number of bars?",
    "Tell me how many bars there are.",
    "Number of bars?",
)
ARITHMETIC = (
    "What is the result?",
    "What is the answer?",
    "What does it equal?",
    "What do you get?",
    "What does this come to?",
    "What is this?",
    "What is it?",
    "How much is this?",
    "How much is it?",
    "What is the value of the expression?",
    "What is the value of this expression?",
    "What is the answer to this problem?",
    "What's the result of this calculation?",
    "What's the answer?",
    "What is the solution?",
    "What number comes out?",
    "What number should replace the question mark?",
    "Solve it.",
    "Solve this.",
    "Solve this problem.",
    "Solve the expression in the image.",
    "Solve the equation.",
    "Calculate this.",
    "Calculate the result.",
    "Calculate the expression.",
    "Compute the result.",
    "Compute this.",
    "Work this out for me.",
    "Work it out.",
    "Can you do this sum?",
    "Can you solve this?",
    "Can you calculate this for me?",
    "Could you solve this math problem?",
    "Do the math.",
    "Evaluate the formula shown.",
    "Evaluate the expression.",
    "Evaluate this.",
    "Find the result.",
    "Find the answer.",
    "Tell me the result.",
    "Tell me the answer.",
    "Give me the answer.",
)


def capitalised(text: str) -> str:
    """Raise the first letter."""
    return text[:1].upper() + text[1:]


def uncapitalised(text: str) -> str:
    """Lower the first letter, but not of `I` or of a bar's label."""
    return text if text[1:2] in ("", " ", "'") else text[:1].lower() + text[1:]


def worn(rng: Random, question: str) -> str:
    """The same question as typed in a hurry, or politely; bar labels stay upper case."""
    draw = rng.random()
    if draw < 0.66:
        return question
    if draw < 0.76:
        return question.rstrip("?.")
    if draw < 0.86:
        return uncapitalised(question).rstrip("?." if rng.random() < 0.5 else "")
    if draw < 0.93:
        return f"Please {uncapitalised(question)}" if question[-1] == "." else f"{question} Please."
    return question.rstrip("?.") + (", please?" if question[-1] == "?" else ", please.")


def ask(rng: Random, phrasings: tuple[str, ...], **about: str) -> tuple[str, int]:
    """A question and the index of its phrasing. The first phrasings are the commonest."""
    index = int(len(phrasings) * rng.random() ** 1.25)
    question = capitalised(phrasings[index].format(**about))
    return worn(rng, question), index
